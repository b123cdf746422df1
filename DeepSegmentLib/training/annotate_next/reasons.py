"""Why a volume has its place, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from DeepSegmentLib.segmentation.result_measures import ResultMeasures, Unsure

_WORTH_TELLING = 0.01
"""Share of a border that is told."""
_UNLIKE = 1.5
"""So many times the usual distance make a volume unlike the others."""


def unsure_words(measures: ResultMeasures, segment: str | None = None) -> str:
    """Where the network was unsure: along which border most, or along that of one segment."""
    found = [each for each in measures.found if segment in (None, each.segment)]
    if not found:
        return "nothing is found: missed, or not there"
    worst = max(found, key=_unsureness)
    if worst.unsure_border < _WORTH_TELLING:
        return "sure of all that is found" if segment is None else f"sure of {worst.segment}"
    return f"unsure along {worst.unsure_border:.0%} of the border of {worst.segment}".replace("%", " %")


def _unsureness(each: Unsure) -> tuple[float, float]:
    return each.unsure_border, each.entropy


def need_words(segment: str, count: int) -> str:
    """Why cases with a segment are wanted.

    Args:
        segment: Its name.
        count: In how many cases it was drawn, and in how many volumes that come before it is found.
    """
    if not count:
        return f"has {segment}, which no case has yet"
    return f"has {segment}, as only {count} of the cases and volumes before it"


def likeness_words(distance: float, usual: float, *, collected: bool) -> str:
    """Whether a volume differs from those before it; empty where it is about as usual.

    Args:
        distance: From the nearest that is collected or comes before.
        usual: Median of that distance when nothing was chosen yet; infinite where nothing was collected.
        collected: Whether there are cases at all.
    """
    if distance == 0:
        return "a copy of one that is there or comes before"
    if not collected or distance == float("inf"):
        return ""
    return "unlike the cases so far" if distance >= _UNLIKE * usual else ""


def sentence(*parts: str) -> str:
    """Parts of a reason, those that are not empty, as one line."""
    return "; ".join(part for part in parts if part)
