"""nnU-Net v2 raw datasets: `DatasetXXX_Name` with imagesTr, labelsTr and dataset.json.

The cases are those that `dataset.json` lists under its key "dataset". Files are written first and listed last, so that
whatever happens in between, nnU-Net sees the dataset as it was: files that are not listed do not count. A new dataset
appears as a whole.

References:
    nnU-Net 2.8 `verify_dataset_integrity` (what is accepted), `get_filenames_of_train_images_and_targets` (the key).
"""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Volume
from DeepSegmentLib.errors import ExistsError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.atomic import called, folder_of, write_text
from DeepSegmentLib.files.leftovers import hidden_folder
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.opening import inside
from DeepSegmentLib.files.segmentations.grids_and_layers import empty_segments
from DeepSegmentLib.files.volume_checks import check_finite
from DeepSegmentLib.files.volumes import volume_stem, write_volume

from .nnunet_json import (
    DATASET_FILE,
    FOLDERS,
    MOST_LABELS,
    ListedCase,
    RawDataset,
    dataset_text,
    new_dataset,
    read_dataset,
    with_case,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap

_FOLDER_NAME = re.compile(r"Dataset[0-9]{3}_[A-Za-z0-9._-]+", re.ASCII)
# Device names that Windows reserves, with any extension ("Naming Files, Paths, and Namespaces").
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?", re.IGNORECASE)
_LONGEST_NAME = 100


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A volume with its labels.

    Attributes:
        name: What the dataset calls it; as `case_name` gives it.
        volume: Each channel becomes a file of its own.
        label_map: One layer on the volume's grid; segments and the dataset's labels are matched by name, a segment
            "background" counts as nothing, "ignore" as in nnU-Net.
        notes: Text that is kept beside it, `provenance/<name>.json`.
    """

    name: str
    volume: Volume
    label_map: LabelMap
    notes: str


@dataclass(frozen=True)
class DatasetRules:
    """What adding a case may do.

    Attributes:
        channel_names: Needed for a new dataset; must agree with an existing one, or be empty. nnU-Net normalises a
            channel "CT" by the dataset's Hounsfield values, every other by its own mean and standard deviation.
        replace: A case of this name may be replaced.
        new_labels: Segments that an existing dataset does not know may become new labels of it.
    """

    channel_names: tuple[str, ...] = ()
    replace: bool = False
    new_labels: bool = False


@dataclass(frozen=True)
class AddedCase:
    """What was done.

    Attributes:
        files: What was written: images, labels, notes.
        labels: All labels of the dataset, by name.
        absent: Labels of the dataset that the case has no segment for: nnU-Net will learn that they are not there.
        new: Labels that an existing dataset did not have: earlier cases may show what they mean without a label.
    """

    files: tuple[Path, ...]
    labels: Mapping[str, int]
    absent: tuple[str, ...]
    new: tuple[str, ...]


def case_name(text: str) -> str:
    """A name that nnU-Net and every file system take: ASCII letters and digits, inside also `.`, `_` and `-`.

    Raises:
        InvalidInputError: Nothing is left of it, or Windows keeps it for a device.

    Example:
        >>> case_name("Müller, CT (1)")
        'Muller-CT-1'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    name = re.sub(r"[^A-Za-z0-9._]+", "-", plain)[:_LONGEST_NAME].strip("-._")
    if not name or _DEVICE.fullmatch(name):
        raise InvalidInputError(f"{text!r} gives no name for a case; choose one of letters and digits")
    return name


def free_case(folder: Path) -> str:
    """A name that says nothing of the patient: `case_0001` or the next number that no file or case in the folder has.

    Example:
        >>> from pathlib import Path
        >>> free_case(Path("a folder that is not there"))
        'case_0001'
    """
    folders = [each for each in (folder, *(folder / name for name in FOLDERS)) if each.is_dir()]
    names = [path.name for each in folders for path in each.iterdir()]
    if (folder / DATASET_FILE).is_file():
        with suppress(VolumeFileError):  # a damaged one is refused later, by its own message
            names += read_dataset(folder).cases
    found = [re.match(r"case_([0-9]{1,9})(?![0-9])", name, re.IGNORECASE | re.ASCII) for name in names]
    return f"case_{max((int(each[1]) for each in found if each), default=0) + 1:04d}"


def case_outputs(folder: Path, name: str, channels: int, *, replace: bool) -> list[Path]:
    """The files that adding a case writes or deletes.

    Raises:
        InvalidInputError: There is such a case, and it may not be replaced.
        VolumeFileError: The dataset is damaged, see `read_dataset`.
    """
    if not folder.is_dir() or _is_empty(folder):
        files = list(_all_files(_files(name, channels, ".nii.gz")))
    else:
        dataset = read_dataset(folder)
        old = dataset.cases.get(_listed_name(dataset, name, replace=replace))
        files = [file for case in (_free_files(folder, dataset, name), old) if case for file in _all_files(case)]
    return [folder / file for file in (DATASET_FILE, *files)]


def add_case(folder: Path, case: TrainingCase, rules: DatasetRules) -> AddedCase:
    """Add a case to a dataset, or make a dataset of it.

    Args:
        folder: `DatasetXXX_Name`, new, empty or a dataset.
        case: What to add.
        rules: What may be replaced or added.

    Raises:
        InvalidInputError: The case does not fit the dataset or the rules; nothing is written.
        VolumeFileError: The dataset is damaged or of another kind, somebody else is writing to it, or a file cannot be
            written; the dataset stays as it was.
    """
    check_dataset_name(folder)
    check_finite(folder / case.name, case.volume.voxels)
    if folder.exists() and not (folder.is_dir() and _is_empty(folder)):
        read_dataset(folder)  # before a lock file is left in a folder that is no dataset
        with exclusive(folder):
            return _add(folder, read_dataset(folder), case, rules)
    if not rules.channel_names:
        raise InvalidInputError(
            f"{folder} is new: name its channels, such as CT or T1w (nnU-Net normalises CT in a way of its own)"
        )
    with _new_folder(folder) as fresh:
        added = _add(fresh, new_dataset(folder.name, rules.channel_names), case, replace(rules, new_labels=True))
    return AddedCase(tuple(folder / path.relative_to(fresh) for path in added.files), added.labels, (), ())


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def check_dataset_name(folder: Path) -> None:
    """Refuse a folder's name that nnU-Net does not take.

    Raises:
        InvalidInputError: It is none like `Dataset501_Liver`.
    """
    if not _FOLDER_NAME.fullmatch(folder.name):
        raise InvalidInputError(f"{folder.name!r} is no name that nnU-Net takes; use one like Dataset501_Liver")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, hidden beside `folder`; renamed to it when the block ends well, deleted otherwise."""
    try:
        with folder_of(folder), hidden_folder(folder) as fresh:
            fresh.mkdir()
            with called(fresh, folder):
                yield fresh
            if folder.is_dir():
                folder.rmdir()  # an empty one; Windows does not rename over it
            fresh.rename(folder)
    except OSError as error:
        raise VolumeFileError(f"{folder} cannot be written: {error.strerror or error}; check its rights") from error


def _add(folder: Path, dataset: RawDataset, case: TrainingCase, rules: DatasetRules) -> AddedCase:
    _check_channels(dataset, case, rules)
    name = _listed_name(dataset, case.name, replace=rules.replace)
    labels = _labels(dataset, case.label_map, rules)
    listed = _free_files(folder, dataset, name)
    if not dataset.listed:
        # From here on the list counts, and no longer what lies in the folders.
        write_text(folder / DATASET_FILE, dataset_text(dataset))
    with _removed_on_error([folder / file for file in _all_files(listed)]):
        _write_files(folder, case, listed, labels)
        write_text(folder / _notes_file(listed), case.notes)
        _sync(folder)
        write_text(folder / DATASET_FILE, dataset_text(with_case(dataset, name, listed, labels)))
    if name in dataset.cases:
        _remove_files(folder, dataset, name)
    present = {segment.name for segment in case.label_map.segments}
    return AddedCase(
        tuple(folder / file for file in _all_files(listed)),
        labels,
        tuple(label for label in labels if label not in ("background", "ignore", *present)),
        tuple(label for label in labels if label not in dataset.labels),
    )


def _check_channels(dataset: RawDataset, case: TrainingCase, rules: DatasetRules) -> None:
    told = ", ".join(dataset.channel_names)
    if case.volume.channels != len(dataset.channel_names):
        has = "1 channel" if case.volume.channels == 1 else f"{case.volume.channels} channels"
        raise InvalidInputError(f"case {case.name!r} has {has}, the dataset {len(dataset.channel_names)}: {told}")
    if rules.channel_names and rules.channel_names != dataset.channel_names:
        raise InvalidInputError(f"the channels of the dataset are {told}, not {', '.join(rules.channel_names)}")


def _listed_name(dataset: RawDataset, name: str, *, replace: bool) -> str:
    """The name of the case as it is listed; file systems may not tell A from a, so names may not differ by that."""
    known = {each.casefold(): each for each in dataset.cases}
    found = known.get(name.casefold())
    if found and not replace:
        raise ExistsError(f"there is already a case {found!r}; ask to replace it (--replace), or choose another name")
    return found or name


def _labels(dataset: RawDataset, label_map: LabelMap, rules: DatasetRules) -> dict[str, int]:
    """The labels of the dataset together with those that the case brings; empty segments bring none."""
    empty = () if not dataset.cases else empty_segments(label_map)
    unknown = dict.fromkeys(each.name for each in label_map.segments if each not in empty)
    new = [name for name in unknown if name not in dataset.labels]
    known = ", ".join(name for name in dataset.labels if name != "background")
    if new and not rules.new_labels:
        raise InvalidInputError(
            f"the dataset has no label {', '.join(map(repr, new))}; it has: {known}. Rename the segments, remove them, "
            "or allow new labels"
        )
    if new and "ignore" in (*dataset.labels, *new):
        raise InvalidInputError(
            f"{', '.join(map(repr, new))} cannot be a new label: 'ignore' means something to nnU-Net and must stay the "
            "last; rename or remove the segments"
        )
    if len(dataset.labels) + len(new) > MOST_LABELS:
        raise InvalidInputError(
            f"the dataset has {len(dataset.labels)} labels, the case brings {len(new)} more, and files "
            f"hold at most {MOST_LABELS}; remove some"
        )
    return {**dataset.labels, **{name: n for n, name in enumerate(new, start=len(dataset.labels))}}


def _free_files(folder: Path, dataset: RawDataset, name: str) -> ListedCase:
    """Names of files that are not there yet: the case's own, or with a number where that is taken, listed or not."""
    for n in count(1):
        listed = _files(name if n == 1 else f"{name}.v{n}", len(dataset.channel_names), dataset.file_ending)
        if not any(os.path.lexists(folder / file) for file in _all_files(listed)):
            return listed
    raise AssertionError("numbers do not end")


def _files(stem: str, channels: int, ending: str) -> ListedCase:
    return ListedCase(tuple(f"imagesTr/{stem}_{n:04d}{ending}" for n in range(channels)), f"labelsTr/{stem}{ending}")


def _notes_file(listed: ListedCase) -> str:
    return f"provenance/{volume_stem(Path(listed.label))}.json"


def _all_files(listed: ListedCase) -> tuple[str, ...]:
    return (*listed.images, listed.label, _notes_file(listed))


def _write_files(folder: Path, case: TrainingCase, listed: ListedCase, labels: Mapping[str, int]) -> None:
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    grid = case.volume.geometry
    for image, voxels in zip(listed.images, case.volume.voxels, strict=True):
        write_volume(Volume(voxels[None], grid), folder / image)
    write_volume(Volume(_renumbered(case.label_map, labels)[None], grid), folder / listed.label)


def _renumbered(label_map: LabelMap, labels: Mapping[str, int]) -> NDArray[Any]:
    """The layer in the dataset's values."""
    values = np.zeros(65536, np.uint8 if max(labels.values()) < 256 else np.uint16)
    for segment in label_map.segments:
        values[segment.value] = labels.get(segment.name, 0)
    return np.asarray(values[label_map.layers[0]])


def _remove_files(folder: Path, dataset: RawDataset, name: str) -> None:
    """Delete the files of a case that was replaced; one that cannot be deleted does no harm."""
    old = dataset.cases[name]
    others = {file for each, case in dataset.cases.items() if each != name for file in map(_spelled, _all_files(case))}
    for file in _all_files(old):
        if _spelled(file) not in others:
            with suppress(OSError):
                inside(folder, file).unlink()


def _spelled(file: str) -> str:
    """The same for names that some file system takes for one."""
    return Path(file.replace("\\", "/")).as_posix().casefold()


@contextmanager
def _removed_on_error(paths: list[Path]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Let the names of the files reach the disk before the list that names them (POSIX; Windows has no such call)."""
    if os.name == "nt":
        return
    for name in ("imagesTr", "labelsTr"):
        handle = os.open(folder / name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
