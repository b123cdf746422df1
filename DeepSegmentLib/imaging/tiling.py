"""Cover a volume with overlapping tiles, each the size the network sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from DeepSegmentLib.data.geometry import Box, Index
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def plan_tiles(shape: Index, patch_shape: Index, *, overlap: float) -> Iterator[Box]:
    """Place tiles so that every voxel lies in at least one of them.

    Tiles are spread evenly instead of pushing the last one back against the border, so the overlap is the same along
    an axis and never less than asked for. An axis shorter than the patch gets one tile of its own length; the
    predictor pads it. Tiles are made one by one: `count_tiles` tells beforehand how many there will be.

    Args:
        shape: Volume extent (k, j, i), in voxels.
        patch_shape: Network input extent (k, j, i), in voxels.
        overlap: Least shared fraction of neighbouring tiles, in [0, 1).

    Returns:
        Tiles in raster order, all inside the volume.

    Raises:
        InvalidInputError: `overlap` is outside [0, 1), or an extent is below 1.

    Example:
        >>> [tile.start[2] for tile in plan_tiles((1, 1, 110), (1, 1, 64), overlap=0.5)]
        [0, 23, 46]

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (even spacing of the sliding window).
    """
    steps = _steps(shape, patch_shape, overlap)
    tile = tile_shape(shape, patch_shape)
    lasts = [n - size for n, size in zip(shape, tile, strict=True)]

    def starts(axis: int) -> Iterator[int]:
        last, count = lasts[axis], steps[axis]
        return (round(step * last / count) for step in range(count + 1)) if count else iter((0,))

    corners = ((z, y, x) for z in starts(0) for y in starts(1) for x in starts(2))
    return (Box(corner, (corner[0] + tile[0], corner[1] + tile[1], corner[2] + tile[2])) for corner in corners)


def count_tiles(shape: Index, patch_shape: Index, *, overlap: float) -> int:
    """How many tiles `plan_tiles` places, by arithmetic alone; arguments and errors are its own.

    Example:
        >>> count_tiles((1, 1, 110), (1, 1, 64), overlap=0.5), count_tiles((10**9,) * 3, (64,) * 3, overlap=0)
        (3, 3814697265625000000000)
    """
    return math.prod(step + 1 for step in _steps(shape, patch_shape, overlap))


def tile_shape(shape: Index, patch_shape: Index) -> Index:
    """Extent (k, j, i) of every tile: the patch, or the volume where that is shorter."""
    k, j, i = (min(n, patch) for n, patch in zip(shape, patch_shape, strict=True))
    return k, j, i


def _steps(shape: Index, patch_shape: Index, overlap: float) -> list[int]:
    """By how many steps the tiles get from one border to the other, for each axis."""
    if not 0 <= overlap < 1:
        raise InvalidInputError(f"overlap must be in [0, 1), got {overlap}")
    if min(*shape, *patch_shape) < 1:
        raise InvalidInputError(f"shape and patch must be at least 1 along each axis, got {shape} and {patch_shape}")
    tile = tile_shape(shape, patch_shape)
    longest = [max(1, math.floor(size * (1 - overlap) + 1e-9)) for size in tile]
    return [-((size - n) // step) for n, size, step in zip(shape, tile, longest, strict=True)]
