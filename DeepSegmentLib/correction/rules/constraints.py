"""What a prompt asks for: the block to look at, and what in it may, must and shall not change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

from .domain import CONTEXT, Domain, block_around, distance_mm, mask_of
from .marked_voxels import check_room, extent_ras, marked_voxels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.correction.canvas import Canvas
    from DeepSegmentLib.correction.settings import CorrectionSettings
    from DeepSegmentLib.data import Box, Geometry, Prompt

    from .marked_voxels import Indices, Marks

    Mask = NDArray[np.bool_]

_CORE = 0.3
"""The part of a box, along each axis, from which distances are measured: the segment is somewhere around its middle."""


_ROUNDING = 0.01
"""Half-precision sums of classes may come out so far from a probability."""


@dataclass(frozen=True, eq=False)
class Task:
    """A prompt, made ready to be solved.

    Attributes:
        box: The block of the volume.
        domain: What is known in the block.
        before: The segment's mask (k, j, i) in the block.
        side: What voxels become that change: True for the segment.
        cleared: Voxels (k, j, i) that leave the segment unless they are taken, or None.
    """

    box: Box
    domain: Domain
    before: Mask
    side: bool
    cleared: Mask | None = None


def look(canvas: Canvas, prompt: Prompt, settings: CorrectionSettings, earlier: Sequence[Prompt] = ()) -> Task:
    """Read the block around a prompt.

    Args:
        canvas: The segment.
        prompt: What the user pointed at.
        settings: How to understand it.
        earlier: Prompts given before for this segment.

    Raises:
        InvalidInputError: The prompt marks no voxel of the volume, or the block has NaN or infinite voxels, or
            probabilities outside [0, 1].
        ResourceError: The block does not fit into memory.
    """
    marks = marked_voxels(prompt, canvas.geometry)
    settings = replace(settings, radius_mm=min(settings.radius_mm, _diagonal_mm(canvas.geometry)))
    if settings.mode == "grow" and (prompt.positive or any(old.positive for old in earlier)):
        return _grow(canvas, [*_marked(canvas, earlier), (prompt, marks)], settings)
    return _fix(canvas, prompt, marks, settings, earlier)


def looked_at(prompt: Prompt, settings: CorrectionSettings, geometry: Geometry) -> Box | None:
    """The block of voxels that the answer to a prompt can depend on.

    Args:
        prompt: What the user pointed at.
        settings: How to understand it.
        geometry: The grid.

    Returns:
        None in mode "grow", where the answer depends on earlier prompts, wherever they are.

    Raises:
        InvalidInputError: The prompt marks no voxel of the grid.
    """
    if settings.mode == "grow":
        return None
    settings = replace(settings, radius_mm=min(settings.radius_mm, _diagonal_mm(geometry)))
    return _reached(marked_voxels(prompt, geometry), settings, geometry)[1]


def _diagonal_mm(geometry: Geometry) -> float:
    """How far voxels of a grid can lie apart; a radius beyond it reaches no more."""
    return float(np.linalg.norm(np.multiply(geometry.shape, geometry.spacing_mm)))


def _fix(canvas: Canvas, prompt: Prompt, marks: Marks, settings: CorrectionSettings, earlier: Sequence[Prompt]) -> Task:
    """Voxels around the stroke, or in the prompt's region, may come to the prompt's side."""
    spacing_mm = canvas.geometry.spacing_mm
    stroke = _seeds(marks)
    radius_mm, box = _reached(marks, settings, canvas.geometry)
    check_room(box)
    before = canvas.segment(box)
    source = mask_of(stroke, box)
    distance = distance_mm(source, spacing_mm)
    near = distance <= radius_mm if marks.region is None else mask_of(marks.region, box)
    opposite = [old for old in earlier if old.positive != prompt.positive]
    against = _held(canvas, opposite, box)
    target = before == prompt.positive
    free = near & ~target & ~against & canvas.editable(box)
    marked = mask_of(marks.stroke, box)
    if marked.any() and not (marked & (free | target)).any():  # where the user pointed, nothing may change
        free[:] = False
    must = free & marked
    return Task(
        box,
        Domain(
            _intensities(canvas, box), spacing_mm, free & ~must, must, source, target, against, distance, radius_mm,
            _probability(canvas, box, side=prompt.positive),
        ),
        before,
        prompt.positive,
    )  # fmt: skip


def _reached(marks: Marks, settings: CorrectionSettings, geometry: Geometry) -> tuple[float, Box]:
    """How far from the stroke voxels may change, in mm, and the block that is looked at."""
    stroke, spacing_mm = _seeds(marks), geometry.spacing_mm
    if marks.region is None:
        radius_mm, reached = settings.radius_mm, stroke
        reach_mm = CONTEXT * radius_mm
    else:
        radius_mm, reached = _reach_mm(stroke, marks.region, spacing_mm), np.concatenate([stroke, marks.region])
        reach_mm = (CONTEXT - 1) * radius_mm
    return radius_mm, block_around(reached, reach_mm, spacing_mm, geometry.shape)


def _grow(canvas: Canvas, marked: Sequence[tuple[Prompt, Marks]], settings: CorrectionSettings) -> Task:
    """All voxels around the positive strokes, and in the positive boxes and lassos, are decided anew.

    Args:
        canvas: The segment.
        marked: All prompts for it, the oldest first.
        settings: How to understand them.
    """
    spacing_mm, shape = canvas.geometry.spacing_mm, canvas.geometry.shape
    wanted = [marks for prompt, marks in marked if prompt.positive]
    seeds = np.concatenate([_seeds(marks) for marks in wanted])
    regions = [marks.region for marks in wanted if marks.region is not None]
    radius_mm = max(
        settings.radius_mm if marks.region is None else _reach_mm(_seeds(marks), marks.region, spacing_mm)
        for marks in wanted
    )
    newest = marked[-1][1].stroke
    box = block_around(np.concatenate([seeds, newest, *regions]), CONTEXT * radius_mm, spacing_mm, shape)
    check_room(box)
    before, source = canvas.segment(box), mask_of(seeds, box)
    distance = distance_mm(source, spacing_mm)
    near = mask_of(np.concatenate([newest, *regions]), box)
    strokes = [marks.stroke for marks in wanted if marks.region is None]
    near |= (_around(strokes, box, spacing_mm) if regions else distance) <= settings.radius_mm
    open_to_change = near & canvas.editable(box)
    against = _refused(marked, box)
    must = open_to_change & source & ~against
    return Task(
        box,
        Domain(
            _intensities(canvas, box), spacing_mm, open_to_change & ~must & ~against, must, source,
            before & ~open_to_change, against, distance, radius_mm, _probability(canvas, box, side=True),
        ),
        before,
        side=True,
        cleared=open_to_change,
    )  # fmt: skip


def _around(strokes: Sequence[Indices], box: Box, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance (k, j, i) to the nearest stroke, infinite where there is none."""
    if not strokes:
        return np.full(box.shape, np.inf, dtype=np.float32)
    return distance_mm(mask_of(np.concatenate(strokes), box), spacing_mm)


