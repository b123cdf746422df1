"""Which voxels a prompt marks: from RAS millimetres to indices of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.geometry import Box, as_index
from DeepSegmentLib.data.prompts import BoxPrompt, Lasso, Point, Scribble
from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.imaging.memory import available_memory_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, Prompt

    Indices = NDArray[np.int64]

_STEP = 0.25
"""Sampling of drawn lines, in voxels: fine enough that consecutive voxels touch."""

_MOST_SAMPLES = 1 << 22
"""Of a line, within the volume: a million voxels of length. A second of work."""

_SAMPLES_AT_ONCE = 1 << 18

_MOST_VISITS = 500_000_000
"""Voxels that the sides of one prompt are compared with, in all. Some ten seconds of work."""

BYTES_PER_VOXEL = 150
"""Memory that a correction takes for a voxel of its block, at most: indices, places, distances, intensities."""


@dataclass(frozen=True, eq=False)
class Marks:
    """The voxels a prompt speaks of.

    Attributes:
        stroke: Indices (n, 3) that the prompt decides: they carry what the user said, whatever the image shows. Empty
            for a box that holds the segment somewhere inside.
        region: Indices (n, 3) that the prompt allows to change, or None where the edit radius decides.
    """

    stroke: Indices
    region: Indices | None = None


def marked_voxels(prompt: Prompt, geometry: Geometry) -> Marks:
    """The voxels that a prompt marks; parts outside the grid are left out.

    Args:
        prompt: In RAS millimetres.
        geometry: The grid.

    Raises:
        InvalidInputError: The whole prompt lies outside the grid.
    """
    if isinstance(prompt, Lasso):
        flat, thick = _lasso(prompt, geometry)
        marks = Marks(flat, thick)
    elif isinstance(prompt, BoxPrompt):
        inside = _block(prompt, geometry)
        marks = Marks(inside[:0] if prompt.positive else inside, inside)
    elif isinstance(prompt, Scribble):
        marks = Marks(_line(prompt, geometry))
    else:
        marks = Marks(_inside(geometry.ras_to_index(prompt.point_ras[None]), geometry))
    if not len(marks.stroke) and (marks.region is None or not len(marks.region)):
        raise InvalidInputError(_outside(prompt, geometry))
    return marks


def points_of(prompt: Prompt) -> NDArray[np.float64]:
    """The points (n, 3) of a prompt in RAS millimetres."""
    if isinstance(prompt, Point):
        return prompt.point_ras[None]
    return prompt.corners_ras if isinstance(prompt, BoxPrompt) else prompt.points_ras


@lru_cache(maxsize=4096)
def extent_ras(prompt: Prompt) -> NDArray[np.float64]:
    """The lowest and the highest RAS coordinates (2, 3), in mm, that a prompt reaches.

    Voxels that it marks have their centers within these, or at most half of the three voxel sizes' sum outside.
    """
    points = points_of(prompt)
    width = prompt.radius_mm if isinstance(prompt, Scribble) else prompt.depth_mm if isinstance(prompt, Lasso) else 0.0
    return np.stack([points.min(axis=0) - width, points.max(axis=0) + width])


def _outside(prompt: Prompt, geometry: Geometry) -> str:
    place = np.round(points_of(prompt).mean(axis=0), 1).tolist()
    corners = geometry.index_to_ras(np.array([(0, 0, 0), geometry.shape]) - [[0], [1]]).round(1).tolist()
    kind = type(prompt).__name__.removesuffix("Prompt").lower()
    return (
        f"the {kind} around RAS {place} mm marks no voxel of the volume, which reaches from {corners[0]} to "
        f"{corners[1]}; place it inside"
    )


def _inside(positions: NDArray[np.float64], geometry: Geometry) -> Indices:
    """Nearest voxels of fractional indices, each once, in raster order; those outside the grid are dropped."""
    nearest = np.floor(positions + 0.5)
    kept = nearest[((nearest >= 0) & (nearest < geometry.shape)).all(axis=1)].astype(np.int64)
    flat = np.unique(np.ravel_multi_index(tuple(kept.T), geometry.shape))
    return np.stack(np.unravel_index(flat, geometry.shape), axis=1)


def _line(scribble: Scribble, geometry: Geometry) -> Indices:
    """Voxels within the line's radius, at least those that it crosses."""
    crossed = _crossed(geometry.ras_to_index(scribble.points_ras), geometry)
    if scribble.radius_mm == 0:
        return crossed
    near = _near_line(scribble.points_ras, scribble.radius_mm, geometry)
    return np.unique(np.concatenate([crossed, near]), axis=0)


