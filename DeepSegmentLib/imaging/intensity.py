"""Intensities on the scale that a network was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_INTENSITY = 1e30
"""Of a volume; differences and quotients of such numbers are still numbers in float32."""

_AT_ONCE = 1 << 20

NormalizationKind = Literal["none", "zscore", "window", "percentile"]


@dataclass(frozen=True)
class Normalization:
    """How one channel is brought to the network's scale.

    - `none`: unchanged.
    - `zscore`: minus the volume's own mean, divided by its own standard deviation.
    - `window`: clipped to `low`..`high`, minus `mean`, divided by `std` (CT: the numbers of the training set).
    - `percentile`: clipped to the volume's own percentiles `low`..`high`, these mapped to 0 and 1.

    Attributes:
        kind: Which of the above.
        low: Lower end: an intensity for `window`, a percentile (0 to 100) for `percentile`.
        high: Upper end, likewise.
        mean: Subtracted by `window`.
        std: Divided by in `window`; above 0.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (`zscore`, `window`); Billot et al., SynthSeg, 2023 (`percentile`).
    """

    kind: NormalizationKind
    low: float = 0.0
    high: float = 100.0
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("none", "zscore", "window", "percentile"):
            raise InvalidInputError(f"unknown normalisation {self.kind!r}; known: none, zscore, window, percentile")
        if not self.low < self.high:
            raise InvalidInputError(f"normalisation needs low < high, got {self.low} and {self.high}")
        if self.kind == "percentile" and not (self.low >= 0 and self.high <= 100):
            raise InvalidInputError(f"percentiles must be in 0..100, got {self.low} and {self.high}")
        if not self.std > 0:
            raise InvalidInputError(f"normalisation needs std > 0, got {self.std}")
        numbers = (self.low, self.high, self.mean, self.std, 1 / self.std)
        if max(map(abs, numbers)) > LARGEST_INTENSITY:
            raise InvalidInputError(f"normalisation needs numbers that float32 can divide by, got {numbers[:4]}")


def normalize(channel: NDArray[Any], normalization: Normalization) -> NDArray[np.float32]:
    """Bring one channel to the network's scale.

    A constant channel becomes all 0 under `zscore` and `percentile`.

    Args:
        channel: Array of finite numbers, any shape.
        normalization: The rule.

    Returns:
        A new float32 array of the same shape.
    """
    values = np.array(channel, dtype=np.float32)
    if normalization.kind == "zscore":
        mean = values.mean(dtype=np.float64)
        deviation = _deviation(values, mean)
        values -= np.float32(mean)
        values /= _positive(deviation)
    elif normalization.kind == "window":
        np.clip(values, normalization.low, normalization.high, out=values)
        values -= np.float32(normalization.mean)
        values /= np.float32(normalization.std)
    elif normalization.kind == "percentile":
        low, high = np.percentile(values, [normalization.low, normalization.high])
        values -= np.float32(low)
        values /= _positive(high - low)
        np.clip(values, 0, 1, out=values)
    return values


def _deviation(values: NDArray[np.float32], mean: np.float64) -> float:
    """The standard deviation in float64, part by part: no copy of all values is made."""
    flat = values.ravel(order="K")
    parts = (flat[n : n + _AT_ONCE] for n in range(0, flat.size, _AT_ONCE))
    return float(np.sqrt(sum(float(((part - mean) ** 2).sum()) for part in parts) / flat.size))


def _positive(scale: float) -> np.float32:
    """The scale, or one where all values are equal."""
    return np.float32(scale if scale > 1e-8 else 1.0)
