"""A simulated annotator: knows the truth, and points badly, as people in a hurry do.

It goes to a large wrong piece, clicks somewhere in its thicker part or draws a line along it in a plane along the axes,
takes an edit radius somewhat larger than the piece, and is now and then some slices off.

References:
    Xu et al., Deep interactive object selection, CVPR 2016; Marinov et al., Deep interactive segmentation of medical
    images: a systematic review and taxonomy, 2024, arXiv 2311.13964 (why places and radii must vary).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Point, Scribble

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, Prompt

    Mask = NDArray[np.bool_]
    Indices = NDArray[np.int64]

SEGMENT = "structure"
"""Name of the segment that prompts are for."""

_LEAST_VOXELS = 4
_RANKS = (0.7, 0.15, 0.1, 0.05)
"""How often the largest wrong piece is chosen, the second, and so on."""

_SCRIBBLES, _WRONG_SLICES = 0.3, 0.1
_RADIUS_NOISE = (0.55, 1.75)
_RADIUS_VOXELS = (6.0, 24.0)
_LONGEST_VOXELS = 25


def next_prompt(truth: Mask, mask: Mask, geometry: Geometry, rng: Generator) -> tuple[Prompt, float] | None:
    """A prompt that tells what is wrong, and the edit radius in mm; None where hardly anything is.

    Args:
        truth: The right mask (k, j, i).
        mask: The mask to correct.
        geometry: Their grid.
        rng: Decides everything.
    """
    pieces = sorted([*_pieces(truth & ~mask, positive=True), *_pieces(mask & ~truth, positive=False)], key=_size)[::-1]
    if not pieces:
        return None
    piece, positive, corner = pieces[min(len(pieces) - 1, int(rng.choice(len(_RANKS), p=_RANKS)))]
    spacing = np.asarray(geometry.spacing_mm)
    depth = ndimage.distance_transform_edt(np.pad(piece, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    inner = np.argwhere(depth >= rng.choice([0.8, 0.8, 0.8, 0.4]) * depth.max())
    place = inner[rng.integers(len(inner))]
    drawn = _line(piece, place, spacing, rng) if rng.random() < _SCRIBBLES else place[None]
    points = geometry.index_to_ras(_displaced(drawn + corner, mask.shape, rng))
    radius_mm = _radius_mm(float(depth.max()), float(np.prod(spacing) ** (1 / 3)), rng)
    if len(points) == 1:
        return Point(SEGMENT, positive, points[0]), radius_mm
    return Scribble(SEGMENT, positive, points), radius_mm


def _pieces(wrong: Mask, *, positive: bool) -> list[tuple[Mask, bool, Indices]]:
    """The largest connected pieces, each in its bounding block, with the corner of the block."""
    labels, _ = ndimage.label(wrong)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    numbers = [int(n) for n in np.argsort(-sizes)[: len(_RANKS)] if sizes[n] >= _LEAST_VOXELS]
    blocks = ndimage.find_objects(labels)
    return [(labels[blocks[n - 1]] == n, positive, np.array([axis.start for axis in blocks[n - 1]])) for n in numbers]


def _size(piece: tuple[Mask, bool, Indices]) -> int:
    return int(piece[0].sum())


def _radius_mm(depth_mm: float, step_mm: float, rng: Generator) -> float:
    """Somewhat more than reaches from the middle of the piece to its border, within what is sensible on the grid."""
    low, high = (voxels * step_mm for voxels in _RADIUS_VOXELS)
    wanted = float(np.clip(2.5 * depth_mm + 4 * step_mm, low, high))
    return min(high, wanted * float(np.exp(rng.uniform(*np.log(_RADIUS_NOISE)))))


def _displaced(drawn: Indices, shape: tuple[int, ...], rng: Generator) -> Indices:
    """The voxels, one time in ten some slices off."""
    if rng.random() < _WRONG_SLICES:
        axis = int(rng.integers(3))
        drawn[:, axis] = np.clip(drawn[:, axis] + rng.choice([-3, -2, -1, 1, 2, 3]), 0, shape[axis] - 1)
    return drawn


def _line(piece: Mask, place: Indices, spacing: NDArray[np.float64], rng: Generator) -> Indices:
    """Voxels (n, 3) along the piece in a plane through a place; the place alone where the plane has no length."""
    axis = int(rng.integers(3))
    others = [other for other in range(3) if other != axis]
    plane = np.argwhere(np.take(piece, place[axis], axis))
    away = (plane - place[others]) * spacing[others]
    if len(away) < 3:
        return place[None].copy()
    _, _, axes = np.linalg.svd(away - away.mean(axis=0), full_matrices=False)
    along, across = away @ axes[0], np.abs(away @ axes[1])
    step = float(np.prod(spacing) ** (1 / 3))
    kept = (across <= 0.7 * step) & (np.abs(along) <= _LONGEST_VOXELS / 2 * step)
    line = np.empty((int(kept.sum()), 3), dtype=np.int64)
    line[:, axis], line[:, others] = place[axis], plane[kept][np.argsort(along[kept])]
    return line[:: -(-len(line) // _LONGEST_VOXELS)] if len(line) else place[None].copy()
