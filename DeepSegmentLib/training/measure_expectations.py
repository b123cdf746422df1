"""What the segments of label maps are like: ranges for a model folder, to doubt later results by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.expectations import Expectations, SegmentExpectation
from DeepSegmentLib.segmentation.doubts.sizes_and_places import measure_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from DeepSegmentLib.data import LabelMap
    from DeepSegmentLib.networks.expectations import Range
    from DeepSegmentLib.segmentation.doubts.sizes_and_places import Shape


def expect(label_maps: Iterable[LabelMap], *, coarsest_mm: float) -> Expectations:
    """The ranges of volumes, places and pieces over label maps.

    A segment that some label maps lack may be missing: its range starts at 0.

    Args:
        label_maps: Each with the segments that are learned, whole and upright.
        coarsest_mm: Largest distance of voxels, or thickness of slices, that the model is trained with.

    Raises:
        InvalidInputError: There is no label map, or one without any segment.
    """
    shapes = [measure_shapes(label_map) for label_map in label_maps]
    wholes = [each.whole for each in shapes if each.whole is not None]
    if not shapes or len(wholes) < len(shapes):
        raise InvalidInputError("expectations need label maps with at least one segment each")
    names = list(dict.fromkeys(name for each in shapes for name in each.segments))
    extents = np.array([whole.extent_mm for whole in wholes])
    return Expectations(
        cases=len(shapes),
        ml=_range([whole.ml for whole in wholes]),
        extent_mm=tuple(map(_range, extents.T)),  # type: ignore[arg-type]
        coarsest_mm=coarsest_mm,
        segments=tuple(_segment(name, [(each.segments.get(name), each.whole) for each in shapes]) for name in names),
    )


def _segment(name: str, cases: Sequence[tuple[Shape | None, Shape | None]]) -> SegmentExpectation:
    there = [(shape, whole) for shape, whole in cases if shape is not None and whole is not None]
    offsets = np.array([shape.middle_ras - whole.middle_ras for shape, whole in there])
    return SegmentExpectation(
        segment=name,
        ml=_range([0.0 if shape is None else shape.ml for shape, _ in cases]),
        offset_mm=tuple(map(_range, offsets.T)),  # type: ignore[arg-type]
        pieces=max(shape.pieces for shape, _ in there),
    )


def _range(numbers: Iterable[float]) -> Range:
    """Smallest and largest, rounded to what can be measured: 0.01 ml or mm."""
    rounded = [round(float(number), 2) for number in numbers]
    return min(rounded), max(rounded)
