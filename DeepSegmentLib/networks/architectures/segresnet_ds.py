"""MONAI's SegResNetDS, the network of Auto3DSeg: SegResNet whose first levels leave thick slices alone.

Along an axis whose voxels are long, the finest levels neither look nor down-sample, until voxels are about cubes.

References:
    Myronenko, 3D MRI Brain Tumor Segmentation Using Autoencoder Regularization, BrainLes 2018, and Automated
    Segmentation of Organs and Tumors from Partially Labeled 3D CT, 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .layers import LINEAR, UP_CONV, PreactivatedBlock, conv, edges
from .with_head import WithHead

if TYPE_CHECKING:
    from DeepSegmentLib.networks.monai_specs import SegResNetDSSpec
    from DeepSegmentLib.networks.monai_specs.layers import Size


def _kernel(stride: Size) -> Size:
    return tuple(3 if step > 1 else 1 for step in stride)


def _blocks(spec: SegResNetDSSpec, channels: int, stride: Size, count: int) -> nn.Sequential:
    kernel = _kernel(stride)
    return nn.Sequential(
        *(PreactivatedBlock(channels, kernel=kernel, norms=spec.norm, act=spec.activation) for _ in range(count))
    )


def _shrink(n_in: int, n_out: int, stride: Size) -> nn.Module:
    return conv(n_in, n_out, kernel=_kernel(stride), stride=stride)


def _grow(spec: SegResNetDSSpec, channels: int, stride: Size) -> nn.Module:
    """Twice the resolution, and half the features, of which `channels` are left."""
    if spec.upsample == "linear":
        up = nn.Upsample(scale_factor=stride, mode=LINEAR[spec.dimensions], align_corners=False)
        return nn.Sequential(conv(2 * channels, channels, kernel=edges(1, spec.dimensions)), up)
    padding = tuple(edge // 2 for edge in _kernel(stride))
    more = tuple(step - 1 for step in stride)
    layer = UP_CONV[spec.dimensions]
    return layer(2 * channels, channels, _kernel(stride), stride, padding, more, bias=False)  # type: ignore[arg-type]


class StepUp(nn.Module):
    """Double the resolution, add the short way, then residual blocks."""

    def __init__(self, spec: SegResNetDSSpec, level: int) -> None:
        super().__init__()
        channels, stride = spec.features << level, spec.strides[level]
        self.grow = _grow(spec, channels, stride)
        self.blocks = _blocks(spec, channels, stride, spec.blocks_up[-1 - level])

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Features at the resolution of `skip`."""
        out: Tensor = self.blocks(self.grow(coarse) + skip)
        return out


class SegResNetDS(WithHead):
    """Down to the coarsest level, up again, and a 1x1 convolution."""

    def __init__(self, spec: SegResNetDSSpec) -> None:
        super().__init__()
        levels = range(len(spec.blocks_down))
        self.stem = conv(spec.in_channels, spec.features, kernel=_kernel(spec.strides[0]))
        self.down = nn.ModuleList(
            _blocks(spec, spec.features << n, spec.strides[n], spec.blocks_down[n]) for n in levels
        )
        self.shrink = nn.ModuleList(
            _shrink(spec.features << n, spec.features << (n + 1), spec.strides[n]) for n in levels[:-1]
        )
        self.up = nn.ModuleList(StepUp(spec, level) for level in levels[:-1])
        self.head = conv(spec.features, spec.out_channels, kernel=edges(1, spec.dimensions), bias=True)

    def features(self, x: Tensor) -> Tensor:
        """What the head makes logits of: (batch, channels, ...); each axis must be a multiple of the spec's divisor."""
        x = self.stem(x)
        skips = []
        for blocks, shrink in zip(self.down, self.shrink, strict=False):
            x = blocks(x)
            skips.append(x)
            x = shrink(x)
        x = self.down[-1](x)
        for step, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = step(x, skip)
        return x
