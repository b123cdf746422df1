"""MONAI's two transformers as plain data."""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.measured_costs import MeasuredCosts

from .layers import (
    INSTANCE,
    MOST_BLOCKS,
    MOST_CHANNELS,
    NOT_MEASURED,
    Norm,
    Size,
    check_channels,
    check_length,
    check_ranges,
)

_STAGES = 4
_MOST_TOKENS = 2048
_LARGEST_IMAGE = 1024
VIT_PATCH = 16
"""Voxels along the edge of a token of UNETR."""


@dataclass(frozen=True)
class SwinUNETRSpec:
    """MONAI's SwinUNETR.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels.
        dimensions: 2 or 3.
        features: Of the finest tokens; twice as many a stage.
        depths: Blocks of each of the four stages, every second with shifted windows.
        heads: Of the attention of each stage.
        window: Tokens along each edge of a window.
        mlp_ratio: Hidden features of a block's perceptron, by its features.
        qkv_bias: Whether queries, keys and values have a bias.
        norm: Of the convolutions.
        normalize: Whether the stages' outputs are normalised.
        patch_norm: Whether the tokens are normalised at the start.
        merging: Which neighbours are joined into one token, and in which order: "published", as MONAI did it before
            1.5 (two of eight twice and two never, which its weights have learnt); "all", as since then; "v2".
        convolutions: Whether a residual block of convolutions begins each stage (SwinUNETR-V2).
        costs: Measured when the model was added.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Hatamizadeh et al., Swin UNETR, BrainLes 2021. Liu et al., Swin Transformer, ICCV 2021. He et al.,
        SwinUNETR-V2, MICCAI 2023.
    """

    in_channels: int
    out_channels: int
    dimensions: int = 3
    features: int = 24
    depths: tuple[int, ...] = (2, 2, 2, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: Size = (7, 7, 7)
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    norm: Norm = INSTANCE
    normalize: bool = True
    patch_norm: bool = False
    merging: Literal["published", "all", "v2"] = "all"
    convolutions: bool = False
    costs: MeasuredCosts = NOT_MEASURED
    architecture: Literal["monai_swin_unetr"] = "monai_swin_unetr"

    def __post_init__(self) -> None:
        check_channels(self.dimensions, self.in_channels, self.out_channels)
        check_length("depths", self.depths, _STAGES)
        check_length("heads", self.heads, _STAGES)
        check_length("window", self.window, self.dimensions)
        check_ranges(
            ("features", (self.features, self.features << _STAGES), 1, MOST_CHANNELS),
            ("depths", self.depths, 1, MOST_BLOCKS),
            ("heads", self.heads, 1, MOST_CHANNELS),
            ("window sizes", (*self.window, math.prod(self.window)), 1, _MOST_TOKENS),
            ("mlp_ratio", (self.mlp_ratio,), 0.1, 64),
        )
        if any((self.features << stage) % heads for stage, heads in enumerate(self.heads)):
            raise InvalidInputError(f"the heads {self.heads} do not divide {self.features} features, doubled a stage")
        if self.merging not in ("published", "all", "v2"):
            raise InvalidInputError(f"merging must be published, all or v2, got {self.merging!r}")

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        return (2 ** (_STAGES + 1),) * self.dimensions


@dataclass(frozen=True)
class UNETRSpec:
    """MONAI's UNETR: a vision transformer of twelve blocks whose tokens a decoder of convolutions reads.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels.
        image_shape: The only extent that it takes; its places are learnt by heart.
        features: Of the finest convolutions.
        hidden: Of a token.
        mlp: Hidden features of a block's perceptron.
        heads: Of the attention.
        tokens: How patches of 16 voxels become tokens: a "convolution", or their voxels in a row ("perceptron").
        norm: Of the convolutions.
        convolve: Whether convolutions follow the transposed ones between transformer and decoder.
        residual: Whether blocks of convolutions are residual ones.
        qkv_bias: Whether queries, keys and values have a bias.
        costs: Measured when the model was added.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Hatamizadeh et al., UNETR: Transformers for 3D Medical Image Segmentation, WACV 2022. Dosovitskiy et al., An
        Image is Worth 16x16 Words, ICLR 2021.
    """

    in_channels: int
    out_channels: int
    image_shape: Size
    features: int = 16
    hidden: int = 768
    mlp: int = 3072
    heads: int = 12
    tokens: Literal["convolution", "perceptron"] = "convolution"
    norm: Norm = INSTANCE
    convolve: bool = True
    residual: bool = True
    qkv_bias: bool = False
    costs: MeasuredCosts = NOT_MEASURED
    architecture: Literal["monai_unetr"] = "monai_unetr"

    def __post_init__(self) -> None:
        check_channels(self.dimensions, self.in_channels, self.out_channels)
        check_ranges(
            ("image extents", self.image_shape, VIT_PATCH, _LARGEST_IMAGE),
            ("features", (self.features, self.features * 8, self.hidden, self.mlp), 1, MOST_CHANNELS),
            ("heads", (self.heads,), 1, MOST_CHANNELS),
        )
        if any(edge % VIT_PATCH for edge in self.image_shape) or self.hidden % self.heads:
            raise InvalidInputError(
                f"image extents must be multiples of {VIT_PATCH} and features of the heads, got {self.image_shape}, "
                f"{self.hidden} features and {self.heads} heads"
            )
        if self.tokens not in ("convolution", "perceptron"):
            raise InvalidInputError(f"tokens must be convolution or perceptron, got {self.tokens!r}")

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.image_shape)

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        return (VIT_PATCH,) * self.dimensions

    @property
    def fixed_shape(self) -> Size:
        """The only extent that it takes."""
        return self.image_shape
