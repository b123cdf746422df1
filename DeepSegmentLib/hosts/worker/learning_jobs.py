"""The jobs of learning as messages: collect a case, train, compare, promote, roll back, what to annotate next.

Everything that they make is in the project's folder and in the catalogue, where the owner reads it; the answer says
only what was done. A training that is cancelled saves its state, and the same job goes on there.

`NotProvenError` comes as `Failed` where a candidate needs a second yes; again with `anyway=True`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .voxel_messages import label_map_from_json, label_map_to_json, volume_from_json, volume_to_json

if TYPE_CHECKING:
    from DeepSegmentLib.data import LabelMap, Volume
    from DeepSegmentLib.files.projects import Status


@dataclass(frozen=True)
class Said:
    """What the user says of a case that is collected, see `service.projects.project.Collecting`.

    Attributes:
        status: How far it is.
        by: Who says so.
        patient: Whatever names the patient; only a hash of it is kept.
        drawn: Segments that were drawn; None for all that have a voxel.
        absent: Segments that were looked for and are not there.
        journal: Folder of the corrections' journal; empty without.
        notes: Text.
    """

    status: Status = "draft"
    by: str = ""
    patient: str = ""
    drawn: tuple[str, ...] | None = None
    absent: tuple[str, ...] = ()
    journal: str = ""
    notes: str = ""


@dataclass(frozen=True, eq=False)
class CollectJob:
    """Collect a case; the project is made where there is none.

    Attributes:
        project: Folder of the project.
        volume: Its channel.
        label_map: Segments on its grid.
        said: What the user says of it.
        made_by: Provenance of the labels, see `service.run_report.provenance`; empty for labels made by hand.
    """

    project: str
    volume: Volume
    label_map: LabelMap
    said: Said = field(default_factory=Said)
    made_by: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DrawCasesJob:
    """Draw the pictures of a project's cases that have none yet.

    Attributes:
        project: Folder of the project.
    """

    project: str


@dataclass(frozen=True)
class TrainJob:
    """Train on a project, or go on with a training, see `service.training.train`.

    Attributes:
        project: Folder of the project.
        name: Of the training.
        parent: Model to begin from; empty for random weights.
        minutes: Time of the steps; None for what the plan says.
        statuses: Which cases are learned from.
    """

    project: str
    name: str
    parent: str = ""
    minutes: float | None = None
    statuses: tuple[str, ...] = ("approved",)


@dataclass(frozen=True)
class CompareJob:
    """Compare a training's candidate with the model it began from, on its held-out cases; writes the page.

    Attributes:
        project: Folder of the project.
        training: Name of the training.
        device: As for `SegmentJob`.
    """

    project: str
    training: str
    device: str = "auto"


@dataclass(frozen=True)
class PromoteJob:
    """Make a candidate the model in use, see `service.learning.promote`.

    Attributes:
        project: Folder of the project.
        training: Name of the training.
        anyway: The second yes.
    """

    project: str
    training: str
    anyway: bool = False


@dataclass(frozen=True)
class RollBackJob:
    """Bring the version before back.

    Attributes:
        model: Its name.
    """

    model: str


@dataclass(frozen=True)
class NextJob:
    """Rank volumes by what a model would learn from them, see `service.learning.next_cases`.

    Attributes:
        folder: Folder in which the volumes are.
        model: Name of the model.
        project: Folder of the project; what is in it is left out.
        device: As for `SegmentJob`.
    """

    folder: str
    model: str
    project: str
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class LearningResult:
    """What all of these give.

    Attributes:
        answer: What was done, as JSON; see `learning_work`.
    """

    answer: dict[str, Any]


LearningJob = CollectJob | DrawCasesJob | TrainJob | CompareJob | PromoteJob | RollBackJob | NextJob
_PLAIN: dict[str, Any] = {
    kind.__name__: kind for kind in (DrawCasesJob, TrainJob, CompareJob, PromoteJob, RollBackJob, NextJob)
}
LEARNING_JOBS = frozenset({CollectJob.__name__, *_PLAIN})
"""Their names in messages."""


def learning_job_to_json(job: LearningJob, folder: Path) -> dict[str, Any]:
    """A job as JSON; its voxels go to the folder."""
    if isinstance(job, CollectJob):
        words = {"project": _absolute(job.project), "said": asdict(job.said), "made_by": dict(job.made_by)}
        voxels = {"volume": volume_to_json(job.volume, folder), "label_map": label_map_to_json(job.label_map, folder)}
        return words | voxels
    document = asdict(job)
    return document | {name: _absolute(document[name]) for name in ("project", "folder") if document.get(name)}


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def learning_job_from_json(document: dict[str, Any], folder: Path) -> LearningJob:
    """The inverse of `learning_job_to_json`."""
    if document["kind"] == CollectJob.__name__:
        return CollectJob(
            document["project"],
            volume_from_json(document["volume"], folder),
            label_map_from_json(document["label_map"], folder),
            _with_tuples(Said, document["said"]),
            document["made_by"],
        )
    job: LearningJob = _with_tuples(_PLAIN[document["kind"]], document)
    return job


def _with_tuples(kind: Any, document: dict[str, Any]) -> Any:
    """A dataclass of plain values; what JSON made lists become tuples again."""
    values = {each.name: document[each.name] for each in fields(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