def _crossed(corners: NDArray[np.float64], geometry: Geometry) -> Indices:
    """Voxels that a polyline of fractional indices (n, 3) crosses; only what lies in the grid is sampled."""
    a, b = corners[:-1], corners[1:]
    steps = np.maximum(np.ceil(np.abs(b - a).max(axis=1, initial=0) / _STEP), 1)
    enter, leave = _inside_part(a, b - a, geometry)
    first, last = np.floor(enter * steps), np.ceil(leave * steps)
    counts = np.where(enter <= leave, last - first + 1, 0)
    if counts.sum() > _MOST_SAMPLES:
        raise InvalidInputError(
            f"the line has {len(corners)} corners and is {counts.sum() * _STEP:.0f} voxels long in the volume, more "
            f"than {_MOST_SAMPLES * _STEP:.0f}; draw it in parts"
        )
    found = [_inside(corners, geometry)]
    ends = np.cumsum(counts.astype(np.int64))
    for start in range(0, int(ends[-1]) if len(ends) else 0, _SAMPLES_AT_ONCE):
        sample = np.arange(start, min(start + _SAMPLES_AT_ONCE, int(ends[-1])))
        side = np.searchsorted(ends, sample, side="right")
        number = first[side] + sample - (ends[side] - counts[side])
        part = np.where(number >= steps[side], 1.0, number * (1 / steps[side]))
        found.append(_inside(a[side] + (b - a)[side] * part[:, None], geometry))
    return np.unique(np.concatenate(found), axis=0)


