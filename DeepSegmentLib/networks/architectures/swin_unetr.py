"""MONAI's SwinUNETR: a Swin transformer whose feature maps a decoder of residual convolutions reads.

References:
    Hatamizadeh et al., Swin UNETR: Swin Transformers for Semantic Segmentation of Brain Tumors in MRI Images, BrainLes
    2021. He et al., SwinUNETR-V2: Stronger Swin Transformers with Stagewise Convolutions, MICCAI 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from DeepSegmentLib.networks.monai_specs.layers import LEAKY_RELU

from .layers import ResidualBlock, UpBlock, conv, edges
from .swin_transformer import SwinTransformer
from .with_head import WithHead

if TYPE_CHECKING:
    from DeepSegmentLib.networks.monai_specs import SwinUNETRSpec


class SwinUNETR(WithHead):
    """Transformer, a residual block for each of its maps (but the fourth), five steps up."""

    def __init__(self, spec: SwinUNETRSpec) -> None:
        super().__init__()
        self.transformer = SwinTransformer(spec)
        n = spec.features
        self.side = nn.ModuleList(
            _residual(spec, *sizes) for sizes in ((spec.in_channels, n), (n, n), (2 * n, 2 * n), (4 * n, 4 * n))
        )
        self.bottom = _residual(spec, 16 * n, 16 * n)
        self.up = nn.ModuleList(
            _step_up(spec, *sizes) for sizes in ((n, n), (2 * n, n), (4 * n, 2 * n), (8 * n, 4 * n), (16 * n, 8 * n))
        )
        self.head = conv(n, spec.out_channels, kernel=edges(1, spec.dimensions), bias=True)

    def features(self, x: Tensor) -> Tensor:
        """What the head makes logits of: (batch, channels, ...); each axis must be a multiple of 32."""
        *fine, coarse, coarsest = self.transformer(x)
        skips = [side(each) for side, each in zip(self.side, (x, *fine), strict=True)]
        x = self.bottom(coarsest)
        for step, skip in zip(reversed(self.up), (coarse, *reversed(skips)), strict=True):
            x = step(x, skip)
        features: Tensor = x
        return features


def _residual(spec: SwinUNETRSpec, n_in: int, n_out: int) -> ResidualBlock:
    three, one = edges(3, spec.dimensions), edges(1, spec.dimensions)
    return ResidualBlock(n_in, n_out, kernel=three, stride=one, norms=spec.norm, act=LEAKY_RELU)


def _step_up(spec: SwinUNETRSpec, n_in: int, n_out: int) -> UpBlock:
    three, two = edges(3, spec.dimensions), edges(2, spec.dimensions)
    return UpBlock(n_in, n_out, kernel=three, stride=two, norms=spec.norm, act=LEAKY_RELU, residual=True)
