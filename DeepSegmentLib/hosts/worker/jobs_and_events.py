"""What owner and worker say to each other: jobs one way, events the other; JSON, with the voxels beside."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib import errors
from DeepSegmentLib.data import LabelMap, Progress, Volume
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError
from DeepSegmentLib.segmentation.outputs import PredictSettings

from .batch_jobs import (
    BatchJob,
    BatchResult,
    batch_job_from_json,
    batch_job_to_json,
    batch_result_from_json,
    batch_result_to_json,
    settings_from_json,
    settings_to_json,
)
from .learning_jobs import (
    LEARNING_JOBS,
    CollectJob,
    LearningJob,
    LearningResult,
    learning_job_from_json,
    learning_job_to_json,
)
from .model_jobs import (
    AddModelJob,
    GetModelJob,
    ModelResult,
    entry_from_json,
    entry_to_json,
    model_job_from_json,
    model_job_to_json,
)
from .voxel_messages import label_map_from_json, label_map_to_json, volume_from_json, volume_to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.service.export import ExportCase, ExportSettings


@dataclass(frozen=True, eq=False)
class SegmentJob:
    """Segment a volume.

    Attributes:
        volume: What to segment.
        model: Name in the catalogue, or a model folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        settings: What to predict and how thoroughly; only the segments of its subset come back.
        precision: Of the arithmetic on the CPU: "checked", "float32" or "bfloat16".
    """

    volume: Volume
    model: str = "brain-mr"
    device: str = "auto"
    settings: PredictSettings = field(default_factory=PredictSettings)
    precision: Precision = "checked"


@dataclass(frozen=True, eq=False)
class ExportJob:
    """Export a segmented volume, see `service.export.export_case`.

    Attributes:
        case: Volume, labels and where they came from.
        target: File or folder, by the format.
        settings: How.
    """

    case: ExportCase
    target: str
    settings: ExportSettings


@dataclass(frozen=True, eq=False)
class MeasureJob:
    """Measure the segments of a volume, see `evaluation.measurements`.

    Attributes:
        volume: The intensities.
        label_map: Segments on the volume's grid.
    """

    volume: Volume
    label_map: LabelMap


Job = SegmentJob | BatchJob | ExportJob | MeasureJob | AddModelJob | GetModelJob | LearningJob


@dataclass(frozen=True, eq=False)
class SegmentResult:
    """What a `SegmentJob` gives.

    Attributes:
        label_map: The segments.
        probabilities: Probability maps by segment name.
        uncertainty: Entropy map, or None.
        places_ras: Where to look first (n, 3), the most uncertain place first; empty without an entropy map.
        provenance: What goes with the result: model, version, checksum, parameters, device, library, date.
        report: Seconds, memory, tiles, notes and the volume of each segment in ml.
    """

    label_map: LabelMap
    probabilities: dict[str, Volume]
    uncertainty: Volume | None
    places_ras: Any
    provenance: dict[str, str]
    report: dict[str, Any]


@dataclass(frozen=True, eq=False)
class ExportResult:
    """What an `ExportJob` gives.

    Attributes:
        report: See `service.export.export_case`.
    """

    report: dict[str, Any]


@dataclass(frozen=True, eq=False)
class MeasureResult:
    """What a `MeasureJob` gives.

    Attributes:
        rows: See `evaluation.measurements.measurement_rows`.
    """

    rows: list[dict[str, Any]]


Result = SegmentResult | BatchResult | ExportResult | MeasureResult | ModelResult | LearningResult


@dataclass(frozen=True)
class Progressed:
    """The job got on."""

    progress: Progress


@dataclass(frozen=True, eq=False)
class Finished:
    """The job is done."""

    result: Result


@dataclass(frozen=True, eq=False)
class Failed:
    """The job ended with an error that the user can act on; a bug of ours comes as plain `DeepSegmentError`."""

    error: DeepSegmentError


@dataclass(frozen=True)
class Stopped:
    """The job was cancelled; nothing came of it."""


@dataclass(frozen=True)
class Died:
    """The worker process is gone, and the job with it; the next job starts a new one.

    Attributes:
        message: Why, as far as can be told, and what to do.
    """

    message: str


@dataclass(frozen=True, eq=False)
class OfCase:
    """What goes on in one case of a `CasesJob`, which goes on itself.

    Attributes:
        case: Its number, from 0.
        event: What.
    """

    case: int
    event: Progressed | Finished | Failed


Event = Progressed | OfCase | Finished | Failed | Stopped | Died


def encode_job(job: Job, number: int, folder: Path) -> bytes:
    """A job as a message; its voxels go to the folder."""
    return json.dumps({"kind": type(job).__name__, "number": number, **_from_job(job, folder)}).encode()


def _from_job(job: Job, folder: Path) -> dict[str, Any]:
    if isinstance(job, MeasureJob):
        return {"volume": volume_to_json(job.volume, folder), "label_map": label_map_to_json(job.label_map, folder)}
    if isinstance(job, ExportJob):
        return _from_export(job, folder)
    if isinstance(job, BatchJob):
        return batch_job_to_json(job)
    if isinstance(job, AddModelJob | GetModelJob):
        return model_job_to_json(job)
    if isinstance(job, LearningJob):
        return learning_job_to_json(job, folder)
    words = {name: getattr(job, name) for name in ("model", "device", "precision")}
    return words | {"settings": settings_to_json(job.settings), "volume": volume_to_json(job.volume, folder)}


def voxel_bytes(job: Job) -> int:
    """Size of the arrays that go with a job."""
    if isinstance(job, SegmentJob):
        return job.volume.voxels.nbytes
    if isinstance(job, ExportJob | MeasureJob | CollectJob):
        place = job.case if isinstance(job, ExportJob) else job
        return place.volume.voxels.nbytes + place.label_map.layers.nbytes
    return 0


def decode_job(document: dict[str, Any], folder: Path) -> Job:
    """The inverse of `encode_job`, from its JSON."""
    if document["kind"] == "MeasureJob":
        return MeasureJob(
            volume_from_json(document["volume"], folder), label_map_from_json(document["label_map"], folder)
        )
    if document["kind"] == "ExportJob":
        return _to_export(document, folder)
    if document["kind"] in ("FindJob", "CaseJob", "CasesJob"):
        return batch_job_from_json(document)
    if document["kind"] in ("AddModelJob", "GetModelJob"):
        return model_job_from_json(document)
    if document["kind"] in LEARNING_JOBS:
        return learning_job_from_json(document, folder)
    volume, settings = volume_from_json(document["volume"], folder), settings_from_json(document["settings"])
    return SegmentJob(volume, document["model"], document["device"], settings, document["precision"])


def _from_export(job: ExportJob, folder: Path) -> dict[str, Any]:
    case = job.case
    return {
        "name": case.name,
        "volume": volume_to_json(case.volume, folder),
        "label_map": label_map_to_json(case.label_map, folder),
        "provenance": dict(case.provenance),
        "slices": [str(path) for path in case.slices],
        "sources": list(case.sources),
        "target": str(Path(job.target).absolute()),
        "settings": asdict(job.settings),
    }


def _to_export(document: dict[str, Any], folder: Path) -> ExportJob:
    from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm
    from DeepSegmentLib.service.export import ExportCase, ExportSettings

    case = ExportCase(
        document["name"],
        volume_from_json(document["volume"], folder),
        label_map_from_json(document["label_map"], folder),
        document["provenance"],
        tuple(Path(path) for path in document["slices"]),
        tuple(document["sources"]),
    )
    settings = document["settings"]
    fields = {
        "channel_names": tuple(settings["channel_names"]),
        "algorithm": settings["algorithm"] and Algorithm(**settings["algorithm"]),
    }
    return ExportJob(case, document["target"], ExportSettings(**settings | fields))


def encode_event(event: Event, number: int, folder: Path) -> bytes:
    """An event of job `number` as a message; its voxels go to the folder."""
    return json.dumps({"number": number, **_from_event(event, folder)}).encode()


def _from_event(event: Event, folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": type(event).__name__}
    if isinstance(event, Progressed):
        document |= asdict(event)
    elif isinstance(event, OfCase):
        document |= {"case": event.case, "event": _from_event(event.event, folder)}
    elif isinstance(event, Failed):
        document |= {"error": type(event.error).__name__, "message": str(event.error)}
    elif isinstance(event, Finished):
        document |= _from_result(event.result, folder)
    return document


def decode_event(message: bytes, folder: Path) -> Event:
    """The inverse of `encode_event`.

    Raises:
        InvalidInputError: It is none.
    """
    try:
        return _to_event(json.loads(message), folder)
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise InvalidInputError(f"the worker's answer cannot be read: {error!r}; restart it") from error


def _to_event(document: dict[str, Any], folder: Path) -> Event:
    readers: dict[str, Callable[[], Event]] = {
        "Progressed": lambda: Progressed(Progress(**document["progress"])),
        "Finished": lambda: Finished(_to_result(document, folder)),
        "Failed": lambda: Failed(_error(document["error"], document["message"])),
        "OfCase": lambda: OfCase(document["case"], _to_event(document["event"], folder)),  # type: ignore[arg-type]
        "Stopped": Stopped,
    }
    if document["kind"] not in readers:
        raise InvalidInputError(f"the worker says {document['kind']!r}, which is not known here; restart it")
    return readers[document["kind"]]()


def _error(name: str, message: str) -> DeepSegmentError:
    kind = getattr(errors, name, DeepSegmentError)
    return kind(message) if isinstance(kind, type) and issubclass(kind, DeepSegmentError) else DeepSegmentError(message)


def _from_result(result: Result, folder: Path) -> dict[str, Any]:
    if isinstance(result, BatchResult):
        return batch_result_to_json(result)
    if isinstance(result, ExportResult):
        return {"exported": result.report}
    if isinstance(result, MeasureResult):
        return {"rows": result.rows}
    if isinstance(result, ModelResult):
        return {"entry": entry_to_json(result.entry)}
    if isinstance(result, LearningResult):
        return {"answer": result.answer}
    return {
        "label_map": label_map_to_json(result.label_map, folder),
        "probabilities": {name: volume_to_json(volume, folder) for name, volume in result.probabilities.items()},
        "uncertainty": result.uncertainty and volume_to_json(result.uncertainty, folder),
        "places_ras": np.asarray(result.places_ras).tolist(),
        "provenance": result.provenance,
        "report": result.report,
    }


def _to_result(document: dict[str, Any], folder: Path) -> Result:
    if of_batch := batch_result_from_json(document):
        return of_batch
    if "exported" in document:
        return ExportResult(document["exported"])
    if "rows" in document:
        return MeasureResult(document["rows"])
    if "entry" in document:
        return ModelResult(entry_from_json(document["entry"]))
    if "answer" in document:
        return LearningResult(document["answer"])
    maps = {name: volume_from_json(volume, folder) for name, volume in document["probabilities"].items()}
    return SegmentResult(
        label_map_from_json(document["label_map"], folder),
        maps,
        document["uncertainty"] and volume_from_json(document["uncertainty"], folder),
        np.array(document["places_ras"], float).reshape(-1, 3),
        document["provenance"],
        document["report"],
    )
