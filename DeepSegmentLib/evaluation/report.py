"""Scores of many cases as a table (CSV text) and as a structure that strict JSON can hold.

Each segment gets its mean and median over the cases. The mean is over the finite values: one missed segment, whose
distance is infinite, would make every mean infinite. So that nothing is hidden, the number of cases, of missed segments
and of false alarms stands beside it, and the median counts infinite values as the worst.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from .metrics import MaskScores
from .spreadsheet_cells import text_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .segment_scores import SegmentScores

METRICS = tuple(field.name for field in fields(MaskScores) if field.name != "tolerance_mm")
"""The names of the scores, in the order of the columns."""

COLUMNS = ("row", "case", "segment", "side", "cases", "missed", "false_alarms", *METRICS, "tolerance_mm")
"""The header of the CSV table."""


@dataclass(frozen=True)
class CaseScores:
    """The scores of one case.

    Attributes:
        case: Name of the case.
        segments: One entry a segment, as `evaluate` gives them.
    """

    case: str
    segments: tuple[SegmentScores, ...]


@dataclass(frozen=True)
class SegmentSummary:
    """The scores of one segment over all cases that have it.

    Attributes:
        name: Name of the segment.
        cases: In how many cases either side has it.
        missed: In how many of them the prediction is empty and the reference is not.
        false_alarms: In how many of them the reference is empty and the prediction is not.
        mean: Mean of the finite values of each score; NaN if there are none.
        median: Median of each score, infinite values counted; NaN if there are none.
    """

    name: str
    cases: int
    missed: int
    false_alarms: int
    mean: MaskScores
    median: MaskScores


def summarize(cases: Sequence[CaseScores]) -> tuple[SegmentSummary, ...]:
    """The summary of every segment, in the order in which they first appear."""
    scores: dict[str, list[MaskScores]] = {}
    for case in cases:
        for segment in case.segments:
            scores.setdefault(segment.name, []).append(segment.scores)
    return tuple(_summary(name, of_segment) for name, of_segment in scores.items())


def scores_to_json(cases: Sequence[CaseScores]) -> dict[str, Any]:
    """Cases and summary as dicts, lists, strings and finite numbers; what is NaN or infinite becomes None.

    Returns:
        An object with these keys::

            {"cases": [{"case", "segments": [{"name", "side", <metrics>}]}],
             "summary": [{"name", "cases", "missed", "false_alarms", "mean": {<metrics>}, "median": {<metrics>}}]}
    """
    return {
        "cases": [{"case": case.case, "segments": [_segment_to_json(s) for s in case.segments]} for case in cases],
        "summary": [_summary_to_json(summary) for summary in summarize(cases)],
    }


def scores_to_csv(cases: Sequence[CaseScores]) -> str:
    """A table with `COLUMNS`: one row a case and segment, then two rows a segment, its mean and its median.

    Numbers have six digits; NaN becomes an empty cell, infinity `inf`. Texts are quoted and no formulas (see
    `text_cell`), lines end with a line feed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for case in cases:
        for segment in case.segments:
            counts = (1, int(segment.scores.missed), int(segment.scores.false_alarm))
            writer.writerow(
                ("case", text_cell(case.case), text_cell(segment.name), segment.side, *counts, *_cells(segment.scores))
            )
    for summary in summarize(cases):
        counts = (summary.cases, summary.missed, summary.false_alarms)
        writer.writerow(("mean", "", text_cell(summary.name), "", *counts, *_cells(summary.mean)))
        writer.writerow(("median", "", text_cell(summary.name), "", *counts, *_cells(summary.median)))
    return text.getvalue()


def _summary(name: str, scores: list[MaskScores]) -> SegmentSummary:
    missed, false_alarms = sum(s.missed for s in scores), sum(s.false_alarm for s in scores)
    return SegmentSummary(name, len(scores), missed, false_alarms, _over(scores, _mean), _over(scores, _median))


def _over(scores: list[MaskScores], reduce: Callable[[Iterable[float]], float]) -> MaskScores:
    """The scores with each metric reduced over all of them."""
    return MaskScores(*(reduce(column) for column in zip(*map(astuple, scores), strict=True)))


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.fmean(finite) if finite else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def _segment_to_json(segment: SegmentScores) -> dict[str, Any]:
    return {"name": segment.name, "side": segment.side, **_to_json(segment.scores)}


def _summary_to_json(summary: SegmentSummary) -> dict[str, Any]:
    counts = {"cases": summary.cases, "missed": summary.missed, "false_alarms": summary.false_alarms}
    return {"name": summary.name, **counts, "mean": _to_json(summary.mean), "median": _to_json(summary.median)}


def _to_json(scores: MaskScores) -> dict[str, float | None]:
    values = zip(fields(scores), astuple(scores), strict=True)
    return {field.name: value if math.isfinite(value) else None for field, value in values}


def _cells(scores: MaskScores) -> list[float | str]:
    return ["" if math.isnan(value) else float(f"{value:.6g}") for value in astuple(scores)]
