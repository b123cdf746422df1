"""MONAI's DynUNet: kernels and strides of each level are free, as nnU-Net plans them.

References:
    Isensee et al., Automated Design of Deep Learning Methods for Biomedical Image Segmentation, 2019. Futrega et al.,
    Optimized U-Net for Brain Tumor Segmentation, 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .layers import PlainBlock, ResidualBlock, UpBlock, chain, conv, edges
from .with_head import WithHead

if TYPE_CHECKING:
    from DeepSegmentLib.networks.monai_specs import DynUNetSpec


class DynUNet(WithHead):
    """One block of two convolutions a level down, and one up."""

    def __init__(self, spec: DynUNetSpec) -> None:
        super().__init__()
        block = ResidualBlock if spec.residual else PlainBlock
        steps = chain((spec.in_channels, *spec.features))
        self.down = nn.ModuleList(
            block(*sizes, kernel=kernel, stride=stride, norms=spec.norm, act=spec.activation)
            for sizes, kernel, stride in zip(steps, spec.kernel_sizes, spec.strides, strict=True)
        )
        self.up = nn.ModuleList(
            UpBlock(
                coarse,
                fine,
                kernel=kernel,
                stride=stride,
                norms=spec.norm,
                act=spec.activation,
                residual=False,
                bias=spec.up_bias,
            )
            for (fine, coarse), kernel, stride in zip(
                chain(spec.features), spec.kernel_sizes[1:], spec.strides[1:], strict=True
            )
        )
        self.head = conv(spec.features[0], spec.out_channels, kernel=edges(1, spec.dimensions), bias=True)

    def features(self, x: Tensor) -> Tensor:
        """What the head makes logits of: (batch, channels, ...); each axis must be a multiple of the spec's divisor."""
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
        for step, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = step(x, skip)
        return x
