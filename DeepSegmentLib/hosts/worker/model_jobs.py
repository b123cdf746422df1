"""The jobs that bring models into the catalogue as messages: add what is on the disk, get what is known.

The panel runs them as all others, so that nothing waits in its process: `Progressed` tells stage, fraction and seconds
to go, `cancel` stops within a second and leaves nothing half-added; what was downloaded stays, and the next
`GetModelJob` of the same model goes on there.

What the user has to agree with comes as `Failed`, with an error of a class of its own; the owner asks, and sends the
job again with the answer:

- `LicenceError`: the licence is not for every use, or asks for a key; again with `accept_licence=True`. It is asked
  once for each licence. Before a download, `service.models.get_model.download_question` asks the same without a job.
- `ChangedError`: a file is not the one that was downloaded earlier; again with `accept_change=True`. The new file is
  kept until then.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.models.importers.door import Words

if TYPE_CHECKING:
    from DeepSegmentLib.service.catalogue import ModelEntry


@dataclass(frozen=True, eq=False)
class AddModelJob:
    """Add a model that is on the disk, see `service.catalogue.add_model`.

    Attributes:
        sources: Folders and files, such as a zip, a .pt, .pth, .ts or .onnx; several where they make one model. A pack
            brings all its models, and the first of them is the result.
        words: What the user says of it, such as its name.
        accept_licence: Whether the user agreed to a licence that is not for every use.
    """

    sources: tuple[str, ...]
    words: Words = field(default_factory=Words)
    accept_licence: bool = False


@dataclass(frozen=True, eq=False)
class GetModelJob:
    """Download a known model and add it, see `service.models.get_model.get_model`.

    Attributes:
        name: As `service.models.get_model.available_models` tells it.
        accept_licence: Whether the user agreed to a licence that is not for every use.
        accept_change: Whether the user agreed that a file is not the one that was downloaded earlier.
    """

    name: str
    accept_licence: bool = False
    accept_change: bool = False


@dataclass(frozen=True, eq=False)
class ModelResult:
    """What both give: the model's line in the catalogue."""

    entry: ModelEntry


def model_job_to_json(job: AddModelJob | GetModelJob) -> dict[str, Any]:
    """A job as JSON."""
    document = asdict(job)
    if isinstance(job, AddModelJob):
        document["sources"] = [str(Path(source).absolute()) for source in job.sources]
    return document


def model_job_from_json(document: dict[str, Any]) -> AddModelJob | GetModelJob:
    """The inverse of `model_job_to_json`."""
    if document["kind"] == "GetModelJob":
        return GetModelJob(document["name"], document["accept_licence"], document["accept_change"])
    words = document["words"]
    said = Words(**words | {"folds": tuple(words["folds"])})
    return AddModelJob(tuple(document["sources"]), said, document["accept_licence"])


def entry_to_json(entry: ModelEntry) -> dict[str, Any]:
    """A line of the catalogue as JSON."""
    return asdict(entry) | {"path": str(entry.path)}


def entry_from_json(document: dict[str, Any]) -> ModelEntry:
    """The inverse of `entry_to_json`."""
    from DeepSegmentLib.service.catalogue import ModelEntry

    return ModelEntry(**document | {"path": Path(document["path"])})
