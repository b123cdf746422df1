"""Which voxels a prompt marks: from RAS millimetres to indices of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.geometry import Box
from DeepSegmentLib.data.prompts import BoxPrompt, Lasso, Point, Scribble
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, Prompt

    Indices = NDArray[np.int64]

_STEP = 0.25
"""Sampling of drawn lines, in voxels: fine enough that consecutive voxels touch."""


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
    nearest = np.floor(positions + 0.5).astype(np.int64)
    kept = nearest[((nearest >= 0) & (nearest < geometry.shape)).all(axis=1)]
    return np.unique(kept, axis=0)


def _line(scribble: Scribble, geometry: Geometry) -> Indices:
    """Voxels within the line's radius, at least those that it crosses."""
    corners = geometry.ras_to_index(scribble.points_ras)
    lengths = np.abs(np.diff(corners, axis=0)).max(axis=1, initial=0)
    parts = [
        a + (b - a) * np.linspace(0, 1, int(np.ceil(n / _STEP)) + 1)[:, None]
        for a, b, n in zip(corners, corners[1:], lengths, strict=False)
    ]
    crossed = _inside(np.concatenate([corners, *parts]), geometry)
    if scribble.radius_mm == 0:
        return crossed
    around = _voxels_around(scribble.points_ras, scribble.radius_mm, geometry)
    near = distance_to_line(geometry.index_to_ras(around), scribble.points_ras) <= scribble.radius_mm
    return np.unique(np.concatenate([crossed, around[near]]), axis=0)


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


def _voxels_around(points_ras: NDArray[np.float64], margin_mm: float, geometry: Geometry) -> Indices:
    """All voxels (n, 3) of the index block that holds everything within a margin of the points."""
    index = geometry.ras_to_index(points_ras)
    # A sphere of radius r reaches r times the norm of the inverse matrix's row along an index axis.
    reach = margin_mm * np.linalg.norm(np.linalg.inv(geometry.affine[:3, :3]), axis=1)
    low = np.clip(np.floor(index.min(axis=0) - reach), 0, geometry.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + reach) + 1, low, geometry.shape).astype(int)
    return _block_indices(Box(tuple(low.tolist()), tuple(high.tolist())))


def _block_indices(box: Box) -> Indices:
    return np.asarray(np.argwhere(np.ones(box.shape, dtype=bool)) + np.asarray(box.start))


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
    _, _, axes = np.linalg.svd(lasso.points_ras - middle)
    half_voxel = 0.5 * float(np.abs(axes[2] @ geometry.affine[:3, :3]).sum())
    depth = max(lasso.depth_mm, half_voxel)
    around = _voxels_around(lasso.points_ras, depth, geometry)
    offsets = geometry.index_to_ras(around) - middle
    inside = _in_polygon(offsets @ axes[:2].T, (lasso.points_ras - middle) @ axes[:2].T)
    height = np.abs(offsets @ axes[2])
    return around[inside & (height <= half_voxel * (1 + 1e-6))], around[inside & (height <= depth * (1 + 1e-6))]


def _in_polygon(places: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether places (n, 2) lie inside a closed outline (m, 2), by the number of its sides that a ray crosses."""
    inside = np.zeros(len(places), dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ay != by:
            spans = (ay > places[:, 1]) != (by > places[:, 1])
            inside ^= spans & (places[:, 0] < ax + (places[:, 1] - ay) * (bx - ax) / (by - ay))
    return inside