def _refused(marked: Sequence[tuple[Prompt, Marks]], box: Box) -> Mask:
    """The voxels of a block that negative prompts hold; where prompts contradict, the oldest holds the voxel."""
    held = np.zeros((2, *box.shape), dtype=bool)
    for prompt, marks in marked:
        held[int(prompt.positive)] |= mask_of(marks.stroke, box) & ~held[int(not prompt.positive)]
    return np.asarray(held[0])


def _marked(canvas: Canvas, prompts: Sequence[Prompt]) -> list[tuple[Prompt, Marks]]:
    return [(prompt, marked_voxels(prompt, canvas.geometry)) for prompt in prompts]


def _seeds(marks: Marks) -> Indices:
    return marks.stroke if len(marks.stroke) else _core(marks)


def _core(marks: Marks) -> Indices:
    """The middle of a region, which stands for a stroke."""
    region = marks.stroke if marks.region is None else marks.region
    low, high = region.min(axis=0), region.max(axis=0)
    off = (np.abs(region - (low + high) / 2) / np.maximum(_CORE / 2 * (high - low), 0.5)).max(axis=1)
    return np.asarray(region[off <= max(1.0, float(off.min()))])  # a thin or bent region may miss its own middle


def _reach_mm(stroke: Indices, region: Indices, spacing_mm: Sequence[float]) -> float:
    """How far a region goes beyond the box of its stroke, at least a voxel."""
    low, high = stroke.min(axis=0) - region.min(axis=0), region.max(axis=0) - stroke.max(axis=0)
    return max(float((np.maximum(low, high) * spacing_mm).max()), *spacing_mm)


def _held(canvas: Canvas, prompts: Sequence[Prompt], box: Box) -> Mask:
    """The voxels of a block that prompts decided."""
    held = np.zeros(box.shape, dtype=bool)
    for prompt in near_block(prompts, canvas.geometry, box):
        held |= mask_of(marked_voxels(prompt, canvas.geometry).stroke, box)
    return held


def near_block(prompts: Sequence[Prompt], geometry: Geometry, box: Box) -> list[Prompt]:
    """The prompts that could mark voxels of a block: a quick look at what they reach along the patient axes."""
    if not prompts:
        return []
    ends = np.stack(np.meshgrid(*zip(box.start, np.asarray(box.stop) - 1, strict=True)), axis=-1).reshape(-1, 3)
    corners, margin = geometry.index_to_ras(ends), sum(geometry.spacing_mm) / 2 + 1e-6
    low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    extents = np.stack([extent_ras(prompt) for prompt in prompts])
    near = ((extents[:, 0] <= high) & (extents[:, 1] >= low)).all(axis=1)
    return [prompt for prompt, is_near in zip(prompts, near, strict=True) if is_near]


def _intensities(canvas: Canvas, box: Box) -> NDArray[np.float32]:
    """Intensities of a block, all of them finite."""
    channels = canvas.intensities(box)
    if not np.isfinite(channels).all():
        raise InvalidInputError(f"the volume has NaN or infinite voxels in {box}; replace them first")
    return channels


def _probability(canvas: Canvas, box: Box, *, side: bool) -> NDArray[np.float32] | None:
    """What a network gives a side in a block, all of it a probability."""
    probability = canvas.probability(box)
    if probability is None:
        return None
    if not ((probability > -_ROUNDING) & (probability < 1 + _ROUNDING)).all():  # false for NaN, too
        raise InvalidInputError(f"the probabilities in {box} are not all between 0 and 1; compute them anew")
    return probability if side else 1 - probability
