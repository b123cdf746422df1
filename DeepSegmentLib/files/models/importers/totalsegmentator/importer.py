"""Weights of TotalSegmentator: one task becomes one model, however many networks it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.importers.foreign_json import read_entries
from DeepSegmentLib.files.models.importers.nnunet import TrainedFolder, read_trained, trained_folders
from DeepSegmentLib.files.models.importers.nnunet.trained_folders import PLANS_FILE, choose
from DeepSegmentLib.files.models.importers.palette import color_of
from DeepSegmentLib.networks.model_spec import Channel, Focus, ModelSpec, Part

from .model_card import CITATION, card_of
from .stages import stage_of
from .tasks import Dataset, Task, totalsegmentator_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.files.models.importers.door import Words
    from DeepSegmentLib.files.models.importers.nnunet import TrainedConfiguration

_DATASET = re.compile(r"Dataset(\d{3,})_.*", re.ASCII)


@dataclass(frozen=True)
class Chosen:
    """What of the sources becomes a model.

    Attributes:
        task: Of TotalSegmentator.
        datasets: Numbers of its networks that are there: all, or one.
    """

    task: Task
    datasets: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of the model: the task's, with the part where it is one of several."""
        if self.datasets == self.task.datasets:
            return self.task.name
        return f"{self.task.name}-part{self.task.datasets.index(self.datasets[0]) + 1}"


class _TotalSegmentator:
    """See `door.Importer`."""

    kind = "TotalSegmentator model"
    signs = "folders named as in its weights (Dataset291_...)"

    def recognises(self, sources: Sequence[Path]) -> bool:
        """Whether all networks that lie in there are TotalSegmentator's, by number and name."""
        found = trained_folders(sources)
        return bool(found) and all(_dataset_of(folder) for folder in found)

    def terms(self, sources: Sequence[Path], words: Words) -> str:
        """What is to be accepted before the model is added; empty where nothing is."""
        task = _chosen(_by_number(sources), words).task
        if not task.needs_key:
            return f"{task.licence}: not for commercial use" if "-NC-" in task.licence else ""
        return (
            f"TotalSegmentator gives the weights of {task.task} only to holders of a licence number, which is free for "
            "non-commercial use: https://backend.totalsegmentator.com/license-academic/"
        )

    def convert(self, sources: Sequence[Path], folder: Path, words: Words) -> ModelSpec:
        """See `door.Importer.convert`."""
        from DeepSegmentLib.files.models.folder import write_model

        found = _by_number(sources)
        chosen = _chosen(found, words)
        trained = {number: _read(found[number], chosen.task, words) for number in chosen.datasets}
        spec = _model_of(chosen, trained, words)
        weights = (one for each in trained.values() for one in each.weights())
        return write_model(folder, spec, weights, card=card_of(spec, chosen.task))


IMPORTER = _TotalSegmentator()


def _dataset_of(folder: TrainedFolder) -> Dataset | None:
    """The data set that a trained folder is of, by the name of the folder round it or else by its plans."""
    known = totalsegmentator_tasks().by_number
    for name in _names_of(folder):
        match = _DATASET.fullmatch(name)
        dataset = known.get(int(match[1])) if match else None
        if dataset is not None and dataset.folder == name:
            return dataset
    return None


def _names_of(folder: TrainedFolder) -> Iterator[str]:
    yield folder.path.parent.name
    plans = folder.path / PLANS_FILE
    if plans.is_file():
        try:
            yield read_entries(plans).text("dataset_name", "")
        except ModelError:  # told when it is converted, by whoever takes it
            return


def _by_number(sources: Sequence[Path]) -> dict[int, list[TrainedFolder]]:
    """The networks in the sources by the number of their data set, of each perhaps in several configurations."""
    found: dict[int, list[TrainedFolder]] = {}
    for folder in trained_folders(sources):
        dataset = _dataset_of(folder)
        if dataset is not None:
            found.setdefault(dataset.number, []).append(folder)
    return found


def _chosen(found: Mapping[int, object], words: Words) -> Chosen:
    """The task that the networks are of.

    Raises:
        ModelError: They are of several tasks, or some of a task's, but not all, are missing.
    """
    tasks = [task for task in totalsegmentator_tasks().tasks if {*task.datasets} & {*found}]
    named = [task for task in tasks if words.name in (task.name, task.task)]
    task = (named or tasks)[0]
    there = tuple(number for number in task.datasets if number in found)
    strangers = [number for number in found if number not in task.datasets]
    if strangers and not named:
        names = ", ".join(dict.fromkeys(each.name for each in tasks))
        raise ModelError(f"there are networks of several tasks of TotalSegmentator ({names}); add one task at a time")
    if 1 < len(there) < len(task.datasets):
        missing = [_published(number) for number in task.datasets if number not in found]
        raise ModelError(
            f"TotalSegmentator's task {task.task} needs {len(task.datasets)} networks, and of these are missing: "
            f"{', '.join(missing)}; add all of them together, or a single one for a model of that part alone"
        )
    return Chosen(task, there)


