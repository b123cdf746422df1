"""MONAI's BasicUNet: the U-Net as first published, with norms.

References:
    Falk et al., U-Net: Deep Learning for Cell Counting, Detection, and Morphometry, Nat Methods 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .layers import LINEAR, activation, chain, conv, edges, norm, up_conv
from .with_head import WithHead

if TYPE_CHECKING:
    from DeepSegmentLib.networks.monai_specs import BasicUNetSpec

_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class TwoConvs(nn.Sequential):
    """Twice a convolution, a norm and the activation."""

    def __init__(self, spec: BasicUNetSpec, n_in: int, n_out: int) -> None:
        super().__init__()
        kernel = edges(3, spec.dimensions)
        for n, channels in enumerate((n_in, n_out), start=1):
            self.add_module(f"conv{n}", conv(channels, n_out, kernel=kernel, bias=spec.bias))
            self.add_module(f"norm{n}", norm(spec.norm, spec.dimensions, n_out))
            self.add_module(f"act{n}", activation(spec.activation))


class StepUp(nn.Module):
    """Up-sample by two, join with the skip connection, two convolutions."""

    def __init__(self, spec: BasicUNetSpec, n_coarse: int, n_skip: int, n_out: int, *, halve: bool) -> None:
        super().__init__()
        n_up = n_coarse // 2 if halve else n_coarse
        if spec.upsample == "deconv":
            self.up: nn.Module = up_conv(n_coarse, n_up, stride=edges(2, spec.dimensions), bias=True)
        else:
            one = edges(1, spec.dimensions)
            narrow = conv(n_coarse, n_up, kernel=one, bias=True) if halve else nn.Identity()
            grow = nn.Upsample(scale_factor=2, mode=LINEAR[spec.dimensions], align_corners=True)
            self.up = nn.Sequential(narrow, grow)
        self.convs = TwoConvs(spec, n_skip + n_up, n_out)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Features (batch, n_out, ...) at the resolution of `skip`."""
        out: Tensor = self.convs(torch.cat((skip, self.up(coarse)), dim=1))
        return out


class BasicUNet(WithHead):
    """Five levels of two convolutions, with maximum pooling between them."""

    def __init__(self, spec: BasicUNetSpec) -> None:
        super().__init__()
        *levels, last = spec.features
        self.down = nn.ModuleList(TwoConvs(spec, *sizes) for sizes in chain((spec.in_channels, *levels)))
        self.pool = _POOL[spec.dimensions](2)
        given = (last, *levels[1:-1])
        self.up = nn.ModuleList(
            StepUp(spec, levels[n + 1], levels[n], given[n], halve=n > 0) for n in range(len(levels) - 1)
        )
        self.head = conv(last, spec.out_channels, kernel=edges(1, spec.dimensions), bias=True)

    def features(self, x: Tensor) -> Tensor:
        """What the head makes logits of: (batch, channels, ...); each axis must be a multiple of 16."""
        skips: list[Tensor] = []
        for level in self.down:
            x = level(self.pool(x) if skips else x)
            skips.append(x)
        for step, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = step(x, skip)
        return x
