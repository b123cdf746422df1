"""How the surface of a mask runs through a cell of eight neighbouring voxel centres: a table of the 256 kinds.

The surface lies halfway between centres inside and outside. What it draws on a face of a cell depends on the four
corners of this face alone, so that neighbouring cells fit and the whole is closed. Inside voxels that touch by an edge
or a corner alone stay apart.

References:
    Lorensen & Cline, Marching cubes, SIGGRAPH 1987.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Midpoint = tuple[int, int, int]
"""The middle of an edge of a cell, in half steps (k, j, i) from its first corner: one number is 1, others 0 or 2."""

CORNERS = np.array(list(product((0, 1), repeat=3)))
"""Corner n of a cell is bits (k, j, i) of n."""


@cache
def loops(kind: int) -> tuple[tuple[Midpoint, ...], ...]:
    """The closed polygons of a kind of cell.

    Args:
        kind: Bit n tells whether corner n is inside.

    Returns:
        Polygons that turn to the right-hand side around the outward direction, (k, j, i) taken as x, y, z.
    """
    following = dict(_segments(kind))
    found = []
    while following:
        start, end = next(iter(following.items()))
        loop = [start]
        del following[start]
        while end != start:
            loop.append(end)
            end = following.pop(end)
        found.append(tuple(loop))
    return tuple(found)


@cache
def triangles(kind: int) -> tuple[tuple[Midpoint, Midpoint, Midpoint], ...]:
    """The polygons of a kind of cell, cut into triangles by diagonals from one of their corners.

    No diagonal lies in a face of the cell: there the neighbouring cell may have the same line, and four triangles would
    meet. Every polygon has a corner for that.
    """
    cut: list[tuple[Midpoint, Midpoint, Midpoint]] = []
    for loop in loops(kind):
        turns = (loop[n:] + loop[:n] for n in range(len(loop)))
        first, *others = next(each for each in turns if not any(_in_a_face(each[0], end) for end in each[2:-1]))
        cut += [(first, a, b) for a, b in pairwise(others)]
    return tuple(cut)


def count_kinds(padded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many cells of each kind there are.

    Args:
        padded: Mask (k, j, i).
    """
    counts = np.zeros(256, dtype=np.int64)
    for k in range(len(padded) - 1):
        counts += np.bincount(kinds_of_plane(padded, k).ravel(), minlength=256)
    return counts


def kinds_of_plane(mask: NDArray[np.bool_], k: int) -> NDArray[np.uint8]:
    """The kinds (j, i) of the cells between planes k and k + 1."""
    rows, columns = (n - 1 for n in mask.shape[1:])
    kinds = np.zeros((rows, columns), dtype=np.uint8)
    for n, (dk, dj, di) in enumerate(CORNERS.tolist()):
        kinds |= mask[k + dk, dj : dj + rows, di : di + columns].astype(np.uint8) << n
    return kinds


def _in_a_face(a: Midpoint, b: Midpoint) -> bool:
    return any(x == y and x != 1 for x, y in zip(a, b, strict=True))


def _segments(kind: int) -> list[tuple[Midpoint, Midpoint]]:
    """The lines that the surface draws on the faces of a cell, between midpoints of its edges.

    On each midpoint one begins and one ends, as the edges are run through in both directions.
    """
    segments = []
    for face in _faces():
        inside = [bool(kind >> corner & 1) for corner in face]
        # Edge n runs from corner n - 1 to corner n. Each run of inside corners is cut off by one line.
        starts = [n for n in range(4) if inside[n] and not inside[n - 1]]
        for start in starts:
            stop = next(start + step for step in range(1, 4) if not inside[(start + step) % 4]) % 4
            segments.append((_midpoint(face[start - 1], face[start]), _midpoint(face[stop - 1], face[stop])))
    return segments


def _faces() -> list[list[int]]:
    """The corners of each face, in order around it: to the right-hand side, seen from outside the cell."""
    around = ((0, 0), (1, 0), (1, 1), (0, 1))
    faces = []
    for fixed, a, b in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        for side in (0, 1):
            corners = [
                sum(bit << (2 - axis) for axis, bit in zip((fixed, a, b), (side, *pair), strict=True))
                for pair in around
            ]
            faces.append(corners if side else corners[::-1])
    return faces


def _midpoint(a: int, b: int) -> Midpoint:
    k, j, i = (CORNERS[a] + CORNERS[b]).tolist()
    return k, j, i
