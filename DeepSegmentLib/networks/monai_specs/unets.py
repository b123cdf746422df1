"""MONAI's three U-Nets as plain data."""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.measured_costs import MeasuredCosts

from .layers import (
    AFFINE_INSTANCE,
    INSTANCE,
    LEAKY_RELU,
    LEAKY_RELU_OF_BASIC,
    MOST_BLOCKS,
    MOST_CHANNELS,
    MOST_STAGES,
    NOT_MEASURED,
    PRELU,
    WIDEST_KERNEL,
    Activation,
    Norm,
    Size,
    check_channels,
    check_divisor,
    check_length,
    check_ranges,
    product,
)

_LEVELS_OF_BASIC = 5


def _check_odd(*kernels: Size) -> None:
    if any(edge % 2 == 0 for kernel in kernels for edge in kernel):
        raise InvalidInputError(f"kernel sizes must be odd, got {kernels}")


@dataclass(frozen=True)
class MonaiUNetSpec:
    """MONAI's UNet, with residual units or plain convolutions.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels.
        dimensions: 2 or 3.
        channels: Of each level, finest first.
        strides: Down-sampling of each level but the last; it happens in the level's first convolution.
        kernel_size: Of convolutions.
        up_kernel_size: Of transposed convolutions.
        residual_units: Convolutions of a level's residual unit; 0 for one plain convolution.
        activation: After each norm.
        norm: After each convolution.
        bias: Whether convolutions have one.
        activate_first: Whether the activation comes before the norm.
        costs: Measured when the model was added.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Kerfoot et al., Left-Ventricle Quantification Using Residual U-Net, STACOM 2018.
    """

    in_channels: int
    out_channels: int
    dimensions: int
    channels: tuple[int, ...]
    strides: tuple[Size, ...]
    kernel_size: Size
    up_kernel_size: Size
    residual_units: int = 0
    activation: Activation = PRELU
    norm: Norm = INSTANCE
    bias: bool = True
    activate_first: bool = False
    costs: MeasuredCosts = NOT_MEASURED
    architecture: Literal["monai_unet"] = "monai_unet"

    def __post_init__(self) -> None:
        check_channels(self.dimensions, self.in_channels, self.out_channels)
        check_length("strides", self.strides, len(self.channels) - 1)
        for size in (*self.strides, self.kernel_size, self.up_kernel_size):
            check_length("kernels and strides", size, self.dimensions)
        check_ranges(
            ("levels", (len(self.channels),), 2, MOST_STAGES),
            ("channels", self.channels, 1, MOST_CHANNELS),
            ("strides", (step for stride in self.strides for step in stride), 1, 32),
            ("kernel sizes", (*self.kernel_size, *self.up_kernel_size), 1, WIDEST_KERNEL),
            ("residual units", (self.residual_units,), 0, MOST_BLOCKS),
        )
        _check_odd(self.kernel_size, self.up_kernel_size)
        for channels in (*self.channels, self.out_channels) if self.norm.groups else ():
            self.norm.check_channels(channels)
        check_divisor(self.divisor)

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        return product(self.strides, self.dimensions)


@dataclass(frozen=True)
class BasicUNetSpec:
    """MONAI's BasicUNet: two convolutions a level, maximum pooling, five levels.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels.
        dimensions: 2 or 3.
        features: Of the five levels, finest first, and of the last convolutions.
        activation: After each norm.
        norm: After each convolution.
        bias: Whether convolutions have one.
        upsample: "deconv", a transposed convolution, or "linear" interpolation after a 1x1 convolution.
        costs: Measured when the model was added.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Falk et al., U-Net: Deep Learning for Cell Counting, Detection, and Morphometry, Nat Methods 2019.
    """

    in_channels: int
    out_channels: int
    dimensions: int = 3
    features: tuple[int, ...] = (32, 32, 64, 128, 256, 32)
    activation: Activation = LEAKY_RELU_OF_BASIC
    norm: Norm = AFFINE_INSTANCE
    bias: bool = True
    upsample: Literal["deconv", "linear"] = "deconv"
    costs: MeasuredCosts = NOT_MEASURED
    architecture: Literal["monai_basic_unet"] = "monai_basic_unet"

    def __post_init__(self) -> None:
        check_channels(self.dimensions, self.in_channels, self.out_channels)
        check_length("features", self.features, _LEVELS_OF_BASIC + 1)
        check_ranges(("features", self.features, 2, MOST_CHANNELS))
        for channels in self.features:
            self.norm.check_channels(channels)
        if self.upsample not in ("deconv", "linear"):
            raise InvalidInputError(f"upsample must be deconv or linear, got {self.upsample!r}")

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        return (2 ** (_LEVELS_OF_BASIC - 1),) * self.dimensions


@dataclass(frozen=True)
class DynUNetSpec:
    """MONAI's DynUNet, after nnU-Net.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels.
        dimensions: 2 or 3.
        features: Of each level, finest first.
        kernel_sizes: Of each level.
        strides: On entering each level; that of the first is 1.
        residual: Whether the encoder's blocks are residual ones.
        activation: After each norm.
        norm: After each convolution.
        up_bias: Whether transposed convolutions have a bias.
        costs: Measured when the model was added.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Isensee et al., Automated Design of Deep Learning Methods for Biomedical Image Segmentation, 2019. Futrega et
        al., Optimized U-Net for Brain Tumor Segmentation, 2021.
    """

    in_channels: int
    out_channels: int
    dimensions: int
    features: tuple[int, ...]
    kernel_sizes: tuple[Size, ...]
    strides: tuple[Size, ...]
    residual: bool = False
    activation: Activation = LEAKY_RELU
    norm: Norm = AFFINE_INSTANCE
    up_bias: bool = False
    costs: MeasuredCosts = NOT_MEASURED
    architecture: Literal["monai_dynunet"] = "monai_dynunet"

    def __post_init__(self) -> None:
        check_channels(self.dimensions, self.in_channels, self.out_channels)
        check_length("features", self.features, len(self.strides))
        check_length("kernel_sizes", self.kernel_sizes, len(self.strides))
        for size in (*self.kernel_sizes, *self.strides):
            check_length("kernels and strides", size, self.dimensions)
        check_ranges(
            ("levels", (len(self.strides),), 3, MOST_STAGES),
            ("features", self.features, 1, MOST_CHANNELS),
            ("kernel sizes", (edge for kernel in self.kernel_sizes for edge in kernel), 1, WIDEST_KERNEL),
            ("strides", (step for stride in self.strides for step in stride), 1, 32),
            ("strides of the first level", self.strides[0], 1, 1),
        )
        _check_odd(*self.kernel_sizes)
        if any(
            step > edge + 1
            for sizes in zip(self.kernel_sizes, self.strides, strict=True)
            for edge, step in zip(*sizes, strict=True)
        ):
            raise InvalidInputError(f"strides {self.strides} leave gaps between kernels {self.kernel_sizes}")
        if self.residual and max(step for stride in self.strides for step in stride) > 2:
            raise InvalidInputError(f"residual blocks need strides of 1 and 2, got {self.strides}")
        for channels in self.features:
            self.norm.check_channels(channels)
        check_divisor(self.divisor)

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        return product(self.strides, self.dimensions)
