"""Datastores of MONAI Label on a disk: volumes in the folder, `labels/final` with files of the same names.

`datastore_v2.json` lists them, and MONAI Label mends it by what lies in the folders. So files are written first and
listed last, the labels after their volume: whatever happens in between, each volume has its own labels or none.

References:
    MONAI Label 0.8 `monailabel/datastore/local.py`: `LocalDatastoreModel` (the file), `_reconcile_datastore` (what
    counts that is not listed), `save_label` (what is told of a label); `plugins/slicer/MONAILabel`: `onSaveLabel`
    (`label_info`).
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from DeepSegmentLib.data import Volume
from DeepSegmentLib.errors import ExistsError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.input_stamp import file_checksums
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.opening import inside, read_json
from DeepSegmentLib.files.segmentations.grids_and_layers import empty_segments
from DeepSegmentLib.files.volume_checks import check_finite, shortened
from DeepSegmentLib.files.volumes import read_volume, write_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap

    from .nnunet import TrainingCase

DATASTORE_FILE = "datastore_v2.json"
ENDINGS = (".nii.gz", ".nii")
"""Of volumes and labels; MONAI Label looks for no others unless it is told to."""

FINAL = "final"
"""The tag of labels that are trained on."""

_LARGEST = 64 << 20  # bytes
_PROVENANCE = "provenance"


@dataclass(frozen=True)
class Datastore:
    """What is known of a datastore.

    Attributes:
        folder: Where it is.
        images: The folder of the volumes.
        labels: The folder of the final labels.
        document: What its file says, without what it says of folders.
    """

    folder: Path
    images: Path
    labels: Path
    document: Mapping[str, Any]

    @property
    def cases(self) -> dict[str, tuple[Path, Path | None]]:
        """Volume and final labels of each case, by what lies in the folders, in the order of names."""
        labels = dict(_named_files(self.labels))
        return {name: (path, labels.get(name)) for name, path in sorted(_named_files(self.images))}


def read_datastore(folder: Path) -> Datastore:
    """Read and check a datastore, or what may become one: an empty folder or one of volumes.

    Raises:
        VolumeFileError: Its file is damaged, or names folders outside.
    """
    path = folder / DATASTORE_FILE
    document: Any = {}
    if os.path.lexists(path):
        document = read_json(inside(folder, DATASTORE_FILE), largest=_LARGEST)
        if not isinstance(document, dict) or not isinstance(document.get("objects", {}), dict):
            _refuse(path, "it is no JSON object with 'objects'")
    places = [document.get(key, usual) for key, usual in (("images_dir", "."), ("labels_dir", "labels"))]
    if not all(isinstance(place, str) for place in places):
        _refuse(path, f"'images_dir' and 'labels_dir' must be names, got {places!r}")
    images, labels = (folder if place in ("", ".") else inside(folder, place) for place in places)
    inside(folder, (labels / FINAL).relative_to(folder).as_posix())
    return Datastore(folder, images, labels / FINAL, document)


def is_datastore(folder: Path) -> bool:
    """Whether a folder has the file of a datastore, or its folder of labels."""
    return (folder / DATASTORE_FILE).is_file() or (folder / "labels" / FINAL).is_dir()


def label_values(datastore: Datastore) -> dict[str, int]:
    """The value of each segment by its name, as far as earlier labels tell; the first one that tells counts."""
    values: dict[str, int] = {}
    for entry in datastore.document.get("objects", {}).values():
        with suppress(AttributeError, KeyError, TypeError):  # other programs write what they like there
            for each in entry["labels"][FINAL]["info"]["label_info"]:
                if isinstance(each.get("name"), str) and type(each.get("idx")) is int and each["idx"] > 0:
                    values.setdefault(each["name"], each["idx"])
    return values


def labelled_outputs(folder: Path, name: str, *, replace: bool) -> list[Path]:
    """The files that adding a case writes or deletes.

    Raises:
        ExistsError: There are such labels, and they may not be replaced.
        VolumeFileError: The datastore is damaged.
    """
    datastore = read_datastore(folder)
    image, labels = _files_of(datastore, name, replace=replace)
    return [image, labels, folder / DATASTORE_FILE, folder / _PROVENANCE / f"{name}.json"]


def add_labelled(folder: Path, case: TrainingCase, *, replace: bool) -> tuple[Path, ...]:
    """Add a volume with its final labels to a datastore, or make one; where the volume is there, add the labels to it.

    A segment that earlier labels have keeps the value that it has there. Others keep their own value where it is free,
    or take the next one.

    Args:
        folder: Of the datastore, new or there already.
        case: What to add.
        replace: Labels of this name, and another volume of this name, may be replaced.

    Returns:
        What was written: volume, labels, notes.

    Raises:
        ExistsError: There are labels of this name, or another volume, and they may not be replaced.
        InvalidInputError: There are no values left for labels.
        VolumeFileError: The datastore is damaged, somebody else is writing to it, or a file cannot be written.
    """
    check_finite(folder / case.name, case.volume.voxels)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VolumeFileError(f"{folder} cannot be made: {error.strerror or error}; check its rights") from error
    with exclusive(folder):
        datastore = read_datastore(folder)
        image, labels = _files_of(datastore, case.name, replace=replace)
        same = _is_same(image, case.volume)
        if image.exists() and not same:
            if not replace:
                raise ExistsError(
                    f"there is another volume {image.name}; ask to replace it (--replace), or choose another name"
                )
            labels.unlink(missing_ok=True)  # they belong to the other volume
        values = _values(datastore, case.label_map)
        if not same:
            write_volume(case.volume, image)
        write_volume(Volume(_renumbered(case.label_map, values)[None], case.volume.geometry), labels)
        notes = folder / _PROVENANCE / f"{case.name}.json"
        write_text(notes, case.notes)
        text = json.dumps(_with_case(datastore, image, labels, _told(case.label_map, values)), indent=2)
        write_text(folder / DATASTORE_FILE, text + "\n")
    return image, labels, notes


def _named_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.endswith(ENDINGS) and path.is_file() and not path.name.startswith("."):
            yield path.name.removesuffix(_ending(path)), path


def _refuse(path: Path, problem: str) -> NoReturn:
    raise VolumeFileError(f"{path}: {shortened(problem)}; mend it, or choose another folder")


def _files_of(datastore: Datastore, name: str, *, replace: bool) -> tuple[Path, Path]:
    """Where a case's volume and labels are or shall be; file systems may not tell A from a."""
    known = {each.casefold(): files for each, files in datastore.cases.items()}
    image, labels = known.get(name.casefold(), (None, None))
    if labels is not None and not replace:
        raise ExistsError(
            f"there are already labels of {name!r}; ask to replace it (--replace), or choose another name"
        )
    image = image or datastore.images / f"{name}{ENDINGS[0]}"
    return image, labels or datastore.labels / f"{image.name.removesuffix(_ending(image))}{ENDINGS[0]}"