def _inside_part(
    start: NDArray[np.float64], along: NDArray[np.float64], geometry: Geometry
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between which parts of their length, 0 to 1, lines (n, 3) lie in the grid or a voxel beside it.

    References:
        Liang, Barsky, A new concept and method for line clipping, ACM Transactions on Graphics 1984.
    """
    low, high = np.full(3, -1.5), np.asarray(geometry.shape) + 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        bounds = np.stack([(low - start) / along, (high - start) / along])
    still = along == 0
    inside = (start >= low) & (start <= high)
    enter = np.where(still, np.where(inside, -np.inf, np.inf), bounds.min(axis=0))
    leave = np.where(still, np.where(inside, np.inf, -np.inf), bounds.max(axis=0))
    return np.maximum(enter.max(axis=1, initial=-np.inf), 0), np.minimum(leave.min(axis=1, initial=np.inf), 1)


def _near_line(corners: NDArray[np.float64], radius_mm: float, geometry: Geometry) -> Indices:
    """Voxels within a distance of a polyline (n, 3) in RAS, side by side: each is compared with those around it."""
    ends = corners[1:] if len(corners) > 1 else corners
    sides = np.stack([corners[: len(ends)], ends], axis=1)
    low, high = _reached(sides, radius_mm, geometry)
    visits = int((high - low).prod(axis=1).sum())
    if visits > _MOST_VISITS:
        raise InvalidInputError(
            f"the scribble of {len(corners)} corners and a radius of {radius_mm} mm would take {visits} comparisons "
            f"with voxels, more than {_MOST_VISITS}; draw it with a smaller radius, or in parts"
        )
    whole = _block_around(corners, radius_mm, geometry)
    check_room(whole)
    near = np.zeros(whole.shape, dtype=bool)
    for side, start, stop in zip(sides, low, high, strict=True):
        part = near[tuple(map(slice, start - whole.start, stop - whole.start))]
        still_open = np.argwhere(~part)
        distances = distance_to_line(geometry.index_to_ras(still_open + start), side)
        part[tuple(still_open[distances <= radius_mm].T)] = True
    return np.asarray(np.argwhere(near) + np.asarray(whole.start))


def distance_to_line(places: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of places (n, 3) to a polyline (m, 3), in their unit.

    Example:
        >>> distance_to_line(np.array([[1.0, 2.0, 0.0]]), np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]])).tolist()
        [2.0]
    """
    best = np.full(len(places), np.inf)
    ends = corners[1:] if len(corners) > 1 else corners
    for a, b in zip(corners, ends, strict=False):
        along = b - a
        squared = float(along @ along)
        part = np.clip((places - a) @ along / squared, 0, 1) if squared > 0 else np.zeros(len(places))
        best = np.minimum(best, ((places - a - part[:, None] * along) ** 2).sum(axis=1))
    return np.asarray(np.sqrt(best))


def _reached(
    points_ras: NDArray[np.float64], margin_mm: float, geometry: Geometry
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First voxels and those after the last (..., 3) of the grid that lie within a margin of points (..., n, 3)."""
    index = geometry.ras_to_index(points_ras)
    # A sphere of radius r reaches r times the norm of the inverse matrix's row along an index axis.
    reach = margin_mm * np.linalg.norm(np.linalg.inv(geometry.affine[:3, :3]), axis=1)
    low = np.clip(np.floor(index.min(axis=-2) - reach), 0, geometry.shape).astype(np.int64)
    return low, np.clip(np.ceil(index.max(axis=-2) + reach) + 1, low, geometry.shape).astype(np.int64)


def _block_around(points_ras: NDArray[np.float64], margin_mm: float, geometry: Geometry) -> Box:
    """The block of the grid that holds everything within a margin of points (n, 3)."""
    low, high = _reached(points_ras, margin_mm, geometry)
    return Box(as_index(low), as_index(high))


def _voxels_around(points_ras: NDArray[np.float64], margin_mm: float, geometry: Geometry) -> Indices:
    """All voxels (n, 3) of the block that holds everything within a margin of the points."""
    box = _block_around(points_ras, margin_mm, geometry)
    check_room(box)
    return np.asarray(np.argwhere(np.ones(box.shape, dtype=bool)) + np.asarray(box.start))


def check_room(box: Box) -> None:
    """Refuse a block whose correction does not fit into memory.

    Raises:
        ResourceError: It does not.
    """
    available, needed = available_memory_bytes(), BYTES_PER_VOXEL * box.size
    if available is not None and needed > available:
        raise ResourceError(
            f"the prompt reaches {box.size} voxels and needs {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB "
            "are free; make it smaller, or use a smaller edit radius"
        )


def _block(prompt: BoxPrompt, geometry: Geometry) -> Indices:
    """Voxels whose centres lie between the two corners."""
    low, high = extent_ras(prompt)
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
    around = _voxels_around(corners, 0.0, geometry)
    places = geometry.index_to_ras(around)
    return np.asarray(around[((places >= low - 1e-6) & (places <= high + 1e-6)).all(axis=1)])


def _lasso(lasso: Lasso, geometry: Geometry) -> tuple[Indices, Indices]:
    """Voxels inside the outline: those of its plane, and those within its depth."""
    middle = lasso.points_ras.mean(axis=0)
    _, _, axes = np.linalg.svd(lasso.points_ras - middle, full_matrices=False)
    half_voxel = 0.5 * float(np.abs(axes[2] @ geometry.affine[:3, :3]).sum())
    depth = max(lasso.depth_mm, half_voxel)
    around = _voxels_around(lasso.points_ras, depth, geometry)
    offsets = geometry.index_to_ras(around) - middle
    inside = _in_polygon(offsets @ axes[:2].T, (lasso.points_ras - middle) @ axes[:2].T)
    height = np.abs(offsets @ axes[2])
    return around[inside & (height <= half_voxel * (1 + 1e-6))], around[inside & (height <= depth * (1 + 1e-6))]


def _in_polygon(places: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether places (n, 2) lie inside a closed outline (m, 2), by the number of its sides that a ray crosses.

    Each side is compared only with the places that lie between its ends.
    """
    order = np.argsort(places[:, 1], kind="stable")
    across, up = places[order, 0], places[order, 1]
    ends = np.roll(corners, -1, axis=0)
    first = np.searchsorted(up, np.minimum(corners[:, 1], ends[:, 1]))
    last = np.searchsorted(up, np.maximum(corners[:, 1], ends[:, 1]))
    if (last - first).sum() > _MOST_VISITS:
        raise InvalidInputError(
            f"the lasso of {len(corners)} corners would take {(last - first).sum()} comparisons with voxels, more than "
            f"{_MOST_VISITS}; draw a simpler or smaller outline"
        )
    inside = np.zeros(len(places), dtype=bool)
    for n in np.flatnonzero(last > first):
        (ax, ay), (bx, by), part = corners[n], ends[n], slice(first[n], last[n])
        inside[part] ^= across[part] < ax + (up[part] - ay) * (bx - ax) / (by - ay)
    result = np.empty_like(inside)
    result[order] = inside
    return result
