"""What a prompt asks for: the block to look at, and what in it may, must and shall not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .domain import CONTEXT, Domain, block_around, distance_mm, mask_of
from .strokes import corners_around, marked_voxels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Prompt

    from .canvas import Canvas
    from .settings import RefineSettings
    from .strokes import Indices, Marks

    Mask = NDArray[np.bool_]

_CORE = 0.3
"""The part of a box, along each axis, from which distances are measured: the segment is somewhere around its middle."""


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


def look(canvas: Canvas, prompt: Prompt, settings: RefineSettings, earlier: Sequence[Prompt] = ()) -> Task:
    """Read the block around a prompt.

    Args:
        canvas: The segment.
        prompt: What the user pointed at.
        settings: How to understand it.
        earlier: Prompts given before for this segment.

    Raises:
        InvalidInputError: The prompt marks no voxel of the volume.
    """
    marks = marked_voxels(prompt, canvas.geometry)
    if settings.mode == "grow" and (prompt.positive or any(old.positive for old in earlier)):
        return _grow(canvas, [*_marked(canvas, earlier), (prompt, marks)], settings)
    return _fix(canvas, prompt, marks, settings, earlier)


def _fix(canvas: Canvas, prompt: Prompt, marks: Marks, settings: RefineSettings, earlier: Sequence[Prompt]) -> Task:
    """Voxels around the stroke, or in the prompt's region, may come to the prompt's side."""
    spacing_mm = canvas.geometry.spacing_mm
    stroke = marks.stroke if len(marks.stroke) else _core(marks)
    radius_mm = settings.radius_mm if marks.region is None else _reach_mm(stroke, marks.region, spacing_mm)
    marked = stroke if marks.region is None else np.concatenate([stroke, marks.region])
    reach_mm = CONTEXT * radius_mm if marks.region is None else (CONTEXT - 1) * radius_mm
    box = block_around(marked, reach_mm, spacing_mm, canvas.geometry.shape)
    before = canvas.segment(box)
    source = mask_of(stroke, box)
    distance = distance_mm(source, spacing_mm)
    near = distance <= radius_mm if marks.region is None else mask_of(marks.region, box)
    opposite = [old for old in earlier if old.positive != prompt.positive]
    against = _held(canvas, opposite, box)
    target = before == prompt.positive
    free = near & ~target & ~against & canvas.editable(box)
    must = free & mask_of(marks.stroke, box)
    return Task(
        box,
        Domain(
            canvas.intensities(box), spacing_mm, free & ~must, must, source, target, against, distance, radius_mm,
            _for_side(canvas.probability(box), side=prompt.positive),
        ),
        before,
        prompt.positive,
    )  # fmt: skip


def _grow(canvas: Canvas, marked: Sequence[tuple[Prompt, Marks]], settings: RefineSettings) -> Task:
    """All voxels around the positive strokes are decided anew; prompts are given oldest first."""
    spacing_mm, shape = canvas.geometry.spacing_mm, canvas.geometry.shape
    seeds = np.concatenate([_seeds(marks) for prompt, marks in marked if prompt.positive])
    box = block_around(seeds, CONTEXT * settings.radius_mm, spacing_mm, shape)
    before, editable = canvas.segment(box), canvas.editable(box)
    wanted, against = _decided(marked, box)
    source = mask_of(seeds, box)
    distance = distance_mm(source, spacing_mm)
    open_to_change = (distance <= settings.radius_mm) & editable
    must = open_to_change & wanted
    return Task(
        box,
        Domain(
            canvas.intensities(box), spacing_mm, open_to_change & ~must & ~against, must, source,
            before & ~open_to_change, against, distance, settings.radius_mm, canvas.probability(box),
        ),
        before,
        side=True,
        cleared=open_to_change,
    )  # fmt: skip


def _decided(marked: Sequence[tuple[Prompt, Marks]], box: Box) -> tuple[Mask, Mask]:
    """Voxels of a block that prompts want and do not want; where strokes cross, the older one holds."""
    sides = {True: np.zeros(box.shape, dtype=bool), False: np.zeros(box.shape, dtype=bool)}
    for prompt, marks in marked:
        sides[prompt.positive] |= mask_of(marks.stroke, box) & ~sides[not prompt.positive]
    return sides[True], sides[False]


def _marked(canvas: Canvas, prompts: Sequence[Prompt]) -> list[tuple[Prompt, Marks]]:
    return [(prompt, marked_voxels(prompt, canvas.geometry)) for prompt in prompts]


def _seeds(marks: Marks) -> Indices:
    return marks.stroke if len(marks.stroke) else _core(marks)


def _core(marks: Marks) -> Indices:
    """The middle of a region, which stands for a stroke."""
    region = marks.stroke if marks.region is None else marks.region
    middle = (region.min(axis=0) + region.max(axis=0)) / 2
    half = np.maximum((region.max(axis=0) - region.min(axis=0)) / 2, 0.5)
    inner = np.abs(region - middle) <= np.maximum(_CORE * half, 0.5)
    return np.asarray(region[inner.all(axis=1)])


def _reach_mm(stroke: Indices, region: Indices, spacing_mm: Sequence[float]) -> float:
    """How far a region goes beyond the box of its stroke, at least a voxel."""
    low, high = stroke.min(axis=0) - region.min(axis=0), region.max(axis=0) - stroke.max(axis=0)
    return max(float((np.maximum(low, high) * spacing_mm).max()), *spacing_mm)


def _held(canvas: Canvas, prompts: Sequence[Prompt], box: Box) -> Mask:
    """The voxels of a block that prompts decided."""
    held = np.zeros(box.shape, dtype=bool)
    for prompt in prompts:
        if _is_near(canvas, prompt, box):
            held |= mask_of(marked_voxels(prompt, canvas.geometry).stroke, box)
    return held


def _is_near(canvas: Canvas, prompt: Prompt, box: Box) -> bool:
    """Whether a prompt could mark voxels of a block: a quick look at its corners."""
    points = canvas.geometry.ras_to_index(corners_around(prompt))
    return bool((points.max(axis=0) >= np.asarray(box.start) - 1).all() and (points.min(axis=0) <= box.stop).all())


def _for_side(probability: NDArray[np.float32] | None, *, side: bool) -> NDArray[np.float32] | None:
    return probability if probability is None or side else 1 - probability