def _published(number: int) -> str:
    return totalsegmentator_tasks().by_number[number].folder


def _read(folders: Sequence[TrainedFolder], task: Task, words: Words) -> TrainedConfiguration:
    """One network of a task, up to its weights."""
    usual = [folder for folder in folders if folder.configuration == task.configuration]
    folder = choose(folders, words.configuration or (task.configuration if usual else "")).folder
    trained = read_trained(folder, words.folds or task.folds)
    if trained.outputs.output != "labels":
        raise ModelError(f"{folder.path} has regions, which no model of TotalSegmentator has; get the weights again")
    return trained


def _model_of(chosen: Chosen, trained: Mapping[int, TrainedConfiguration], words: Words) -> ModelSpec:
    task, names = chosen.task, _names_of_weights()
    classes = {number: _classes(number, each) for number, each in trained.items()}
    parts = tuple(
        Part(classes[number], (stage_of(each.stage([next(names) for _ in each.checkpoints]), task),))
        for number, each in trained.items()
    )
    segments = _segments(task, [name for part in parts for name in part.segments])
    kept = {segment.name for segment in segments}
    return ModelSpec(
        name=words.name or chosen.name,
        version=words.version or _version(chosen),
        description=_description(chosen),
        license=words.license or task.licence,
        channels=_channels(task, trained),
        segments=segments,
        parts=parts,
        cleanups=tuple(cleanup for cleanup in task.cleanups if cleanup.segment in kept),
        coarse_model=task.coarse_model if chosen.datasets == task.datasets else "",
        focus=Focus(task.crop_by, task.crop, max(task.crop_margin_mm)) if task.crop else None,
        citation=CITATION,
        provenance=_provenance(chosen, trained),
    )


def _names_of_weights() -> Iterator[str]:
    yield "weights.safetensors"
    n = 2
    while True:
        yield f"weights-{n}.safetensors"
        n += 1


def _classes(number: int, trained: TrainedConfiguration) -> tuple[str, ...]:
    """The structures that a network finds, in the order of its outputs.

    Raises:
        ModelError: It has fewer labels than TotalSegmentator has names for: it is another network.
    """
    known, labels = totalsegmentator_tasks().by_number[number].classes, trained.outputs.segments
    if len(labels) < len(known):
        raise ModelError(
            f"{trained.folder.path} has {len(labels)} labels, but {_published(number)} has {len(known)}; get the "
            "weights again with TotalSegmentator"
        )
    return known + tuple(segment.name for segment in labels[len(known) :])


def _segments(task: Task, found: Sequence[str]) -> tuple[Segment, ...]:
    """The segments, with TotalSegmentator's label numbers; what its table does not have comes after them."""
    numbers = {name: n + 1 for n, name in enumerate(task.classes)}
    for name in found:
        numbers.setdefault(name, len(numbers) + 1)
    return tuple(_segment(name, numbers[name]) for name in sorted({*found}, key=numbers.__getitem__))


def _segment(name: str, value: int) -> Segment:
    structure = totalsegmentator_tasks().by_structure.get(name)
    if structure is None:
        return Segment(name, value, color_of(value - 1))
    return Segment(name, value, structure.color, structure.terminology)


def _channels(task: Task, trained: Mapping[int, TrainedConfiguration]) -> tuple[Channel, ...]:
    """The channels, which all networks of a task share; of which modality they are, the task says."""
    first, *others = trained.values()
    for other in others:
        if len(other.channels) != len(first.channels):
            raise ModelError(f"{first.folder.path} and {other.folder.path} take other channels; get the weights again")
    return tuple(replace(channel, modality=task.modality) for channel in first.channels)


def _version(chosen: Chosen) -> str:
    """That of the newest weights; of TotalSegmentator where these have none."""
    tasks = totalsegmentator_tasks()
    releases = [tasks.by_number[number].release for number in chosen.datasets]
    return max(releases) or tasks.read_from.split()[-1]


def _description(chosen: Chosen) -> str:
    part = "" if chosen.datasets == chosen.task.datasets else f", only {_published(chosen.datasets[0])}"
    return f"{chosen.task.title}{part}: TotalSegmentator's task {chosen.task.task}."


def _provenance(chosen: Chosen, trained: Mapping[int, TrainedConfiguration]) -> dict[str, str]:
    first = next(iter(trained.values()))
    return {
        "source": "TotalSegmentator",
        "task": chosen.task.task,
        "weights": ", ".join(_published(number) for number in chosen.datasets),
        "trainer": first.training.trainer or first.folder.training,
        "configuration": first.name,
        "folds": ", ".join(first.checkpoints),
        "labels, colours and codes": totalsegmentator_tasks().read_from,
    }
