"""What a model's segments were like in the label maps that it learned from: data to hold a result against."""

# ruff: noqa: TC003 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from DeepSegmentLib.errors import InvalidInputError

Range = tuple[float, float]


@dataclass(frozen=True)
class SegmentExpectation:
    """One segment over all cases.

    Attributes:
        segment: Its name.
        ml: Least and largest volume.
        offset_mm: Least and largest distance of its centroid from that of all segments together, along R, A and S.
        pieces: The most connected components that held nine tenths of it.
    """

    segment: str
    ml: Range
    offset_mm: tuple[Range, Range, Range]
    pieces: int

    def __post_init__(self) -> None:
        _check_ranges(f"segment {self.segment!r}: ml", [self.ml], least=0)
        _check_ranges(f"segment {self.segment!r}: offset_mm", self.offset_mm)
        if self.pieces < 1:
            raise InvalidInputError(f"segment {self.segment!r}: pieces must be at least 1, got {self.pieces}")


@dataclass(frozen=True)
class Expectations:
    """All segments over all cases, as measured, without any margin.

    Attributes:
        cases: How many label maps were measured.
        ml: Least and largest volume of all segments together.
        extent_mm: Least and largest size of the block around all of them, along R, A and S.
        coarsest_mm: Largest distance of voxels, or thickness of slices, in training.
        segments: Each segment that was measured.
    """

    cases: int
    ml: Range
    extent_mm: tuple[Range, Range, Range]
    coarsest_mm: float
    segments: tuple[SegmentExpectation, ...]

    def __post_init__(self) -> None:
        if self.cases < 1:
            raise InvalidInputError(f"expectations need at least one case, got {self.cases}")
        _check_ranges("expectations: ml", [self.ml], least=0)
        _check_ranges("expectations: extent_mm", self.extent_mm, least=0)
        if not 0 < self.coarsest_mm < math.inf:
            raise InvalidInputError(f"expectations: coarsest_mm must be a length above 0, got {self.coarsest_mm}")


def _check_ranges(what: str, ranges: Iterable[Range], *, least: float = -math.inf) -> None:
    for low, high in ranges:
        if not least <= low <= high < math.inf:
            raise InvalidInputError(f"{what} must be from a smaller to a larger number, got {low} and {high}")
