"""TotalSegmentator's tasks as data: which data sets' networks find what, and how they are to be run. Torch-free.

The figures are facts read from TotalSegmentator's own tables by `scripts/make_catalogue.py`; its code is not here.
"""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from DeepSegmentLib.data import Terminology
from DeepSegmentLib.data.dataclass_json import from_json
from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.networks.model_spec import Cleanup

_FILE = Path(__file__).with_name("tasks.json")
_LARGEST = 8 << 20


@dataclass(frozen=True)
class Structure:
    """A structure that TotalSegmentator has a name for.

    Attributes:
        name: Its own, such as "kidney_left".
        color: Red, green and blue.
        terminology: SNOMED codes; None where it has none.
    """

    name: str
    color: tuple[int, int, int]
    terminology: Terminology | None


@dataclass(frozen=True)
class Dataset:
    """What one network was trained on, known by its number.

    Attributes:
        number: Of nnU-Net, such as 291.
        folder: The folder's name as published.
        release: The version of its weights; empty where it has none.
        classes: Its structures: label n is number n - 1 of them.
    """

    number: int
    folder: str
    release: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A task at one resolution: the networks that it takes, and the steps round them.

    Attributes:
        name: Of our model, such as "totalseg-total-fast".
        task: TotalSegmentator's own name, such as "total".
        title: For people.
        modality: "CT" or "MR".
        licence: Of its weights.
        needs_key: Whether they are given only to those who hold a licence number.
        datasets: Numbers of its networks, in the order they run; where they overlap, the later one wins.
        configuration: Of nnU-Net, such as "3d_fullres".
        folds: Which members of each network it takes; all where it is empty.
        classes: Its structures: label n is number n - 1 of them.
        auxiliary: Structures that its networks find beside these, and that it takes out of its results.
        spacing_mm: To which it resamples before nnU-Net does, (k, j, i); None where it does not.
        overlap: Of tiles.
        coarse_model: Name of the next coarser one of the same task; may be empty.
        crop: Structures round which it cuts the volume first; all of it where there are none.
        crop_by: Name of our model that finds them.
        crop_margin_mm: How much is left round them, (k, j, i).
        cleanups: What it does to its labels afterwards.
        not_done: What else it does to them, and we do not; may be empty.
    """

    name: str
    task: str
    title: str
    modality: str
    licence: str
    needs_key: bool
    datasets: tuple[int, ...]
    configuration: str
    folds: tuple[str, ...]
    classes: tuple[str, ...]
    auxiliary: tuple[str, ...]
    spacing_mm: tuple[float, float, float] | None
    overlap: float
    coarse_model: str
    crop: tuple[str, ...]
    crop_by: str
    crop_margin_mm: tuple[float, float, float]
    cleanups: tuple[Cleanup, ...]
    not_done: str


@dataclass(frozen=True)
class Tasks:
    """All tasks.

    Attributes:
        read_from: The version of TotalSegmentator.
        tasks: Its tasks, by name.
        datasets: Its data sets, by number.
        structures: Its structures, by name.
    """

    read_from: str
    tasks: tuple[Task, ...]
    datasets: tuple[Dataset, ...]
    structures: tuple[Structure, ...]

    @cached_property
    def by_number(self) -> dict[int, Dataset]:
        """The data sets by their numbers."""
        return {dataset.number: dataset for dataset in self.datasets}

    @cached_property
    def by_structure(self) -> dict[str, Structure]:
        """The structures by their names."""
        return {structure.name: structure for structure in self.structures}


@lru_cache(maxsize=1)
def totalsegmentator_tasks() -> Tasks:
    """What TotalSegmentator publishes; read once.

    Raises:
        ModelError: The file that came with DeepSegment is damaged.
    """
    try:
        tasks: Tasks = from_json(Tasks, read_json(_FILE, largest=_LARGEST), "tasks")
    except (VolumeFileError, ModelError) as error:
        raise ModelError(f"{_FILE}: {error}; install DeepSegment again") from error
    return tasks
