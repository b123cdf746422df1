"""Which segments of two labelmaps belong together, and how well they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

from .metrics import MaskScores, compare_masks

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap, Segment

    Groups = dict[Hashable, tuple[Segment, ...]]

Side = Literal["both", "reference", "prediction"]


@dataclass(frozen=True)
class SegmentScores:
    """The scores of one segment.

    Attributes:
        name: What the reference calls it; what the prediction does where only that has it.
        side: Whose table of segments has it. One that only one side has is compared with an empty mask.
        scores: How well the masks agree.
    """

    name: str
    side: Side
    scores: MaskScores


def evaluate(reference: LabelMap, prediction: LabelMap, tolerance_mm: float) -> tuple[SegmentScores, ...]:
    """The scores of every segment of either labelmap: those of the reference first, in its order.

    Segments are matched by name; segments of one name are taken together. Where the labelmaps share no name at all,
    they are matched by layer and label value.

    Args:
        reference: What is right.
        prediction: What is judged, on the same grid.
        tolerance_mm: Largest surface distance that counts as agreement in the normalised surface Dice, 0 or more.

    Raises:
        InvalidInputError: The grids differ, or the tolerance is negative.
    """
    if not reference.geometry.is_close(prediction.geometry):
        raise InvalidInputError(
            f"reference and prediction must be on one grid, got shapes {reference.geometry.shape} and "
            f"{prediction.geometry.shape}, spacings {_rounded(reference)} and {_rounded(prediction)} mm; resample "
            "one of them first"
        )
    left, right = _matched(reference.segments, prediction.segments)
    scores = []
    for key in dict.fromkeys([*left, *right]):
        name = (left.get(key) or right[key])[0].name
        masks = (_union(reference, left.get(key, ())), _union(prediction, right.get(key, ())))
        compared = compare_masks(*masks, reference.geometry.spacing_mm, tolerance_mm)
        scores.append(SegmentScores(name, _side(key in left, key in right), compared))
    return tuple(scores)


def _matched(reference: tuple[Segment, ...], prediction: tuple[Segment, ...]) -> tuple[Groups, Groups]:
    """The segments of both sides by what they are matched by."""
    if {segment.name for segment in reference} & {segment.name for segment in prediction}:
        return _by_name(reference), _by_name(prediction)
    return _by_place(reference), _by_place(prediction)


def _by_name(segments: tuple[Segment, ...]) -> Groups:
    return {one.name: tuple(each for each in segments if each.name == one.name) for one in segments}


def _by_place(segments: tuple[Segment, ...]) -> Groups:
    return {(segment.layer, segment.value): (segment,) for segment in segments}


def _side(in_reference: bool, in_prediction: bool) -> Side:
    if in_reference and in_prediction:
        return "both"
    return "reference" if in_reference else "prediction"


def _union(label_map: LabelMap, segments: tuple[Segment, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(label_map.geometry.shape, dtype=np.bool_)
    for segment in segments:
        mask |= label_map.mask(segment)
    return mask


def _rounded(label_map: LabelMap) -> tuple[float, ...]:
    return tuple(round(step, 3) for step in label_map.geometry.spacing_mm)
