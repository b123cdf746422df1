"""`dataset.json` of an nnU-Net v2 raw dataset: read, checked, written.

References:
    nnU-Net 2.8 `documentation/dataset_format.md`, `LabelManager`, `get_filenames_of_train_images_and_targets`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import inside, read_json
from DeepSegmentLib.files.volume_checks import shortened
from DeepSegmentLib.files.volumes import WRITABLE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DATASET_FILE = "dataset.json"
FOLDERS = ("imagesTr", "labelsTr", "provenance")
"""The folders of a dataset that are written to."""

MOST_LABELS = 1 << 16
"""Labels of a dataset, the background included: voxels are written with 16 bits."""

_LARGEST = 64 << 20  # bytes; a hundred thousand cases have a quarter of that


@dataclass(frozen=True)
class ListedCase:
    """The files of a case, relative to the dataset's folder, with forward slashes.

    Attributes:
        images: One a channel.
        label: The labels.
    """

    images: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class RawDataset:
    """What `dataset.json` says.

    Attributes:
        channel_names: In the order of the channels.
        labels: Value of each label by name, background included; "ignore" counts as one.
        file_ending: Of images and labels.
        cases: Files of each training case, by name.
        other: Further entries, which are kept.
        listed: Whether the file itself lists the cases; otherwise the folders do.
    """

    channel_names: tuple[str, ...]
    labels: Mapping[str, int]
    file_ending: str
    cases: Mapping[str, ListedCase]
    other: Mapping[str, Any]
    listed: bool


def new_dataset(name: str, channel_names: tuple[str, ...]) -> RawDataset:
    """A dataset without cases and labels."""
    return RawDataset(channel_names, {"background": 0}, ".nii.gz", {}, {"name": name}, listed=True)


def read_dataset(folder: Path) -> RawDataset:
    """Read and check a dataset, whoever made it.

    Raises:
        VolumeFileError: There is none, it is damaged, it names files outside its folder, or it is of a kind that cases
            cannot be added to: with regions, or of files that cannot be written here.
    """
    path = folder / DATASET_FILE
    for name in FOLDERS:
        inside(folder, name)
    document = _load(path)
    channels, labels, ending = _channels(path, document), _labels(path, document), _ending(path, document)
    listed = "dataset" in document
    cases = _listed_cases(path, document["dataset"]) if listed else _found_cases(folder, ending, len(channels))
    known = ("channel_names", "labels", "numTraining", "file_ending", "dataset")
    other = {key: value for key, value in document.items() if key not in known}
    dataset = RawDataset(channels, labels, ending, cases, other, listed)
    _check_cases(folder, dataset, document.get("numTraining"))
    return dataset


def with_case(dataset: RawDataset, name: str, case: ListedCase, labels: Mapping[str, int]) -> RawDataset:
    """The dataset with one more case, or with the case of this name replaced."""
    return replace(dataset, cases={**dataset.cases, name: case}, labels=labels, listed=True)


def dataset_text(dataset: RawDataset) -> str:
    """The content of `dataset.json`; the cases are listed."""
    document = {
        **dataset.other,
        "channel_names": {str(n): name for n, name in enumerate(dataset.channel_names)},
        "labels": dict(dataset.labels),
        "numTraining": len(dataset.cases),
        "file_ending": dataset.file_ending,
        "dataset": {name: {"images": list(case.images), "label": case.label} for name, case in dataset.cases.items()},
    }
    return json.dumps(document, indent=4) + "\n"


def _load(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        raise VolumeFileError(
            f"{path.parent} is there but is no nnU-Net dataset: it has no {path.name}; choose a new name, or remove it"
        )
    document = read_json(inside(path.parent, path.name), largest=_LARGEST)
    if not isinstance(document, dict):
        _refuse(path, "it is no JSON object")
    return document


def _refuse(path: Path, problem: str) -> NoReturn:
    raise VolumeFileError(f"{path}: {shortened(problem)}; mend it, or choose another dataset")


def _object(path: Path, document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if not isinstance(value, dict):
        _refuse(path, f"{key!r} must be an object, got {value!r}")
    return value


def _channels(path: Path, document: Mapping[str, Any]) -> tuple[str, ...]:
    channels = _object(path, document, "channel_names")
    if not channels or sorted(channels) != sorted(map(str, range(len(channels)))):
        _refuse(path, f"'channel_names' must be numbered from 0, got {channels!r}")
    names = tuple(channels[str(n)] for n in range(len(channels)))
    if not all(isinstance(name, str) for name in names):
        _refuse(path, f"'channel_names' must be names, got {channels!r}")
    return names


def _labels(path: Path, document: Mapping[str, Any]) -> dict[str, int]:
    labels = _object(path, document, "labels")
    regions = [name for name, value in labels.items() if isinstance(value, list)]
    if regions:
        _refuse(path, f"it has regions ({', '.join(regions[:3])}), and cases are added to datasets of labels only")
    if len(labels) > MOST_LABELS:
        _refuse(path, f"it has {len(labels)} labels, and files hold at most {MOST_LABELS}")
    numbers = [value for value in labels.values() if type(value) is int]
    if labels.get("background") != 0 or len(numbers) < len(labels) or sorted(numbers) != list(range(len(labels))):
        _refuse(path, f"'labels' must be background 0 and then 1, 2, ..., got {labels!r}")
    if labels.get("ignore", len(labels) - 1) != len(labels) - 1:
        _refuse(path, f"the label 'ignore' must have the highest value, got {labels!r}")
    return labels


def _ending(path: Path, document: Mapping[str, Any]) -> str:
    ending = document.get("file_ending")
    if not isinstance(ending, str) or ending not in WRITABLE_SUFFIXES:
        _refuse(path, f"'file_ending' must be one of {', '.join(WRITABLE_SUFFIXES)}, got {ending!r}")
    return ending


def _listed_cases(path: Path, cases: Any) -> dict[str, ListedCase]:
    if not isinstance(cases, dict):
        _refuse(path, f"'dataset' must be an object, got {cases!r:.60}")
    return {name: _listed_case(path, name, case) for name, case in cases.items()}


def _listed_case(path: Path, name: str, case: Any) -> ListedCase:
    images = case.get("images") if isinstance(case, dict) else None
    label = case.get("label") if isinstance(case, dict) else None
    if not isinstance(images, list) or not all(isinstance(file, str) for file in (*images, label)):
        _refuse(path, f"'dataset' must list images and label of each case, got {case!r:.60} for {name!r}")
    return ListedCase(tuple(images), str(label))


def _found_cases(folder: Path, ending: str, channels: int) -> dict[str, ListedCase]:
    """The cases that nnU-Net finds by the names in imagesTr: `<case>_0000<ending>`."""
    images = folder / "imagesTr"
    tail = len("_0000") + len(ending)
    paths = [path.name for path in images.iterdir()] if images.is_dir() else []
    names = sorted({name[:-tail] for name in paths if name.endswith(ending) and len(name) > tail})
    return {
        name: ListedCase(tuple(f"imagesTr/{name}_{n:04d}{ending}" for n in range(channels)), f"labelsTr/{name}{ending}")
        for name in names
    }


def _check_cases(folder: Path, dataset: RawDataset, count: Any) -> None:
    """Check that there are as many cases as the file says, and all their files."""
    if type(count) is not int or count != len(dataset.cases):
        _refuse(folder / DATASET_FILE, f"'numTraining' is {count!r}, but there are {len(dataset.cases)} cases")
    for name, case in dataset.cases.items():
        if len(case.images) != len(dataset.channel_names):
            _refuse(folder / DATASET_FILE, f"case {name!r} has {len(case.images)} images instead of one a channel")
        for file in (*case.images, case.label):
            if not file.endswith(dataset.file_ending):
                _refuse(folder / DATASET_FILE, f"case {name!r} has {file!r}, which does not end in the file_ending")
            if not inside(folder, file).is_file():
                _refuse(folder / DATASET_FILE, f"case {name!r} lacks the file {file}")
