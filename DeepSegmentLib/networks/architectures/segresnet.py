"""MONAI's SegResNet: a deep encoder of residual blocks and a light decoder; short ways are added, not joined.

References:
    Myronenko, 3D MRI Brain Tumor Segmentation Using Autoencoder Regularization, BrainLes 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .layers import LINEAR, PreactivatedBlock, activation, conv, edges, norm, up_conv
from .with_head import WithHead

if TYPE_CHECKING:
    from DeepSegmentLib.networks.monai_specs import SegResNetSpec


def _blocks(spec: SegResNetSpec, channels: int, count: int) -> list[nn.Module]:
    kernel = edges(3, spec.dimensions)
    return [PreactivatedBlock(channels, kernel=kernel, norms=spec.norm, act=spec.activation) for _ in range(count)]


def _step_down(spec: SegResNetSpec, level: int) -> nn.Sequential:
    """Halve the resolution and double the features, then residual blocks; the finest level starts from the input."""
    channels = spec.features << level
    kernel, stride = edges(3, spec.dimensions), edges(2 if level else 1, spec.dimensions)
    n_in = channels // 2 if level else spec.in_channels
    return nn.Sequential(
        conv(n_in, channels, kernel=kernel, stride=stride), *_blocks(spec, channels, spec.blocks_down[level])
    )


class StepUp(nn.Module):
    """Halve the features, double the resolution, add the short way, then residual blocks."""

    def __init__(self, spec: SegResNetSpec, level: int) -> None:
        super().__init__()
        channels = spec.features << level
        self.narrow = conv(2 * channels, channels, kernel=edges(1, spec.dimensions))
        if spec.upsample == "deconv":
            self.grow: nn.Module = up_conv(channels, channels, stride=edges(2, spec.dimensions), bias=True)
        else:
            self.grow = nn.Upsample(scale_factor=2, mode=LINEAR[spec.dimensions], align_corners=False)
        self.blocks = nn.Sequential(*_blocks(spec, channels, spec.blocks_up[-1 - level]))

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Features at the resolution of `skip`."""
        out: Tensor = self.blocks(self.grow(self.narrow(coarse)) + skip)
        return out


class SegResNet(WithHead):
    """Down to the coarsest level, up again, and a 1x1 convolution."""

    def __init__(self, spec: SegResNetSpec) -> None:
        super().__init__()
        self.down = nn.ModuleList(_step_down(spec, level) for level in range(len(spec.blocks_down)))
        self.up = nn.ModuleList(StepUp(spec, level) for level in range(len(spec.blocks_up)))
        self.norm = norm(spec.norm, spec.dimensions, spec.features)
        self.act = activation(spec.activation)
        self.head = conv(spec.features, spec.out_channels, kernel=edges(1, spec.dimensions), bias=True)

    def features(self, x: Tensor) -> Tensor:
        """What the head makes logits of: (batch, channels, ...); each axis must be a multiple of the spec's divisor."""
        skips = []
        for step in self.down:
            x = step(x)
            skips.append(x)
        for step, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = step(x, skip)
        last: Tensor = self.act(self.norm(x))
        return last
