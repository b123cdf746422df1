"""Overlapping tiles into one array, plane by plane: memory for one row of tiles and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from DeepSegmentLib.data.geometry import Box, Index


_LEAST_IMPORTANCE = 1e-3

Importance = Literal["gaussian", "truncated_gaussian", "uniform"]


def importance_map(shape: Index, kind: Importance = "gaussian") -> NDArray[np.float32]:
    """Weights (k, j, i) of a patch's voxels: mostly highest in the middle, because borders lack context.

    - "gaussian": standard deviation an eighth of the extent along each axis, none below 1e-3 (MONAI).
    - "truncated_gaussian": the same round voxel n // 2, cut off at four standard deviations, in float16 with a top of
      10; where nothing is left, the least value that there is (nnU-Net).
    - "uniform": all 1.

    Every weight is above 0, so that each covered voxel has one to divide by.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (Gaussian importance weighting); MONAI, `compute_importance_map`.
    """
    if kind == "uniform":
        return np.ones(shape, dtype=np.float32)
    profile = _gaussian if kind == "gaussian" else _truncated_gaussian
    k, j, i = (profile(n) for n in shape)
    weights = k[:, None, None] * j[:, None] * i
    if kind == "gaussian":
        return np.asarray(np.maximum(weights, _LEAST_IMPORTANCE), dtype=np.float32)
    half = (10 * weights / weights.max()).astype(np.float16)
    half[half == 0] = half[half > 0].min()
    return np.asarray(half, dtype=np.float32)


def _gaussian(n: int) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2))


def _truncated_gaussian(n: int) -> NDArray[np.float64]:
    offsets = np.arange(n) - n // 2
    reach = int(4 * n / 8 + 0.5)  # as scipy.ndimage.gaussian_filter rounds it
    return np.where(np.abs(offsets) <= reach, np.exp(-0.5 * (offsets / (n / 8)) ** 2), 0)


class SlabBlender:
    """Weighted mean of overlapping tiles that arrive in the order of their first plane.

    Holds only the planes that later tiles can still touch: channels x tile depth x rows x columns.
    """

    def __init__(self, channels: int, shape: Index, depth: int) -> None:
        """Start empty.

        Args:
            channels: Channels of the tiles.
            shape: Extent (k, j, i) of the whole array.
            depth: Largest extent of a tile along k.
        """
        self._shape = shape
        self._first = 0
        self._total = np.zeros((channels, min(depth, shape[0]), *shape[1:]), dtype=np.float32)
        self._weight = np.zeros(self._total.shape[1:], dtype=np.float32)

    def add(self, tile: Box, values: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """Add a tile.

        Args:
            tile: Where; not before the planes already released.
            values: Array (channel, k, j, i) of the tile's extent.
            weights: Array (k, j, i) of positive weights.

        Raises:
            InvalidInputError: The tile reaches before the released planes or beyond the held ones.
        """
        place = tile.shift((-self._first, 0, 0))
        if place.start[0] < 0 or place.stop[0] > len(self._weight):
            raise InvalidInputError(f"tile {tile} does not fit the planes from {self._first} that are being blended")
        k, j, i = place.to_slices()
        self._total[:, k, j, i] += values * weights
        self._weight[k, j, i] += weights

    def release(self, stop: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Finish all planes before `stop`; no later tile may touch them. To be used up before the next tile is added.

        Yields:
            Index of the plane, and the plane (channel, j, i), first to last.
        """
        count = min(stop, self._shape[0]) - self._first
        for k in range(count):
            yield self._first + k, np.asarray(self._total[:, k] / self._weight[k], dtype=np.float32)
        self._drop(self._total, count)
        self._drop(self._weight[None], count)
        self._first += count

    @staticmethod
    def _drop(held: NDArray[Any], count: int) -> None:
        """Move the planes after the first `count` to the front, one by one so that no copy of all is made."""
        left = held.shape[1] - count
        for k in range(left):
            held[:, k] = held[:, k + count]
        held[:, left:] = 0
