"""A robot that corrects masks as a hurried user would: it knows the truth, and points badly.

It goes to the largest wrong piece, clicks somewhere in its thicker part (or draws a line along it in a plane along the
axes), chooses an edit radius somewhat larger than the piece, and in one of ten cases is some slices off.

References:
    Xu et al., Deep interactive object selection, CVPR 2016 (largest error, its middle); Marinov et al., Deep
    interactive segmentation of medical images: a systematic review and taxonomy, 2024, arXiv 2311.13964 (why jitter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data.prompts import Point, Prompt, Scribble

if TYPE_CHECKING:
    from cases import Case

    from DeepSegmentLib.data import Box, Geometry

Kind = Literal["click", "scribble"]
LEAST_VOXELS = 4
WRONG_SLICE = 0.1


@dataclass(frozen=True)
class Robot:
    """How it points.

    Attributes:
        kind: Clicks or scribbles.
        radius_noise: The edit radius is off by a factor in this range.
    """

    kind: Kind = "click"
    radius_noise: tuple[float, float] = (0.7, 1.4)

    def prompt(self, case: Case, mask: np.ndarray, rng: np.random.Generator) -> tuple[Prompt, float] | None:
        """The next prompt and edit radius in mm; None when nothing worth a click is wrong."""
        found = largest_error(case.truth, mask)
        if found is None:
            return None
        piece, positive, offset = found
        spacing = np.asarray(case.geometry.spacing_mm)
        depth = ndimage.distance_transform_edt(np.pad(piece, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
        inner = np.argwhere(depth >= 0.8 * depth.max())
        place = inner[rng.integers(len(inner))]
        step = float(np.prod(spacing) ** (1 / 3))
        radius = float(np.clip(2.5 * depth.max() + 4 * step, 6 * step, 26 * step))
        radius *= float(np.exp(rng.uniform(*np.log(self.radius_noise))))
        drawn = _line(piece, place, spacing, step, rng) if self.kind == "scribble" else place[None]
        drawn = drawn + np.asarray(offset)
        if rng.random() < WRONG_SLICE:
            axis = rng.integers(3)
            drawn[:, axis] = np.clip(drawn[:, axis] + rng.choice([-3, -2, -1, 1, 2, 3]), 0, mask.shape[axis] - 1)
        points = case.geometry.index_to_ras(drawn)
        if self.kind == "click":
            return Point("segment", positive, points[0]), radius
        return Scribble("segment", positive, points), radius


def largest_error(truth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, bool, tuple[int, int, int]] | None:
    """The largest wrong piece: its mask in its bounding block, whether it is missing, and where the block begins."""
    wrong = ndimage.find_objects((truth != mask).astype(np.int8))
    if not wrong:
        return None
    around, best = wrong[0], None
    truth, mask = truth[around], mask[around]  # pieces are numbered in raster order, in the block as in the volume
    for positive in (True, False):
        pieces, _ = ndimage.label(truth & ~mask if positive else mask & ~truth)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        if best is None or sizes.max() > best[0]:
            best = sizes.max(), positive, pieces, sizes.argmax()
    size, positive, pieces, number = best
    if size < LEAST_VOXELS:
        return None
    part = ndimage.find_objects(pieces, number)[number - 1]
    offset = tuple(outer.start + inner.start for outer, inner in zip(around, part, strict=True))
    return pieces[part] == number, positive, offset


def _line(
    piece: np.ndarray, place: np.ndarray, spacing: np.ndarray, step: float, rng: np.random.Generator
) -> np.ndarray:
    """Voxels along the piece in a plane through a place, at most 25."""
    axis = rng.integers(3)
    plane = np.argwhere(np.take(piece, place[axis], axis))
    others = [other for other in range(3) if other != axis]
    away = (plane - place[others]) * spacing[others]
    if len(away) < 3:
        return place[None]
    _, _, axes = np.linalg.svd(away - away.mean(axis=0), full_matrices=False)
    along, across = away @ axes[0], np.abs(away @ axes[1])
    kept = (across <= 0.7 * step) & (np.abs(along) <= 12.5 * step)
    order = np.argsort(along[kept])
    line = np.empty((len(order), 3), dtype=int)
    line[:, axis], line[:, others] = place[axis], plane[kept][order]
    return line[:: -(-len(line) // 25)] if len(line) else place[None]


class CaseCanvas:
    """A case as the engine sees it."""

    def __init__(self, case: Case, mask: np.ndarray) -> None:
        self.geometry: Geometry = case.geometry
        self._case, self._mask = case, mask

    def intensities(self, box: Box) -> np.ndarray:
        return self._case.image[box.to_slices()][None]

    def segment(self, box: Box) -> np.ndarray:
        return self._mask[box.to_slices()].copy()

    def editable(self, box: Box) -> np.ndarray:
        return np.ones(box.shape, dtype=bool)

    def probability(self, box: Box) -> np.ndarray | None:
        return None if self._case.probability is None else self._case.probability[box.to_slices()]
