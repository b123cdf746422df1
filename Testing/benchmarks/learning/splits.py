"""The data that learning is measured on, and how they are divided: always in the same way.

Two public data sets, as Testing's data folder has them: hippocampus (200 crops of MR, Medical Segmentation Decathlon
task 4, both structures drawn in all) and headneck_ct (170 radiotherapy CT, open-kbp; of seven structures those that
were planned on are drawn, and a missing one is unknown).
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

SEED = 20_26


@dataclass(frozen=True)
class DataSet:
    """One data set and where its files are.

    Attributes:
        name: On the command line.
        images: Folder of the volumes, below the data.
        labels: Folder of the labels.
        image_suffix: What the name of a volume has behind that of its case.
        label_suffix: Likewise of labels.
        channel: Name and modality of the only channel, as `deepsegment project` takes them.
        values: Names of the label values.
        training: How many cases are for training; the others are held out.
        number: Of nnU-Net's data set.
    """

    name: str
    images: str
    labels: str
    image_suffix: str
    label_suffix: str
    channel: str
    values: dict[int, str]
    training: int
    number: int

    def image(self, data: Path, case: str) -> Path:
        """The volume of a case."""
        return data / self.images / f"{case}{self.image_suffix}.nii.gz"

    def label(self, data: Path, case: str) -> Path:
        """The labels of a case."""
        return data / self.labels / f"{case}{self.label_suffix}.nii.gz"

    def cases(self, data: Path) -> list[str]:
        """The names of all cases that have both."""
        ending = f"{self.image_suffix}.nii.gz"
        found = [path.name[: -len(ending)] for path in (data / self.images).glob(f"*{ending}")]
        return sorted(case for case in found if self.label(data, case).is_file())


HEAD_AND_NECK = (
    "Brainstem", "Spinal cord", "Right parotid", "Left parotid", "Oesophagus", "Larynx", "Mandible",
)  # fmt: skip
DATA_SETS = {
    each.name: each
    for each in (
        DataSet(
            "hippocampus", "hippocampus/images", "hippocampus/labels", "", "", "T1w:MR",
            {1: "Anterior", 2: "Posterior"}, 150, 701,
        ),
        DataSet(
            "headneck", "headneck_ct", "headneck_ct", "_ct", "_seg", "CT:CT",
            dict(enumerate(HEAD_AND_NECK, start=1)), 130, 702,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Which cases are for what, in an order that is drawn once.

    Attributes:
        training: May be learned from; a part of them is the first so many.
        held_out: Are never learned from.
    """

    training: tuple[str, ...]
    held_out: tuple[str, ...]

    def __post_init__(self) -> None:
        if {*self.training} & {*self.held_out} or not self.training or not self.held_out:
            raise ValueError("a split needs cases on both sides, and none on both")

    def parts(self, first: int, further: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The first cases for training, and so many that follow.

        Raises:
            ValueError: There are not as many.
        """
        if first + further > len(self.training):
            raise ValueError(f"{first} and {further} cases were asked for, there are {len(self.training)}")
        return self.training[:first], self.training[first : first + further]

    def shortened(self, training: int | None, held_out: int | None) -> Split:
        """With at most so many cases; None for all."""
        return Split(self.training[:training], self.held_out[:held_out])


def split_of(cases: list[str], training: int, seed: int = SEED) -> Split:
    """Divide cases; the same names and the same seed give the same split, in whatever order they come.

    Raises:
        ValueError: There are not more cases than are for training.
    """
    if len(cases) <= training:
        raise ValueError(f"{len(cases)} cases are there, more than {training} are needed; see Testing's data folder")
    drawn = sorted(cases)
    random.Random(seed).shuffle(drawn)
    return Split(tuple(drawn[:training]), tuple(drawn[training:]))


def split_of_data(data_set: DataSet, data: Path) -> Split:
    """The split of a data set."""
    return split_of(data_set.cases(data), data_set.training)


@dataclass(frozen=True)
class CaseFiles:
    """A case as another environment reads it: absolute paths, no more."""

    name: str
    image: str
    label: str


def description(data_set: DataSet, data: Path, split: Split) -> dict[str, Any]:
    """A data set and its split as JSON, for scripts of other environments."""
    files = {
        side: [
            asdict(
                CaseFiles(case, str(data_set.image(data, case).resolve()), str(data_set.label(data, case).resolve()))
            )
            for case in cases
        ]
        for side, cases in (("training", split.training), ("held_out", split.held_out))
    }
    values = {str(value): name for value, name in data_set.values.items()}
    return asdict(replace(data_set, values={})) | {"values": values, "cases": files}


def write_description(data_set: DataSet, data: Path, split: Split, path: Path) -> None:
    """Write it, unless it is there already.

    Raises:
        SystemExit: Another one is there: results of different data must not come together.
    """
    text = json.dumps(description(data_set, data, split), indent=1) + "\n"
    if path.is_file() and path.read_text() != text:
        raise SystemExit(f"{path} is of other data or another split; give --work another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link_cases(data_set: DataSet, data: Path, cases: tuple[str, ...], folder: Path) -> tuple[Path, Path]:
    """Folders of the volumes and the labels of some cases, both named as their cases; the files are linked."""
    images, labels = folder / "images", folder / "labels"
    for kind, source in ((images, data_set.image), (labels, data_set.label)):
        kind.mkdir(parents=True, exist_ok=True)
        for case in cases:
            link = kind / f"{case}.nii.gz"
            link.unlink(missing_ok=True)
            link.symlink_to(source(data, case).resolve())
    return images, labels
