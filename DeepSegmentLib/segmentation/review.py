"""Where a person should look first: the places of highest uncertainty, spread over the volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Volume

_COARSE_MM = 3.0


@dataclass(frozen=True, eq=False)
class Places:
    """Places to look at, the most uncertain first.

    Attributes:
        points_ras: Array (n, 3) in RAS mm.
        scores: Mean uncertainty around each, 0 to 1, falling.
    """

    points_ras: NDArray[np.float64]
    scores: NDArray[np.float64]


def most_uncertain_places(
    uncertainty: Volume, *, count: int = 20, radius_mm: float = 6.0, distance_mm: float = 15.0, least: float = 0.05
) -> Places:
    """Find where uncertainty is high in a whole neighbourhood, not only along a boundary.

    Every boundary is uncertain by a voxel; averaging over a neighbourhood lets thick uncertain zones win. The map is
    averaged in blocks of about 3 mm first, so the cost does not depend on how fine the volume is.

    Args:
        uncertainty: One channel in [0, 1], such as the entropy map of a prediction.
        count: At most so many places.
        radius_mm: Size of the neighbourhood: twice the standard deviation of its Gaussian weights.
        distance_mm: Least distance of two places.
        least: Places with a lower score are left out.

    Raises:
        InvalidInputError: A setting is out of range.
    """
    if count < 0 or radius_mm <= 0 or distance_mm < 0:
        raise InvalidInputError(
            f"count, radius and distance must not be negative, got {count}, {radius_mm} mm, {distance_mm} mm"
        )
    spacing = np.asarray(uncertainty.geometry.spacing_mm)
    blocks = np.clip(np.floor(_COARSE_MM / spacing), 1, uncertainty.geometry.shape).astype(int)
    coarse = _block_means(uncertainty.voxels[0], blocks)
    step = spacing * blocks
    scores = ndimage.gaussian_filter(coarse, radius_mm / 2 / step, mode="nearest")
    peaks, heights = _peaks(scores, step, count, distance_mm, least)
    index = peaks * blocks + (np.minimum(blocks, np.asarray(uncertainty.geometry.shape) - peaks * blocks) - 1) / 2
    return Places(uncertainty.geometry.index_to_ras(index.reshape(-1, 3)), heights)


def _block_means(voxels: NDArray[np.float32], blocks: NDArray[np.int64]) -> NDArray[np.float32]:
    """Means over blocks of voxels; those at the far borders may be smaller."""
    starts = [np.arange(0, extent, block) for extent, block in zip(voxels.shape, blocks, strict=True)]
    means: NDArray[np.float32] = np.asarray(voxels, dtype=np.float32)
    for axis, (start, extent) in enumerate(zip(starts, voxels.shape, strict=True)):
        lengths = np.diff(np.append(start, extent)).astype(np.float32)
        shape = [-1 if n == axis else 1 for n in range(3)]
        means = (np.add.reduceat(means, start, axis=axis) / lengths.reshape(shape)).astype(np.float32)
    return means


def _peaks(
    scores: NDArray[np.float32], step: NDArray[np.float64], count: int, distance_mm: float, least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The highest voxels, each at least a distance from those before it."""
    left = scores.copy()
    reach = np.ceil(distance_mm / step).astype(int)
    peaks: list[tuple[int, ...]] = []
    heights: list[float] = []
    while len(peaks) < count:
        peak = np.unravel_index(int(left.argmax()), left.shape)
        if left[peak] < least:
            break
        heights.append(float(left[peak]))
        peaks.append(tuple(int(n) for n in peak))
        _suppress(left, np.array(peak), reach, step, distance_mm)
    return np.array(peaks, dtype=float).reshape(-1, 3), np.array(heights)


def _suppress(
    scores: NDArray[np.float32],
    peak: NDArray[np.int64],
    reach: NDArray[np.int64],
    step: NDArray[np.float64],
    distance_mm: float,
) -> None:
    """Put the ball around a peak out of the running."""
    low, high = np.maximum(peak - reach, 0), np.minimum(peak + reach + 1, scores.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [(np.arange(a, b) - p) * s for a, b, p, s in zip(low, high, peak, step, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij", sparse=True)
    ball = k**2 + j**2 + i**2 < max(distance_mm, 1e-9) ** 2
    scores[box][ball] = -1