def _ending(path: Path) -> str:
    return next(ending for ending in ENDINGS if path.name.endswith(ending))


def _is_same(path: Path, volume: Volume) -> bool:
    if not path.exists():
        return False
    there = read_volume(path)
    return there.geometry.is_close(volume.geometry) and np.array_equal(there.voxels, volume.voxels)


def _values(datastore: Datastore, label_map: LabelMap) -> dict[str, int]:
    """The value of each segment of a case; empty ones have none."""
    known, empty = label_values(datastore), empty_segments(label_map)
    values: dict[str, int] = {}
    taken = set(known.values())
    for segment in label_map.segments:
        if segment in empty or segment.name.casefold() == "background":
            continue
        value = known.get(segment.name, segment.value)
        if segment.name not in known and value in taken:
            value = max(taken, default=0) + 1
        if value > np.iinfo(np.uint16).max:
            raise InvalidInputError(f"there is no value left for {segment.name!r}: files hold labels up to 65535")
        values[segment.name] = value
        taken.add(value)
    return values


def _renumbered(label_map: LabelMap, values: Mapping[str, int]) -> np.ndarray[Any, Any]:
    """The layer in the datastore's values."""
    table = np.zeros(65536, np.uint8 if max(values.values(), default=0) < 256 else np.uint16)
    for segment in label_map.segments:
        table[segment.value] = values.get(segment.name, 0)
    return np.asarray(table[label_map.layers[0]])


def _told(label_map: LabelMap, values: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {"name": segment.name, "idx": values[segment.name]} for segment in label_map.segments if segment.name in values
    ]


def _with_case(datastore: Datastore, image: Path, labels: Path, told: list[dict[str, Any]]) -> dict[str, Any]:
    """The datastore's document with one more case, or with the labels of one replaced; everything else is kept."""
    now = int(time.time())
    objects = dict(datastore.document.get("objects", {}))
    name = image.name.removesuffix(_ending(image))
    there = objects.get(name)
    old = there if isinstance(there, dict) else {}
    info = {
        "ts": now,
        "checksum": file_checksums((labels,))[0].removeprefix("sha256:"),
        "name": labels.name,
        "label_info": told,
    }
    objects[name] = {
        "image": {"ext": _ending(image), "info": {"ts": now, "name": image.name}},
        **old,
        "labels": {**old.get("labels", {}), FINAL: {"ext": _ending(labels), "info": info}},
    }
    usual = {"name": datastore.folder.name, "description": "", "images_dir": ".", "labels_dir": "labels"}
    return {**usual, **datastore.document, "objects": objects}
