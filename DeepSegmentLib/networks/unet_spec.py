"""The shape of a U-Net as plain data: torch-free, JSON-ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from DeepSegmentLib.errors import InvalidInputError

Size = tuple[int, ...]
"""One number an axis: (k, j, i) in 3D, (j, i) in 2D."""

# Several times what any published U-Net has; far below what costs memory or time before its weights are looked at.
_MOST_STAGES = 16
_MOST_BLOCKS = 100
_MOST_CHANNELS = 1 << 16
_WIDEST_KERNEL = 31
_LARGEST_DIVISOR = 1024


@dataclass(frozen=True)
class UNetSpec:
    """Everything that fixes a U-Net's topology.

    The lists run from the finest stage to the coarsest; `strides[0]` is all ones, so that logits have the input's
    size. The length of a kernel size says whether the network is 2D or 3D.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels (classes with background, or regions).
        features: Channels of each stage.
        kernel_sizes: Kernel of each stage, odd along each axis.
        strides: Down-sampling on entering each stage.
        encoder_blocks: Convolutions (plain) or residual blocks of each encoder stage.
        decoder_blocks: Convolutions of each decoder stage, one fewer than the stages, coarsest first.
        encoder: "plain" or "residual".
        norm: "instance", "batch" or "group" (8 groups, or one for each channel where there are fewer).
        norm_epsilon: Added to the variance in norms.
        leak: Slope of the leaky ReLU below 0; 0 for a plain one.
        stem_features: Channels of the convolution before a residual encoder; 0 for those of the first stage.
        bottleneck_features: Channels within the residual blocks of each stage, which are bottlenecks then; empty for
            blocks of two convolutions.
        attention: Whether attention gates weigh the skip connections.
        deep_supervision: Whether training uses outputs of all decoder stages; inference never does.
        architecture: Tells the kinds of networks apart in JSON.

    References:
        Çiçek et al., 3D U-Net, MICCAI 2016. Isensee et al., nnU-Net, Nat Methods 2021, and nnU-Net Revisited, MICCAI
        2024 (residual encoder). Oktay et al., Attention U-Net, MIDL 2018.
    """

    in_channels: int
    out_channels: int
    features: tuple[int, ...]
    kernel_sizes: tuple[Size, ...]
    strides: tuple[Size, ...]
    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    encoder: Literal["plain", "residual"] = "plain"
    norm: Literal["instance", "batch", "group"] = "instance"
    norm_epsilon: float = 1e-5
    leak: float = 0.01
    stem_features: int = 0
    bottleneck_features: tuple[int, ...] = ()
    attention: bool = False
    deep_supervision: bool = False
    architecture: Literal["unet"] = "unet"

    def __post_init__(self) -> None:
        self._check_lengths()
        self._check_values()
        self._check_bounds()

    def _check_lengths(self) -> None:
        stages = len(self.features)
        if stages < 2:
            raise InvalidInputError(f"a U-Net needs at least two stages, got features {self.features}")
        for name, expected in (
            ("kernel_sizes", stages),
            ("strides", stages),
            ("encoder_blocks", stages),
            ("decoder_blocks", stages - 1),
        ):
            found = len(getattr(self, name))
            if found != expected:
                raise InvalidInputError(f"{name} must have {expected} entries for {stages} stages, got {found}")

    def _check_values(self) -> None:
        if self.dimensions not in (2, 3):
            raise InvalidInputError(f"kernels must be 2D or 3D, got {self.kernel_sizes[0]}")
        if any(len(size) != self.dimensions for size in (*self.kernel_sizes, *self.strides)):
            raise InvalidInputError("all kernel sizes and strides must have the same number of axes")
        if any(edge < 1 or edge % 2 == 0 for size in self.kernel_sizes for edge in size):
            raise InvalidInputError(f"kernel sizes must be odd, got {self.kernel_sizes}")
        counts = (self.in_channels, self.out_channels, *self.features, *self.encoder_blocks, *self.decoder_blocks)
        if min(counts) < 1 or any(step < 1 for stride in self.strides for step in stride):
            raise InvalidInputError("channels, features, blocks and strides must all be at least 1")
        if max(self.strides[0]) > 1:
            raise InvalidInputError(f"the stride of the first stage must be 1 along each axis, got {self.strides[0]}")
        if self.encoder not in ("plain", "residual") or self.norm not in ("instance", "batch", "group"):
            raise InvalidInputError(f"unknown encoder {self.encoder!r} or norm {self.norm!r}")

        self._check_activations()

    def _check_activations(self) -> None:
        if not 0 < self.norm_epsilon <= 1 or not 0 <= self.leak < 1:
            raise InvalidInputError(
                f"norm_epsilon must be above 0 and leak from 0 to below 1, got {self.norm_epsilon} and {self.leak}"
            )
        if self.encoder == "plain" and (self.stem_features or self.bottleneck_features):
            raise InvalidInputError("stem_features and bottleneck_features are for residual encoders")
        if self.stem_features < 0 or any(n < 1 for n in self.bottleneck_features):
            raise InvalidInputError(
                f"stem and bottlenecks need channels, got {self.stem_features} and {self.bottleneck_features}"
            )
        if len(self.bottleneck_features) not in (0, len(self.features)):
            raise InvalidInputError(f"bottleneck_features must have one entry a stage, got {self.bottleneck_features}")

    def _check_bounds(self) -> None:
        for what, largest, allowed in (
            ("stages", len(self.features), _MOST_STAGES),
            ("blocks in a stage", max(*self.encoder_blocks, *self.decoder_blocks), _MOST_BLOCKS),
            ("channels or features", max(self.in_channels, self.out_channels, *self._widths), _MOST_CHANNELS),
            ("voxels along a kernel", max(edge for size in self.kernel_sizes for edge in size), _WIDEST_KERNEL),
            ("times down-sampling along an axis", max(self.divisor), _LARGEST_DIVISOR),
        ):
            if largest > allowed:
                raise InvalidInputError(f"a network may have at most {allowed} {what}, this one has {largest}")

    @property
    def _widths(self) -> Size:
        return (*self.features, self.stem_features, *self.bottleneck_features)

    @property
    def stem(self) -> int:
        """Channels that enter the first stage."""
        return self.in_channels if self.encoder == "plain" else self.stem_features or self.features[0]

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.kernel_sizes[0])

    @property
    def divisor(self) -> Size:
        """What each axis of a patch must be a multiple of."""
        total = [1] * self.dimensions
        for stride in self.strides:
            total = [a * b for a, b in zip(total, stride, strict=True)]
        return tuple(total)
