"""A series made with a tilted gantry, brought onto a straight grid.

The slices stay where they are along their normal; in its plane each is moved by linear interpolation to where it
belongs. The grid grows so that nothing falls off it, and the least value fills what no slice covers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .slice_grid import Stack


def straight_grid(stack: Stack) -> Geometry:
    """The grid of all slices, grown along rows and columns by what they lean."""
    _, rows, columns = stack.geometry.shape
    (up, down), (left, right) = _margins(stack)
    start = stack.geometry.index_to_ras((0, -up, -left))
    affine = stack.geometry.affine.copy()
    affine[:3, 3] = start
    return Geometry((len(stack.slices), up + rows + down, left + columns + right), affine)


def straighten(voxels: NDArray[Any], stack: Stack) -> NDArray[Any]:
    """Move each slice in its plane.

    Args:
        voxels: (k, j, i) as the slices hold them.
        stack: Where they lie.

    Returns:
        Voxels on `straight_grid`, of the same type of numbers; integers are rounded.
    """
    fill = voxels.min()
    grid = straight_grid(stack)
    (up, _), (left, _) = _margins(stack)
    straight = np.full(grid.shape, fill, voxels.dtype)
    for k, plane in enumerate(voxels):
        across = up + _shift(stack, k, 0), left + _shift(stack, k, 1)
        moved = plane.astype(np.float64)
        for axis in (0, 1):
            moved = _move(moved, across[axis], grid.shape[1 + axis], axis, float(fill))
        straight[k] = np.rint(moved) if voxels.dtype.kind in "iu" else moved
    return straight


def _shift(stack: Stack, k: int, axis: int) -> float:
    """How far slice k lies from the first along axis j (0) or i (1), in pixels."""
    return k * stack.lean_mm[1 - axis] / stack.geometry.spacing_mm[1 + axis]


def _margins(stack: Stack) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels to add before and after the rows, and before and after the columns."""
    ends = [_shift(stack, len(stack.slices) - 1, axis) for axis in (0, 1)]
    before, after = ([max(math.ceil(sign * end - 1e-6), 0) for end in ends] for sign in (-1, 1))
    return (before[0], after[0]), (before[1], after[1])


def _move(plane: NDArray[np.float64], shift: float, length: int, axis: int, fill: float) -> NDArray[np.float64]:
    """The plane moved forward by a number of pixels, on an axis of a new length."""
    whole = math.floor(shift + 1e-6)
    part = max(shift - whole, 0.0)
    here = _placed(plane, whole, length, axis, fill)
    if part < 1e-6:
        return here
    return (1 - part) * here + part * _placed(plane, whole + 1, length, axis, fill)


def _placed(plane: NDArray[np.float64], start: int, length: int, axis: int, fill: float) -> NDArray[np.float64]:
    shape = list(plane.shape)
    shape[axis] = length
    placed = np.full(shape, fill)
    kept = min(plane.shape[axis], length - start)  # what lies beyond is the part that rounding left over
    to, of = [slice(None)] * 2, [slice(None)] * 2
    to[axis], of[axis] = slice(start, start + kept), slice(kept)
    placed[tuple(to)] = plane[tuple(of)]
    return placed
