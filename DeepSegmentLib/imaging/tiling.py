"""Cover a volume with overlapping tiles, each the size the network sees."""

from __future__ import annotations

import math
from itertools import product

from DeepSegmentLib.data.geometry import Box, Index
from DeepSegmentLib.errors import InvalidInputError


def plan_tiles(shape: Index, patch_shape: Index, *, overlap: float) -> tuple[Box, ...]:
    """Place tiles so that every voxel lies in at least one of them.

    Tiles are spread evenly instead of pushing the last one back against the border, so the overlap is the same along
    an axis and never less than asked for. An axis shorter than the patch gets one tile of its own length; the
    predictor pads it.

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
    if not 0 <= overlap < 1:
        raise InvalidInputError(f"overlap must be in [0, 1), got {overlap}")
    if min(*shape, *patch_shape) < 1:
        raise InvalidInputError(f"shape and patch must be at least 1 along each axis, got {shape} and {patch_shape}")
    starts = [_starts(n, min(n, patch), overlap) for n, patch in zip(shape, patch_shape, strict=True)]
    k, j, i = (min(n, patch) for n, patch in zip(shape, patch_shape, strict=True))
    return tuple(Box((z, y, x), (z + k, y + j, x + i)) for z, y, x in product(*starts))


def _starts(n: int, patch: int, overlap: float) -> list[int]:
    """First indices of evenly spread tiles along an axis; steps never exceed (1 - overlap) of the patch."""
    longest_step = max(1, math.floor(patch * (1 - overlap) + 1e-9))
    steps = math.ceil((n - patch) / longest_step)
    return [round(step * (n - patch) / steps) for step in range(steps + 1)] if steps else [0]
