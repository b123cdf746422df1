"""The jobs of a batch as messages: find the inputs of a folder, work one of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.segmentation.outputs import PredictSettings

if TYPE_CHECKING:
    from DeepSegmentLib.service.batch.find_inputs import Findings
    from DeepSegmentLib.service.segment import SegmentRequest

_PATHS = ("source", "target", "report", "preview", "statistics")


@dataclass(frozen=True, eq=False)
class FindJob:
    """Find the inputs in a folder, see `service.batch.find_inputs.find_inputs`.

    Attributes:
        source: The folder; a relative path starts where the owner is, here and below.
        target: Where results go.
        avoid: Folders that were fatal before, by their names in the search.
    """

    source: str
    target: str
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CaseJob:
    """Segment one input and write its result, see `service.batch.work_case.work_case`.

    Attributes:
        request: What to do.
        skip_existing: Whether it is left out where its result is complete.
    """

    request: SegmentRequest
    skip_existing: bool = False


@dataclass(frozen=True, eq=False)
class CasesJob:
    """Work cases in a row, see `service.batch.work_cases.work_cases`; what becomes of each is told by `OfCase`.

    Attributes:
        requests: What to do.
        skip_existing: As of `CaseJob`.
    """

    requests: tuple[SegmentRequest, ...]
    skip_existing: bool = False


BatchJob = FindJob | CaseJob | CasesJob


@dataclass(frozen=True, eq=False)
class FindResult:
    """What a `FindJob` gives."""

    findings: Findings


@dataclass(frozen=True, eq=False)
class CaseResult:
    """What a `CaseJob` gives: the report of `work_case`."""

    report: dict[str, Any]


@dataclass(frozen=True)
class CasesResult:
    """What a `CasesJob` gives at its end.

    Attributes:
        count: How many cases were worked.
    """

    count: int


BatchResult = FindResult | CaseResult | CasesResult


def batch_result_to_json(result: BatchResult) -> dict[str, Any]:
    """What a job of a batch gives, as JSON."""
    if isinstance(result, FindResult):
        return {"findings": findings_to_json(result.findings)}
    return {"case": result.report} if isinstance(result, CaseResult) else {"count": result.count}


def batch_result_from_json(document: dict[str, Any]) -> BatchResult | None:
    """The inverse of `batch_result_to_json`; None where it is of a job of another kind."""
    if "findings" in document:
        return FindResult(findings_from_json(document["findings"]))
    if "case" in document:
        return CaseResult(document["case"])
    return CasesResult(document["count"]) if "count" in document else None


def batch_job_to_json(job: BatchJob) -> dict[str, Any]:
    """A job of a batch as JSON."""
    if isinstance(job, FindJob):
        return find_to_json(job)
    if isinstance(job, CaseJob):
        return case_to_json(job)
    requests = [request_to_json(request) for request in job.requests]
    return {"requests": requests, "skip_existing": job.skip_existing}


def batch_job_from_json(document: dict[str, Any]) -> BatchJob:
    """The inverse of `batch_job_to_json`, from what goes by as a message with the `kind` of the job."""
    if document["kind"] == "FindJob":
        return find_from_json(document)
    if document["kind"] == "CaseJob":
        return case_from_json(document)
    return CasesJob(tuple(map(request_from_json, document["requests"])), document["skip_existing"])


def find_to_json(job: FindJob) -> dict[str, Any]:
    """A job as JSON."""
    return {"source": _absolute(job.source), "target": _absolute(job.target), "avoid": list(job.avoid)}


def find_from_json(document: dict[str, Any]) -> FindJob:
    """The inverse of `find_to_json`."""
    return FindJob(document["source"], document["target"], tuple(document["avoid"]))


def findings_to_json(findings: Findings) -> dict[str, Any]:
    """Findings as JSON; names that are no Unicode stay as they are."""
    inputs = [
        asdict(found) | {"path": str(found.path), "channels": [str(path) for path in found.channels]}
        for found in findings.inputs
    ]
    return {"inputs": inputs, "results": list(findings.results)}


def findings_from_json(document: dict[str, Any]) -> Findings:
    """The inverse of `findings_to_json`."""
    from DeepSegmentLib.service.batch.find_inputs import Findings, Found

    inputs = tuple(
        Found(**entry | {"path": Path(entry["path"]), "channels": tuple(map(Path, entry["channels"]))})
        for entry in document["inputs"]
    )
    return Findings(inputs, tuple(document["results"]))


def case_to_json(job: CaseJob) -> dict[str, Any]:
    """A job as JSON."""
    return {"request": request_to_json(job.request), "skip_existing": job.skip_existing}


def case_from_json(document: dict[str, Any]) -> CaseJob:
    """The inverse of `case_to_json`."""
    return CaseJob(request_from_json(document["request"]), document["skip_existing"])


def request_to_json(request: SegmentRequest) -> dict[str, Any]:
    """A request as JSON, its paths absolute."""
    document = {field.name: getattr(request, field.name) for field in fields(request)}
    paths = {name: _absolute(document[name]) for name in _PATHS}
    channels = [_absolute(path) for path in request.channels]
    return document | paths | {"channels": channels, "settings": settings_to_json(request.settings)}


def request_from_json(document: dict[str, Any]) -> SegmentRequest:
    """The inverse of `request_to_json`."""
    from DeepSegmentLib.service.segment import SegmentRequest

    paths = {name: document[name] and Path(document[name]) for name in _PATHS}
    channels = tuple(Path(path) for path in document["channels"])
    subset = None if document["subset"] is None else tuple(document["subset"])
    changed = paths | {"channels": channels, "subset": subset, "settings": settings_from_json(document["settings"])}
    return SegmentRequest(**document | changed)


def settings_to_json(settings: PredictSettings) -> dict[str, Any]:
    """Settings as JSON."""
    region = None if settings.region_ras is None else np.asarray(settings.region_ras).tolist()
    folder = _absolute(settings.maps_folder)
    changed = {"region_ras": region, "probabilities": list(settings.probabilities), "maps_folder": folder}
    return asdict(settings) | changed


def settings_from_json(document: dict[str, Any]) -> PredictSettings:
    """The inverse of `settings_to_json`."""
    region = document["region_ras"]
    changed = {
        "region_ras": None if region is None else np.array(region, float),
        "probabilities": tuple(document["probabilities"]),
        "maps_folder": document["maps_folder"] and Path(document["maps_folder"]),
        "subset": None if document["subset"] is None else tuple(document["subset"]),
    }
    return PredictSettings(**document | changed)


def _absolute(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).absolute())
