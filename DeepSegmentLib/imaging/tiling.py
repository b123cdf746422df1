"""Cover a volume with overlapping tiles, each the size the network sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from DeepSegmentLib.data.geometry import Box, Index
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator


_ROUNDING = 1e-9
"""1 - 0.7 is a little more than 0.3."""

Overlaps = tuple[float, float, float]
LastTile = Literal["spread", "at_border"]


def plan_tiles(
    shape: Index, patch_shape: Index, *, overlap: float | Overlaps, last_tile: LastTile = "spread"
) -> Iterator[Box]:
    """Place tiles so that every voxel lies in at least one of them.

    An axis shorter than the patch gets one tile of its own length; the predictor pads it. Tiles are made one by one:
    `count_tiles` tells beforehand how many there will be.

    Args:
        shape: Volume extent (k, j, i), in voxels.
        patch_shape: Network input extent (k, j, i), in voxels.
        overlap: Shared fraction of neighbouring tiles, in [0, 1), or that of each axis; at least that, but for rounding
            to whole voxels.
        last_tile: "spread": tiles are spread evenly, as nnU-Net does; "at_border": all steps are the same, rounded
            down, and the last tile is moved back to the border, as MONAI does.

    Returns:
        Tiles in raster order, all inside the volume, none twice.

    Raises:
        InvalidInputError: `overlap` is outside [0, 1), or an extent is below 1.

    Example:
        >>> [tile.start[2] for tile in plan_tiles((1, 1, 110), (1, 1, 64), overlap=0.5)]
        [0, 23, 46]
        >>> [tile.start[2] for tile in plan_tiles((1, 1, 110), (1, 1, 64), overlap=0.5, last_tile="at_border")]
        [0, 32, 46]

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (even spacing of the sliding window); MONAI, `dense_patch_slices`.
    """
    tile = tile_shape(shape, patch_shape)
    axes = [
        _Axis(n, size, step) for n, size, step in zip(shape, tile, _steps(shape, tile, overlap, last_tile), strict=True)
    ]
    place = _spread if last_tile == "spread" else _at_border

    def starts(axis: int) -> Iterator[int]:
        return (place(axes[axis], step) for step in range(axes[axis].count + 1))

    corners = ((z, y, x) for z in starts(0) for y in starts(1) for x in starts(2))
    return (Box(corner, (corner[0] + tile[0], corner[1] + tile[1], corner[2] + tile[2])) for corner in corners)


def count_tiles(shape: Index, patch_shape: Index, *, overlap: float | Overlaps, last_tile: LastTile = "spread") -> int:
    """How many tiles `plan_tiles` places, by arithmetic alone; arguments and errors are its own.

    Example:
        >>> count_tiles((1, 1, 110), (1, 1, 64), overlap=0.5), count_tiles((10**9,) * 3, (64,) * 3, overlap=0)
        (3, 3814697265625000000000)
    """
    tile = tile_shape(shape, patch_shape)
    steps = _steps(shape, tile, overlap, last_tile)
    return math.prod(_Axis(n, size, step).count + 1 for n, size, step in zip(shape, tile, steps, strict=True))


def tile_shape(shape: Index, patch_shape: Index) -> Index:
    """Extent (k, j, i) of every tile: the patch, or the volume where that is shorter."""
    k, j, i = (min(n, patch) for n, patch in zip(shape, patch_shape, strict=True))
    return k, j, i


@dataclass(frozen=True)
class _Axis:
    """Voxels of the volume and of a tile along an axis, and the longest step from tile to tile."""

    n: int
    size: int
    step: float

    @property
    def last(self) -> int:
        """Where the last tile begins."""
        return self.n - self.size

    @property
    def count(self) -> int:
        """Steps from the first tile to the last."""
        return math.ceil(self.last / self.step - _ROUNDING)


def _spread(axis: _Axis, step: int) -> int:
    return round(axis.last / axis.count * step) if axis.count else 0


def _at_border(axis: _Axis, step: int) -> int:
    return min(step * int(axis.step), axis.last)


def _steps(shape: Index, tile: Index, overlap: float | Overlaps, last_tile: LastTile) -> list[float]:
    """The longest step from tile to tile, for each axis; never less than a voxel."""
    overlaps = overlap if isinstance(overlap, tuple) else (overlap,) * 3
    if not all(0 <= each < 1 for each in overlaps):
        raise InvalidInputError(f"overlap must be in [0, 1), got {overlap}")
    if min(*shape, *tile) < 1:
        raise InvalidInputError(f"shape and patch must be at least 1 along each axis, got {shape} and {tile}")
    steps = [size * (1 - each) for size, each in zip(tile, overlaps, strict=True)]
    return [max(1.0, float(int(step)) if last_tile == "at_border" else step) for step in steps]
