"""Layers that several of MONAI's networks share: norms, activations, blocks of two convolutions, one step up.

References:
    Cardoso et al., MONAI: An open-source framework for deep learning in healthcare, 2022.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.networks.monai_specs import Activation, Norm

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
UP_CONV = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
LINEAR = {2: "bilinear", 3: "trilinear"}
_INSTANCE_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

_WEIGHTLESS = {"relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "swish": nn.SiLU, "mish": nn.Mish}

Size = tuple[int, ...]


def norm(spec: Norm, dimensions: int, channels: int) -> nn.Module:
    """The norm of a spec for so many channels."""
    if spec.kind == "instance":
        return _INSTANCE_NORM[dimensions](channels, eps=spec.eps, affine=spec.affine)
    if spec.kind == "batch":
        return _BATCH_NORM[dimensions](channels, eps=spec.eps, affine=spec.affine)
    if spec.kind == "group":
        return nn.GroupNorm(spec.groups, channels, eps=spec.eps, affine=spec.affine)
    return nn.Identity()


def activation(spec: Activation) -> nn.Module:
    """The nonlinearity of a spec."""
    if spec.kind == "prelu":
        return nn.PReLU()
    return nn.LeakyReLU(spec.slope) if spec.kind == "leaky_relu" else _WEIGHTLESS[spec.kind]()


def conv(n_in: int, n_out: int, *, kernel: Size, stride: Size | None = None, bias: bool = False) -> nn.Module:
    """A convolution that keeps the extent but for its stride: (kernel - stride + 1) // 2 zeros at the borders."""
    stride = stride or (1,) * len(kernel)
    padding = tuple((edge - step + 1) // 2 for edge, step in zip(kernel, stride, strict=True))
    return CONV[len(kernel)](n_in, n_out, kernel, stride, padding, bias=bias)  # type: ignore[arg-type]


def up_conv(n_in: int, n_out: int, *, stride: Size, bias: bool = False) -> nn.Module:
    """A transposed convolution whose kernel is its stride."""
    return UP_CONV[len(stride)](n_in, n_out, stride, stride, bias=bias)  # type: ignore[arg-type]


def edges(length: int, dimensions: int) -> Size:
    """The same length along each axis."""
    return (length,) * dimensions


class PlainBlock(nn.Module):
    """Twice a convolution, a norm and the activation."""

    def __init__(self, n_in: int, n_out: int, *, kernel: Size, stride: Size, norms: Norm, act: Activation) -> None:
        super().__init__()
        self.conv1 = conv(n_in, n_out, kernel=kernel, stride=stride)
        self.norm1 = norm(norms, len(kernel), n_out)
        self.conv2 = conv(n_out, n_out, kernel=kernel)
        self.norm2 = norm(norms, len(kernel), n_out)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, ...) to (batch, n_out, ...), smaller by the stride."""
        x = self.act(self.norm1(self.conv1(x)))
        out: Tensor = self.act(self.norm2(self.conv2(x)))
        return out


class ResidualBlock(PlainBlock):
    """The same, its input added before the last activation; by a 1x1 convolution where its shape differs.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
    """

    def __init__(self, n_in: int, n_out: int, *, kernel: Size, stride: Size, norms: Norm, act: Activation) -> None:
        super().__init__(n_in, n_out, kernel=kernel, stride=stride, norms=norms, act=act)
        differs = n_in != n_out or max(stride) > 1
        short = (conv(n_in, n_out, kernel=edges(1, len(kernel)), stride=stride), norm(norms, len(kernel), n_out))
        self.short_way = nn.Sequential(*short) if differs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, ...) to (batch, n_out, ...), smaller by the stride."""
        y = self.act(self.norm1(self.conv1(x)))
        out: Tensor = self.act(self.norm2(self.conv2(y)) + self.short_way(x))
        return out


class UpBlock(nn.Module):
    """Up-sample by a transposed convolution, join with the skip connection, and a block of convolutions."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        kernel: Size,
        stride: Size,
        norms: Norm,
        act: Activation,
        residual: bool,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.up = up_conv(n_in, n_out, stride=stride, bias=bias)
        block = ResidualBlock if residual else PlainBlock
        self.block = block(2 * n_out, n_out, kernel=kernel, stride=edges(1, len(kernel)), norms=norms, act=act)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Features (batch, n_out, ...) at the resolution of `skip`."""
        out: Tensor = self.block(torch.cat((self.up(coarse), skip), dim=1))
        return out


class PreactivatedBlock(nn.Module):
    """Twice a norm, the activation and a convolution, added to the input.

    References:
        He et al., Identity Mappings in Deep Residual Networks, ECCV 2016.
    """

    def __init__(self, channels: int, *, kernel: Size, norms: Norm, act: Activation) -> None:
        super().__init__()
        self.norm1 = norm(norms, len(kernel), channels)
        self.act1 = activation(act)
        self.conv1 = conv(channels, channels, kernel=kernel)
        self.norm2 = norm(norms, len(kernel), channels)
        self.act2 = activation(act)
        self.conv2 = conv(channels, channels, kernel=kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) of the same shape."""
        y = self.conv1(self.act1(self.norm1(x)))
        out: Tensor = x + self.conv2(self.act2(self.norm2(y)))
        return out


def chain(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Channels in and out of each step from one size to the next."""
    return list(pairwise(sizes))
