"""The cases of a dataset on a disk: of nnU-Net, of MONAI Label, or of plain folders `images` and `labels`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.datasets.channel_files import channel_groups
from DeepSegmentLib.files.datasets.monai_label import is_datastore, label_values, read_datastore
from DeepSegmentLib.files.datasets.named_pairs import find_pairs
from DeepSegmentLib.files.datasets.nnunet_json import DATASET_FILE, read_dataset
from DeepSegmentLib.files.datasets.patients_table import read_patients
from DeepSegmentLib.files.opening import inside, is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SPLITS_FILE = "splits_final.json"
"""How nnU-Net calls the file of folds."""


@dataclass(frozen=True)
class DatasetCase:
    """The files of a case.

    Attributes:
        name: Of the case.
        images: A file for each channel, or one of all.
        labels: None where nobody has drawn any yet.
        held_out: Whether it is kept for tests.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path | None
    held_out: bool = False


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset.

    Attributes:
        folder: Where it is.
        cases: In the order of their names; held-out ones last.
        names: Of label values; empty where nobody says.
    """

    folder: Path
    cases: tuple[DatasetCase, ...]
    names: Mapping[int, str]


def open_dataset(folder: Path) -> Dataset:
    """Find out what kind of dataset a folder is, and which cases it has.

    Raises:
        InvalidInputError: It is none.
        VolumeFileError: What lists its cases is damaged.
    """
    if not is_folder(folder):
        raise InvalidInputError(f"{folder} is no folder; name the folder of a dataset")
    if (folder / DATASET_FILE).is_file():
        return _of_nnunet(folder)
    if is_datastore(folder):
        datastore = read_datastore(folder)
        cases = (DatasetCase(name, (image,), labels) for name, (image, labels) in datastore.cases.items())
        return Dataset(folder, tuple(cases), {value: name for name, value in label_values(datastore).items()})
    if is_folder(folder / "images") and is_folder(folder / "labels"):
        pairs = find_pairs(folder / "images", folder / "labels")
        return Dataset(folder, tuple(DatasetCase(pair.name, (pair.volume,), pair.labels) for pair in pairs), {})
    raise InvalidInputError(
        f"{folder} is no dataset: it has no {DATASET_FILE} (nnU-Net), no datastore_v2.json or labels/final (MONAI "
        "Label), and no folders images and labels"
    )


def patients_of(dataset: Dataset, table: Path | None) -> dict[str, str]:
    """The patient of each case as far as a table says, by the name of the case.

    Raises:
        InvalidInputError: The table names a case that is not there.
        VolumeFileError: The table cannot be read.
    """
    if table is None:
        return {}
    patients = read_patients(table)
    strangers = sorted(patients.keys() - {case.name for case in dataset.cases})
    if strangers:
        raise InvalidInputError(
            f"{table} names {strangers[0]!r}, which is no case of {dataset.folder}; "
            f"its cases are called like {dataset.cases[0].name!r}"
            if dataset.cases
            else f"{dataset.folder} has no case"
        )
    return patients


def _of_nnunet(folder: Path) -> Dataset:
    known = read_dataset(folder)
    cases = [
        DatasetCase(name, tuple(inside(folder, file) for file in case.images), inside(folder, case.label))
        for name, case in sorted(known.cases.items())
    ]
    names = {value: name for name, value in known.labels.items() if name != "background"}
    return Dataset(folder, (*cases, *_tests_of_nnunet(folder, known.file_ending)), names)


def _tests_of_nnunet(folder: Path, ending: str) -> Iterator[DatasetCase]:
    """The cases of imagesTs, with labels where labelsTs has them."""
    images = inside(folder, "imagesTs")
    files = [path.name for path in images.iterdir()] if is_folder(images) else []
    for case, channels in channel_groups(name for name in files if name.endswith(ending)).items():
        labels = inside(folder, "labelsTs") / case
        paths = tuple(images / channels[n] for n in sorted(channels))
        yield DatasetCase(case.removesuffix(ending), paths, labels if labels.is_file() else None, held_out=True)
