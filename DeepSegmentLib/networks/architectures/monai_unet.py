"""MONAI's UNet: each level one residual unit (or one convolution) down and one up, joined by a skip connection.

References:
    Kerfoot et al., Left-Ventricle Quantification Using Residual U-Net, STACOM 2018.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .layers import CONV, UP_CONV, activation, edges, norm

if TYPE_CHECKING:
    from DeepSegmentLib.networks.monai_specs import MonaiUNetSpec
    from DeepSegmentLib.networks.monai_specs.layers import Size


class Unit(nn.Sequential):
    """A convolution, plain or transposed; then, unless it is `bare`, a norm and the activation."""

    def __init__(self, spec: MonaiUNetSpec, convolution: nn.Module, n_out: int, *, bare: bool = False) -> None:
        super().__init__()
        self.conv = convolution
        after = [("norm", norm(spec.norm, spec.dimensions, n_out)), ("act", activation(spec.activation))]
        for name, layer in [] if bare else reversed(after) if spec.activate_first else after:
            self.add_module(name, layer)


def _conv(spec: MonaiUNetSpec, n_in: int, n_out: int, *, kernel: Size, stride: Size) -> nn.Module:
    padding = tuple(edge // 2 for edge in kernel)
    return CONV[spec.dimensions](n_in, n_out, kernel, stride, padding, bias=spec.bias)  # type: ignore[arg-type]


def _up_conv(spec: MonaiUNetSpec, n_in: int, n_out: int, stride: Size) -> nn.Module:
    padding = tuple(edge // 2 for edge in spec.up_kernel_size)
    more = tuple(step - 1 for step in stride)
    layer = UP_CONV[spec.dimensions]
    return layer(n_in, n_out, spec.up_kernel_size, stride, padding, more, bias=spec.bias)  # type: ignore[arg-type]


class ResidualUnit(nn.Module):
    """Several units in a row, the first with the stride, and the input added to what comes out."""

    def __init__(
        self, spec: MonaiUNetSpec, n_in: int, n_out: int, *, stride: Size, units: int, last_bare: bool = False
    ) -> None:
        super().__init__()
        one = edges(1, spec.dimensions)
        self.units = nn.Sequential()
        for n in range(units):
            layer = _conv(spec, n_in if n == 0 else n_out, n_out, kernel=spec.kernel_size, stride=one if n else stride)
            self.units.append(Unit(spec, layer, n_out, bare=last_bare and n == units - 1))
        strided = math.prod(stride) > 1
        kernel = spec.kernel_size if strided else one
        differs = strided or n_in != n_out
        self.short_way = _conv(spec, n_in, n_out, kernel=kernel, stride=stride) if differs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, ...) to (batch, n_out, ...), smaller by the stride."""
        out: Tensor = self.units(x) + self.short_way(x)
        return out


def _step_down(spec: MonaiUNetSpec, n_in: int, n_out: int, stride: Size) -> nn.Module:
    if spec.residual_units:
        return ResidualUnit(spec, n_in, n_out, stride=stride, units=spec.residual_units)
    return Unit(spec, _conv(spec, n_in, n_out, kernel=spec.kernel_size, stride=stride), n_out)


def _step_up(spec: MonaiUNetSpec, n_in: int, n_out: int, stride: Size, *, last: bool) -> nn.Sequential:
    up = Unit(spec, _up_conv(spec, n_in, n_out, stride), n_out, bare=last and not spec.residual_units)
    if not spec.residual_units:
        return nn.Sequential(up)
    same = edges(1, spec.dimensions)
    return nn.Sequential(up, ResidualUnit(spec, n_out, n_out, stride=same, units=1, last_bare=last))


class MonaiUNet(nn.Module):
    """Steps down to the coarsest level and up again; the finest step up gives the logits."""

    def __init__(self, spec: MonaiUNetSpec) -> None:
        super().__init__()
        *channels, coarsest = spec.channels
        inputs = (spec.in_channels, *channels)
        self.down = nn.ModuleList(
            _step_down(spec, n_in, n_out, stride)
            for n_in, n_out, stride in zip(inputs, channels, spec.strides, strict=False)
        )
        self.bottom = _step_down(spec, channels[-1], coarsest, edges(1, spec.dimensions))
        # What a level's step up sees: its own features and those from below, of which there are as many.
        seen = (*(2 * n for n in channels[:-1]), channels[-1] + coarsest)
        given = (spec.out_channels, *channels[:-1])
        self.up = nn.ModuleList(
            _step_up(spec, n_in, n_out, stride, last=level == 0)
            for level, (n_in, n_out, stride) in enumerate(zip(seen, given, spec.strides, strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, out_channels, ...); each axis must be a multiple of the spec's divisor."""
        skips = []
        for step in self.down:
            x = step(x)
            skips.append(x)
        x = self.bottom(x)
        for step, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = step(torch.cat((skip, x), dim=1))
        return x
