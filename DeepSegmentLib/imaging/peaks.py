"""The highest places of a map, spread over it; on block means, so that the cost does not follow the resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def block_means(voxels: NDArray[Any], blocks: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """Means over blocks of voxels; those at the far borders may be smaller.

    Args:
        voxels: Numbers or truth values (k, j, i).
        blocks: Extent of a block (k, j, i), in voxels.
    """
    _, *starts = (np.arange(0, extent, block) for extent, block in zip(voxels.shape, blocks, strict=True))
    ends = [np.append(start, extent) for start, extent in zip(starts, voxels.shape[1:], strict=True)]
    area = np.multiply.outer(*(np.diff(end) for end in ends)).astype(np.float32)
    slabs = (
        voxels[k : k + int(blocks[0])].mean(axis=0, dtype=np.float32) for k in range(0, len(voxels), int(blocks[0]))
    )
    sums = [np.add.reduceat(np.add.reduceat(slab, starts[0], axis=0), starts[1], axis=1) for slab in slabs]
    return np.asarray(np.stack(sums) / area, dtype=np.float32)


def block_centers(
    index: NDArray[Any], blocks: Sequence[int] | NDArray[np.int64], shape: Sequence[int]
) -> NDArray[np.float64]:
    """Where the middles of blocks are, in voxels of the array that the blocks were made of.

    Args:
        index: Which blocks (n, 3).
        blocks: Extent of a block (k, j, i), in voxels.
        shape: Extent of the array.
    """
    first = np.asarray(index).reshape(-1, 3) * np.asarray(blocks)
    return np.asarray(first + (np.minimum(blocks, np.asarray(shape) - first) - 1) / 2, dtype=np.float64)


def highest_peaks(
    scores: NDArray[np.float32],
    spacing_mm: Sequence[float] | NDArray[np.float64],
    *,
    count: int,
    distance_mm: float,
    least: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The highest voxels of a map, each at least a distance from those before it.

    Args:
        scores: Map (k, j, i).
        spacing_mm: Voxel size along (k, j, i).
        count: At most so many.
        distance_mm: Least distance of two of them.
        least: Lower ones are left out.

    Returns:
        Their indices (n, 3) and heights (n,), falling.
    """
    left, spacing = scores.copy(), np.asarray(spacing_mm, dtype=np.float64)
    peaks: list[tuple[int, ...]] = []
    heights: list[float] = []
    while len(peaks) < count:
        peak = np.unravel_index(int(left.argmax()), left.shape)
        if left[peak] < least:
            break
        heights.append(float(left[peak]))
        peaks.append(tuple(int(n) for n in peak))
        suppress(left, np.array(peak), spacing, distance_mm)
    return np.array(peaks, dtype=np.int64).reshape(-1, 3), np.array(heights)


def suppress(
    scores: NDArray[np.float32], center: NDArray[Any], spacing_mm: NDArray[np.float64], distance_mm: float
) -> None:
    """Put the ball around a place (k, j, i), which may lie outside, out of the running: its scores become -1."""
    reach = distance_mm / spacing_mm
    low = np.clip(np.ceil(center - reach), 0, scores.shape).astype(int)
    high = np.clip(np.floor(center + reach) + 1, low, scores.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [(np.arange(a, b) - p) * s for a, b, p, s in zip(low, high, center, spacing_mm, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij", sparse=True)
    scores[box][k**2 + j**2 + i**2 < max(distance_mm, 1e-9) ** 2] = -1
