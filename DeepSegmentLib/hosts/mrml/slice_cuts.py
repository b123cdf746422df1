"""Where a slice view of any orientation cuts a block of voxels: a mask as pixels, and lines and areas to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Geometry

    Points = NDArray[np.float64]

_MOST_PIXELS = 250_000
"""A window of more pixels is sampled more coarsely: the picture of a preview may not take long."""


def section(
    mask: NDArray[np.bool_], box: Box, geometry: Geometry, to_grid: Callable[[Points], Points]
) -> tuple[NDArray[np.bool_], tuple[float, float], float]:
    """The pixels of a slice view that show voxels of a mask.

    Args:
        mask: Boolean array (k, j, i) of the box.
        box: Part of the grid.
        geometry: The grid.
        to_grid: Brings a place in the view, in pixels (x, y), to the grid's space, in RAS mm; affine nearby.

    Returns:
        Array (row, column) of the window around the mask, row 0 at the bottom; the place of its lower left pixel's
        centre; and the distance of its pixels. An empty array where the slice misses the box.
    """
    origin = to_grid(np.zeros(2))
    axes = np.stack([to_grid(np.array(step)) - origin for step in ((1.0, 0.0), (0.0, 1.0))], axis=1)
    matrix = np.linalg.inv(geometry.affine[:3, :3])
    first = geometry.ras_to_index(origin) - np.asarray(box.start)
    across = matrix @ axes  # voxels for each pixel
    low, high = _window(first, across, box.shape)
    if (high < low).any():
        return np.zeros((0, 0), dtype=bool), (0.0, 0.0), 1.0
    step = max(1.0, float(np.sqrt(np.prod(high - low + 1) / _MOST_PIXELS)))
    x, y = (np.arange(a, b + 1, step) for a, b in zip(low, high, strict=True))
    places = [
        np.floor(first[n] + across[n, 0] * x[None] + across[n, 1] * y[:, None] + 0.5).astype(int) for n in range(3)
    ]
    inside = np.logical_and.reduce([(p >= 0) & (p < size) for p, size in zip(places, box.shape, strict=True)])
    picture = np.zeros(inside.shape, dtype=bool)
    picture[inside] = mask[tuple(p[inside] for p in places)]
    return picture, (float(low[0]), float(low[1])), step


def _window(first: Points, across: Points, shape: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest pixel (x, y) that can see a box of this shape: where the slice crosses its edges."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape], indexing="ij")).reshape(3, -1).T
    normal = np.cross(across[:, 0], across[:, 1])
    heights = (corners - first) @ normal
    crossed = [
        a + (b - a) * ha / (ha - hb)
        for n, (a, ha) in enumerate(zip(corners, heights, strict=True))
        for b, hb in zip(corners[n + 1 :], heights[n + 1 :], strict=True)
        if (ha <= 0) != (hb <= 0)
    ]
    if not crossed:
        return np.array([0, 0]), np.array([-1, -1])
    pixels = np.linalg.lstsq(across, (np.array(crossed) - first).T, rcond=None)[0].T
    return np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int)


def outline(picture: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The sides of pixels that part true from false.

    Returns:
        Lines (n, 2, 2): two ends (x, y) each, in pixels; pixel (0, 0) reaches from (0, 0) to (1, 1).
    """
    padded = np.pad(picture, 1)
    rows, columns = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    flat = np.stack([np.stack([columns, rows], axis=1), np.stack([columns + 1, rows], axis=1)], axis=1)
    rows, columns = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    steep = np.stack([np.stack([columns, rows], axis=1), np.stack([columns, rows + 1], axis=1)], axis=1)
    return np.concatenate([flat, steep])


def areas(picture: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rectangles that cover the true pixels, one for each run in a row.

    Returns:
        Corners (n, 4, 2) as (x, y), counter-clockwise, in the pixels of `outline`.
    """
    ends = np.diff(np.pad(picture.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(ends > 0)
    stops = np.nonzero(ends < 0)[1]
    corners = [(starts, rows), (stops, rows), (stops, rows + 1), (starts, rows + 1)]
    return np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)


def spots(picture: NDArray[np.bool_], apart: int) -> NDArray[np.int64]:
    """Pixels inside the true ones on which signs can stand, so far apart.

    Args:
        picture: Array (row, column).
        apart: Distance, in pixels.

    Returns:
        Places (n, 2) as (x, y): those of a regular pattern; where it meets none the pixel farthest inside.
    """
    rows, columns = np.nonzero(picture[apart // 2 :: apart, apart // 2 :: apart])
    if len(rows):
        return np.stack([columns, rows], axis=1) * apart + apart // 2
    if not picture.any():
        return np.zeros((0, 2), dtype=np.int64)
    depth = ndimage.distance_transform_edt(np.pad(picture, 1))
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return np.array([[column - 1, row - 1]])


def circle(center: Points, radius_mm: float, to_grid: Callable[[Points], Points], sides: int = 64) -> Points:
    """The rim (side, 2), in pixels, of a circle that has its radius in millimetres.

    Args:
        center: Middle (x, y) in pixels.
        radius_mm: Radius.
        to_grid: As in `section`; tells how large pixels are.
        sides: Number of corners.
    """
    middle = to_grid(center)
    axes = np.stack([to_grid(center + step) - middle for step in np.eye(2)], axis=1)
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    # Directions of equal length in mm, whatever the shape of pixels: orthonormal axes in the slice's plane.
    upper = np.linalg.qr(axes)[1]
    return center + np.linalg.solve(upper, radius_mm * np.stack([np.cos(angles), np.sin(angles)])).T
