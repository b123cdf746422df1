"""Work one case of many: segment it, unless its result is complete."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.leftovers import sweep
from DeepSegmentLib.files.models import load_model, read_spec
from DeepSegmentLib.files.output_checks import Output, check_outputs, inputs_of
from DeepSegmentLib.files.volumes import volume_stem
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.maps_and_statistics import STATISTICS_SUFFIXES, statistics_of_files, write_statistics
from DeepSegmentLib.service.segment import completed, read_case, run_case, write_case

from .existing_results import is_table_of_ours, judge, strange_companion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.service.segment import CaseRead, CaseRun, SegmentRequest

    from .existing_results import Verdict


@dataclass(frozen=True, eq=False)
class Opened:
    """A case whose input is read, or that is left out.

    Attributes:
        case: What `run_case` takes; None where it is left out.
        notes: Why an existing result is done again.
        left_out: The report of a case that is left out.
    """

    case: CaseRead | None
    notes: tuple[str, ...] = ()
    left_out: dict[str, Any] = field(default_factory=dict)


def work_case(
    request: SegmentRequest,
    on_progress: ProgressCallback = silent,
    *,
    skip_existing: bool = False,
    load: Callable[[Path, str], Model] = load_model,
) -> dict[str, Any]:
    """Segment a case, or leave it out where `skip_existing` and its result is complete or has been corrected.

    Returns:
        The report of `segment_file`, its `notes` beginning with why an existing result was done again; of a case that
        is left out `input`, `skipped` (its result), `reason` and `volumes_ml`, and `statistics` where they are wanted.

    Raises:
        InvalidInputError: With `skip_existing`, something of another origin has the name of the result.
        DeepSegmentError: See `segment_file`.
    """
    opened = open_case(request, on_progress, skip_existing=skip_existing)
    if opened.case is None:
        return opened.left_out
    return close_case(opened, run_case(opened.case, on_progress, load=load), on_progress)


def open_case(request: SegmentRequest, on_progress: ProgressCallback = silent, *, skip_existing: bool) -> Opened:
    """The first step of `work_case`, and all of it for a case that is left out; errors as there."""
    request = completed(request, read_spec(find_model(request.model).path))
    _sweep_folders(request)
    notes: tuple[str, ...] = ()
    if skip_existing:
        if os.path.lexists(request.target):
            verdict = judge(request)
            if verdict.kind == "foreign" and not request.replace:
                raise InvalidInputError(f"{verdict.reason}; name another folder, or ask to replace it (--replace)")
            if verdict.kind == "complete" or (verdict.kind == "corrected" and not request.replace):
                return Opened(None, left_out=_left_out(request, verdict))
            notes = (f"done again: {verdict.reason}",)
        elif not request.replace and (path := strange_companion(request)):
            raise InvalidInputError(f"{path} exists and is from no run; name another folder, or --replace it")
        # What an interrupted run left without its segmentation is done again too.
        request = replace(request, replace=True)
    return Opened(read_case(request, on_progress), notes)


def close_case(opened: Opened, done: CaseRun, on_progress: ProgressCallback = silent) -> dict[str, Any]:
    """The last step of `work_case`: write what was found; the report."""
    report = write_case(done, on_progress)
    return report | {"notes": [*opened.notes, *report["notes"]]}


def _left_out(request: SegmentRequest, verdict: Verdict) -> dict[str, Any]:
    return {
        "input": {"path": str(request.source)},
        "skipped": str(request.target),
        "reason": verdict.reason,
        "volumes_ml": verdict.volumes_ml,
    } | _measured(request)


def _measured(request: SegmentRequest) -> dict[str, Any]:
    """What was measured of the result that is there, where that is wanted; the table is written."""
    if request.statistics is None and not request.measure:
        return {}
    table = [Output(path, STATISTICS_SUFFIXES) for path in (request.statistics,) if path is not None]
    ours = all(is_table_of_ours(output.path) for output in table)
    check_outputs(table, inputs_of([request.source, *request.channels]), replace=request.replace or ours)
    rows = statistics_of_files(request.source, request.channels, request.series, request.target)
    if request.statistics is not None:
        write_statistics(request.statistics, [(volume_stem(request.source), rows)])
    return {"statistics": rows}


def _sweep_folders(request: SegmentRequest) -> None:
    """Remove what killed runs left half-written where this one is going to write."""
    for path in (request.target, request.report, request.preview):
        if path is not None:
            sweep(path.parent)
