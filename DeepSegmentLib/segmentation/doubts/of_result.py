"""Whether a result can be what the model was made for: its segments against those of the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Box
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.segmentation.prepare import content_box

from .sizes_and_places import border_mm2, measure_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap, Volume
    from DeepSegmentLib.networks.expectations import Expectations, SegmentExpectation

    from .sizes_and_places import Shape

# How far a segment may leave what was measured in training, and in what part of the segments it must, to be doubted.
# Margins for patients that training lacks (tumours, children, large ventricles), from `Testing/benchmarks/doubts.py`.
_VOLUME, _WHOLE_VOLUME = 3.0, 1.6
_OFF_MM, _OFF_PART = 25.0, 0.125
_PIECES = 2
_PART = 0.25
_FRAGMENT = 0.1  # of the least volume: a segment with less says nothing by its place
_CUT_PART = 0.25  # of the area of a cube of its volume: a segment that meets the border in more is cut
_CUT_MM2 = 500.0  # of all segments together: more is no chance contact with the border
_NAMED = 3


@dataclass(frozen=True, eq=False)
class _Found:
    """A segment that was expected: what it was like, and what came out."""

    expected: SegmentExpectation
    shape: Shape | None
    border_mm2: float

    @property
    def ml(self) -> float:
        return 0.0 if self.shape is None else self.shape.ml

    def excess(self, *, whole_in_view: bool) -> float:
        """The factor by which the volume leaves its range; a low one counts only where all is in view."""
        low, high = self.expected.ml
        smaller = low / max(self.ml, 1e-3) if whole_in_view else 0.0
        return max(1.0, smaller, self.ml / max(high, 1e-3))

    @property
    def has_place(self) -> bool:
        """Whether its centroid tells something: it is no fragment, and not cut by the border."""
        whole = self.border_mm2 < _CUT_PART * (1000 * self.ml) ** (2 / 3)
        return self.shape is not None and whole and self.ml >= _FRAGMENT * self.expected.ml[0]

    def origin(self) -> NDArray[np.float64]:
        """Where the centroid of all segments is, by this one."""
        assert self.shape is not None
        return np.asarray(self.shape.middle_ras - np.mean(self.expected.offset_mm, axis=1))

    def off_mm(self, origin: NDArray[np.float64]) -> float:
        """How far the centroid is from the block in which it lay in training."""
        assert self.shape is not None
        low, high = np.array(self.expected.offset_mm).T
        offset = self.shape.middle_ras - origin
        return float(np.linalg.norm(offset - np.clip(offset, low, high)))

    def pieces(self) -> int:
        return 0 if self.shape is None else self.shape.pieces


def doubts_of_result(
    label_map: LabelMap, expectations: Expectations, volume: Volume, *, region: bool = False
) -> tuple[str, ...]:
    """What speaks against a result, a sentence each; empty where nothing does.

    Too little of a segment is no doubt where the field of view ends inside the organ, and of a region only too much is.

    Args:
        label_map: The result.
        expectations: Of the model that made it.
        volume: What was segmented; on the grid of `label_map`.
        region: Whether only a part was segmented.
    """
    shapes = measure_shapes(label_map)
    if shapes.whole is None:
        return () if region else (f"No segment was found; {_of_all(expectations)}.",)
    border = border_mm2(label_map, content_box(volume))
    found = [
        _Found(each, shapes.segments.get(each.segment), border.get(each.segment, 0.0)) for each in expectations.segments
    ]
    in_view = not region and sum(border.values()) < _CUT_MM2
    doubts = [_volume_doubt(found, shapes.whole, expectations, in_view=in_view)]
    if not region:
        doubts += [_place_doubt(found, expectations), _pieces_doubt(found, expectations)]
    return tuple(filter(None, doubts))


def _volume_doubt(found: Sequence[_Found], whole: Shape, expectations: Expectations, *, in_view: bool) -> str:
    excess = {each: each.excess(whole_in_view=in_view) for each in found}
    odd = sorted((each for each in found if excess[each] > _VOLUME), key=lambda each: -excess[each])
    low, high = expectations.ml
    unusual = whole.ml > _WHOLE_VOLUME * high or (in_view and whole.ml < low / _WHOLE_VOLUME)
    if not unusual and len(odd) < _least(found):
        return ""
    parts = [f"{each.expected.segment} has {_ml(each.ml)} ({_between(each.expected.ml)})" for each in odd]
    texts = [f"all segments together have {_ml(whole.ml)} ({_between(expectations.ml)})", *parts]
    return f"Unusual volumes: {_some(texts)}; in brackets those of {_cases(expectations)}."


def _place_doubt(found: Sequence[_Found], expectations: Expectations) -> str:
    """Places are compared with each other, as the middle of all is not known where the field of view cuts some."""
    placed = [each for each in found if each.has_place]
    if not placed:
        return ""
    origin = np.median([each.origin() for each in placed], axis=0)
    off = {each: each.off_mm(origin) for each in placed}
    odd = sorted((each for each in placed if off[each] > _OFF_MM), key=lambda each: -off[each])
    if len(odd) < max(2, _least(placed, _OFF_PART)):
        return ""
    names = _some([f"{each.expected.segment} is {off[each]:.0f} mm off" for each in odd])
    return (
        f"The segments do not lie to each other as in {_cases(expectations)}: {names}. "
        "Is this part of the body in view, and does the file say rightly where up and front are?"
    )


def _pieces_doubt(found: Sequence[_Found], expectations: Expectations) -> str:
    odd = [each for each in found if each.pieces() > _PIECES * each.expected.pieces]
    if len(odd) < _least(found):
        return ""
    odd.sort(key=lambda each: -each.pieces() / each.expected.pieces)
    names = _some([f"{each.expected.segment} in {each.pieces()} ({each.expected.pieces})" for each in odd])
    return f"The segments lie in many pieces: {names}; in brackets the most in {_cases(expectations)}."


def cut_segments(label_map: LabelMap) -> str:
    """A sentence on the segments that the field of view cuts; empty where it cuts none."""
    areas = border_mm2(label_map, Box.of_shape(label_map.geometry.shape))
    if sum(areas.values()) < _CUT_MM2:
        return ""
    names = sorted(areas, key=lambda name: -areas[name])
    return f"Cut by the border of the volume: {_some(names)}."


def _least(found: Sequence[_Found], part: float = _PART) -> int:
    """How many segments must be odd: a part of them, though at least one."""
    return max(1, int(np.ceil(part * len(found))))


def _some(texts: Sequence[str]) -> str:
    """The first few of several texts, and how many more there are."""
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _ml(ml: float) -> str:
    return f"{ml:.0f} ml" if ml >= 10 else f"{ml:.1f} ml"


def _between(limits: tuple[float, float]) -> str:
    low, high = limits
    return f"{low:.0f} to {high:.0f}" if high >= 10 else f"{low:.1f} to {high:.1f}"


def _cases(expectations: Expectations) -> str:
    return f"{counted(expectations.cases, 'case')} of the training"


def _of_all(expectations: Expectations) -> str:
    return f"in {_cases(expectations)} all together had {_between(expectations.ml)} ml"
