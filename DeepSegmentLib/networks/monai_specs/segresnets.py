"""MONAI's two SegResNets as plain data."""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.measured_costs import MeasuredCosts

from .layers import (
    BATCH,
    GROUP_OF_8,
    MOST_BLOCKS,
    MOST_CHANNELS,
    MOST_STAGES,
    NOT_MEASURED,
    RELU,
    Activation,
    Norm,
    Size,
    check_channels,
    check_divisor,
    check_length,
    check_ranges,
    product,
)


def _check_blocks(spec: SegResNetSpec | SegResNetDSSpec) -> None:
    check_channels(spec.dimensions, spec.in_channels, spec.out_channels)
    check_length("blocks_up", spec.blocks_up, len(spec.blocks_down) - 1)
    check_ranges(
        ("levels", (len(spec.blocks_down),), 2, MOST_STAGES),
        ("blocks of a level", (*spec.blocks_down, *spec.blocks_up), 0, MOST_BLOCKS),
        ("features", (spec.features, spec.features << (len(spec.blocks_down) - 1)), 1, MOST_CHANNELS),
    )
    spec.norm.check_channels(spec.features)
    if spec.upsample not in ("deconv", "linear"):
        raise InvalidInputError(f"upsample must be deconv or linear, got {spec.upsample!r}")


@dataclass(frozen=True)
class SegResNetSpec:
    """MONAI's SegResNet: residual blocks, twice the features a level, short ways added.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels.
        dimensions: 2 or 3.
        features: Of the finest level.
        blocks_down: Residual blocks of each level of the encoder, finest first.
        blocks_up: Of the decoder, coarsest first, one level fewer.
        activation: After each norm.
        norm: Before each activation.
        upsample: "linear" interpolation, or "deconv", a transposed convolution.
        costs: Measured when the model was added.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Myronenko, 3D MRI Brain Tumor Segmentation Using Autoencoder Regularization, BrainLes 2018.
    """

    in_channels: int
    out_channels: int
    dimensions: int = 3
    features: int = 8
    blocks_down: tuple[int, ...] = (1, 2, 2, 4)
    blocks_up: tuple[int, ...] = (1, 1, 1)
    activation: Activation = RELU
    norm: Norm = GROUP_OF_8
    upsample: Literal["deconv", "linear"] = "linear"
    costs: MeasuredCosts = NOT_MEASURED
    architecture: Literal["monai_segresnet"] = "monai_segresnet"

    def __post_init__(self) -> None:
        _check_blocks(self)
        check_divisor(self.divisor)

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        return (2 ** (len(self.blocks_down) - 1),) * self.dimensions


@dataclass(frozen=True)
class SegResNetDSSpec:
    """MONAI's SegResNetDS, the network of Auto3DSeg; without the heads that only training needs.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels.
        strides: Of each level, finest first; along axes where one is 1 the level's kernels are 1, else 3. The last
            level's is used for its kernels only.
        features: Of the finest level.
        blocks_down: Residual blocks of each level of the encoder, finest first.
        blocks_up: Of the decoder, coarsest first, one level fewer.
        activation: After each norm.
        norm: Before each activation.
        upsample: "deconv", a transposed convolution, or "linear" interpolation after a 1x1 convolution.
        costs: Measured when the model was added.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Myronenko, 3D MRI Brain Tumor Segmentation Using Autoencoder Regularization, BrainLes 2018, and Automated
        Segmentation of Organs and Tumors from Partially Labeled 3D CT, 2023 (deep supervision, thick slices).
    """

    in_channels: int
    out_channels: int
    strides: tuple[Size, ...]
    features: int = 32
    blocks_down: tuple[int, ...] = (1, 2, 2, 4)
    blocks_up: tuple[int, ...] = (1, 1, 1)
    activation: Activation = RELU
    norm: Norm = BATCH
    upsample: Literal["deconv", "linear"] = "deconv"
    costs: MeasuredCosts = NOT_MEASURED
    architecture: Literal["monai_segresnet_ds"] = "monai_segresnet_ds"

    def __post_init__(self) -> None:
        check_length("strides", self.strides, len(self.blocks_down))
        for stride in self.strides:
            check_length("strides", stride, self.dimensions)
        check_ranges(("strides", (step for stride in self.strides for step in stride), 1, 2))
        _check_blocks(self)
        check_divisor(self.divisor)

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.strides[0]) if self.strides else 0

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        return product(self.strides[:-1], self.dimensions)
