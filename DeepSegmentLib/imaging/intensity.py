"""Intensities on the scale that a network was trained with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from DeepSegmentLib.data.progress import check_stop, waited_for
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

LARGEST_INTENSITY = 1e30
"""Of a volume; differences and quotients of such numbers are still numbers in float32."""

NormalizationKind = Literal["none", "zscore", "window", "sigmoid", "percentile"]
_KINDS: tuple[str, ...] = get_args(NormalizationKind)


@dataclass(frozen=True)
class Normalization:
    """How one channel is brought to the network's scale.

    - `none`: unchanged (nnU-Net's NoNormalization).
    - `zscore`: minus the volume's own mean, divided by its own standard deviation (nnU-Net's ZScoreNormalization;
      MONAI's NormalizeIntensity).
    - `window`: clipped to `low`..`high`, minus `mean`, divided by `std` (nnU-Net's CTNormalization, with the numbers of
      the training set; its RGBTo01Normalization is 0..255, 0 and 255; MONAI's ScaleIntensityRange to b_min..b_max has
      std = (a_max - a_min) / (b_max - b_min) and mean = a_min - b_min std).
    - `sigmoid`: 1 / (1 + exp(-(x - mean) / std)) (MONAI's Auto3DSeg, for CT).
    - `percentile`: the volume's own percentiles `low` and `high` mapped to 0 and 1, clipped to these, minus `mean`,
      divided by `std` (MONAI's ScaleIntensityRangePercentiles to b_min..b_max has std = 1 / (b_max - b_min) and
      mean = -b_min std; 0 and 100 are nnU-Net's RescaleTo01Normalization and MONAI's ScaleIntensity).

    Attributes:
        kind: Which of the above.
        low: Lower end: an intensity for `window`, a percentile (0 to 100) for `percentile`.
        high: Upper end, likewise.
        mean: Subtracted by `window`, `sigmoid` and `percentile`.
        std: Divided by in these; above 0.
        over: Which voxels count for `zscore` and `percentile`; all others become 0. "all"; "nonzero": those of the
            channel that are not 0 (MONAI's nonzero); "filled_nonzero": those where any channel is not 0, and what they
            enclose (nnU-Net's use_mask_for_norm).
        clip: Whether `window` and `percentile` clip.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021; Cardoso et al., MONAI, 2022; Billot et al., SynthSeg, 2023
        (`percentile`).
    """

    kind: NormalizationKind
    low: float = 0.0
    high: float = 100.0
    mean: float = 0.0
    std: float = 1.0
    over: Literal["all", "nonzero", "filled_nonzero"] = "all"
    clip: bool = True

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InvalidInputError(f"unknown normalisation {self.kind!r}; known: {', '.join(_KINDS)}")
        if not self.low < self.high:
            raise InvalidInputError(f"normalisation needs low < high, got {self.low} and {self.high}")
        if self.kind == "percentile" and not (self.low >= 0 and self.high <= 100):
            raise InvalidInputError(f"percentiles must be in 0..100, got {self.low} and {self.high}")
        if not self.std > 0:
            raise InvalidInputError(f"normalisation needs std > 0, got {self.std}")
        numbers = (self.low, self.high, self.mean, self.std, 1 / self.std)
        if max(map(abs, numbers)) > LARGEST_INTENSITY:
            raise InvalidInputError(f"normalisation needs numbers that float32 can divide by, got {numbers[:4]}")
        if self.over not in ("all", "nonzero", "filled_nonzero"):
            raise InvalidInputError(f"over must be all, nonzero or filled_nonzero, got {self.over!r}")

    @property
    def of_volume(self) -> bool:
        """Whether the numbers come from the volume itself."""
        return self.kind in ("zscore", "percentile")


@dataclass(frozen=True)
class Scale:
    """What is done with each intensity: minus `offset`, divided by `unit`, clipped, and on as the rule says.

    Attributes:
        rule: The rule.
        offset: Of the volume's own, or of the rule.
        unit: Likewise; above 0.
    """

    rule: Normalization
    offset: np.float32
    unit: np.float32

    def __call__(self, channel: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """A new float32 array of the channel's shape, 0 where `mask` is false."""
        rule = self.rule
        values = np.array(channel, dtype=np.float32)
        if rule.kind == "none":
            return values
        if rule.kind == "window" and rule.clip:
            np.clip(values, rule.low, rule.high, out=values)
        values -= self.offset
        values /= self.unit
        if rule.kind == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-np.clip(values, -80, 80))), dtype=np.float32)
        if rule.kind == "percentile":
            self._finish_percentile(values)
        if mask is not None:
            values[~mask] = 0
        return values

    def _finish_percentile(self, values: NDArray[np.float32]) -> None:
        if self.rule.clip:
            np.clip(values, 0, 1, out=values)
        if (self.rule.mean, self.rule.std) != (0, 1):
            values -= np.float32(self.rule.mean)
            values /= np.float32(self.rule.std)


def scale_of(channel: NDArray[Any], rule: Normalization, mask: NDArray[np.bool_] | None = None) -> Scale:
    """The numbers that a rule takes from a channel.

    Args:
        channel: Array of finite numbers, any shape.
        rule: The rule.
        mask: Which voxels count; None for all.
    """
    if not rule.of_volume:
        return Scale(rule, np.float32(rule.mean), np.float32(rule.std))
    if not (channel.size if mask is None else mask.any()):
        return Scale(rule, np.float32(0), np.float32(1))
    if rule.kind == "zscore":
        mean, deviation = _moments(channel, mask)
        return Scale(rule, np.float32(mean), _positive(deviation))
    values = np.asarray(channel if mask is None else channel[mask], dtype=np.float32)
    low, high = waited_for(lambda: np.percentile(values, [rule.low, rule.high]))
    return Scale(rule, np.float32(low), _positive(high - low))


@dataclass(frozen=True, eq=False)
class ScaledVoxels:
    """Voxels (channel, k, j, i) that are scaled when they are looked at, part by part: no scaled copy of all is made.

    Attributes:
        voxels: As they are.
        scales: One for each channel.
        masks: What counts of each channel (k, j, i); None for all.
    """

    voxels: NDArray[Any]
    scales: Sequence[Scale]
    masks: Sequence[NDArray[np.bool_] | None]

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels and extents."""
        return self.voxels.shape

    @property
    def size(self) -> int:
        """Number of values."""
        return self.voxels.size

    def __len__(self) -> int:
        return len(self.voxels)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.float32]:
        """A part of all channels, or some of them, in float32."""
        chosen, inner = range(len(self))[index[0]], index[1:]
        result = np.empty((len(chosen), *self.voxels[0][inner].shape), dtype=np.float32)
        for part, n in zip(result, chosen, strict=True):
            mask = self.masks[n]
            part[...] = self.scales[n](self.voxels[n][inner], None if mask is None else mask[inner])
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),)], dtype=dtype)


def mask_of(
    channel: NDArray[Any], rule: Normalization, filled: Callable[[], NDArray[np.bool_]]
) -> NDArray[np.bool_] | None:
    """The voxels that count for a rule and stay; None for all.

    Args:
        channel: Array of one channel.
        rule: The rule.
        filled: Gives the mask for "filled_nonzero", see `filled_nonzero`.
    """
    if not rule.of_volume or rule.over == "all":
        return None
    return np.asarray(channel != 0) if rule.over == "nonzero" else filled()


def filled_nonzero(channels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where any channel of (channel, k, j, i) is not 0, and what that encloses in 3D."""
    mask = np.zeros(channels.shape[1:], dtype=bool)
    for channel in channels:
        mask |= channel != 0
    from scipy import ndimage  # a model's spec names rules of this module, and a list of models needs no scipy

    return np.asarray(waited_for(partial(ndimage.binary_fill_holes, mask)))


def normalize(channel: NDArray[Any], rule: Normalization) -> NDArray[np.float32]:
    """Bring one channel to the network's scale, all by itself.

    A constant channel becomes all 0 under `zscore` and `percentile`.

    Args:
        channel: Array of finite numbers, (k, j, i).
        rule: The rule.

    Returns:
        A new float32 array of the same shape.
    """
    mask = mask_of(channel, rule, lambda: filled_nonzero(channel[None]))
    return scale_of(channel, rule, mask)(channel, mask)


def _moments(channel: NDArray[Any], mask: NDArray[np.bool_] | None) -> tuple[float, float]:
    """Mean and standard deviation in float64, plane by plane: no copy of all values is made."""
    count = channel.size if mask is None else int(mask.sum())
    mean = sum(float(plane.sum(dtype=np.float64)) for plane in _planes(channel, mask)) / count
    squares = sum(float(((plane - np.float64(mean)) ** 2).sum()) for plane in _planes(channel, mask))
    return mean, math.sqrt(squares / count)


def _planes(channel: NDArray[Any], mask: NDArray[np.bool_] | None) -> Iterator[NDArray[np.float32]]:
    for k, plane in enumerate(np.atleast_2d(channel)):
        check_stop()
        yield np.asarray(plane if mask is None else plane[np.atleast_2d(mask)[k]], dtype=np.float32)


def _positive(scale: float) -> np.float32:
    """The scale, or one where all values are equal."""
    return np.float32(scale if scale > 1e-8 else 1.0)
