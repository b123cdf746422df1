"""The folder of a project.

A case appears as a whole: its folder is filled under a hidden name and renamed. A new revision writes new files beside
the old ones, and the record that names them last; older revisions stay. One writer at a time; others wait.
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from DeepSegmentLib.data import Volume
from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import DeepSegmentError, ExistsError, InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.atomic import called, folder_of, write_text
from DeepSegmentLib.files.journal.journal import copy_journal, volume_checksum
from DeepSegmentLib.files.leftovers import hidden_folder, sweep
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.opening import is_folder, read_bytes, read_json
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, write_segmentation
from DeepSegmentLib.files.volume_checks import check_finite
from DeepSegmentLib.files.volumes import read_volume, write_volume
from DeepSegmentLib.files.volumes.reading import read_header

from .records import CaseRecord, DamagedCase, DrawnSegment, Making, ProjectRecord, Status, StatusChange, is_case_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from DeepSegmentLib.data import Box, LabelMap
    from DeepSegmentLib.networks.model_spec import Channel

PROJECT_FILE = "project.json"
CASE_FILE = "case.json"
CASES = "cases"

_LARGEST = 16 << 20
_WAIT_S = 120.0
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Project:
    """A project that is there.

    Attributes:
        folder: Its folder.
        record: What it is.
    """

    folder: Path
    record: ProjectRecord


@dataclass(frozen=True, eq=False)
class NewCase:
    """What is collected.

    Attributes:
        volume: All channels of the project.
        label_map: On the volume's grid.
        drawn: See `CaseRecord`; so are the others.
        status: See `CaseRecord`.
        by: Who collects it; empty for nobody named.
        patient: A hash, see `patient_hash`.
        reviewed: See `CaseRecord`.
        making: See `CaseRecord`.
        journal: Folder of the corrections' journal, which is copied; None without.
        notes: See `CaseRecord`.
    """

    volume: Volume
    label_map: LabelMap
    drawn: tuple[DrawnSegment, ...]
    status: Status = "draft"
    by: str = ""
    patient: str = ""
    reviewed: tuple[Box, ...] | None = None
    making: Making = field(default_factory=Making)
    journal: Path | None = None
    notes: str = ""


def create_project(folder: Path, name: str, channels: tuple[Channel, ...]) -> Project:
    """Make a project, in a folder that is new or empty. Of several who do so at once, one makes it.

    Raises:
        ExistsError: The folder holds something.
        VolumeFileError: It cannot be written.
    """
    _check_free(folder)  # before a lock file is left in a folder of somebody else
    record = ProjectRecord(name, now(), secrets.token_hex(32), channels)
    with _told(folder), folder_of(folder / PROJECT_FILE), exclusive(folder, wait_s=_WAIT_S):
        _check_free(folder)  # with its key the hashes of all patients would be lost
        write_project(Project(folder, record))
    return Project(folder, record)


def _check_free(folder: Path) -> None:
    """Hidden files do not count: they are locks, or what another writer is about to rename."""
    if (folder / PROJECT_FILE).exists():
        raise ExistsError(f"{folder} is a project already")
    if folder.exists() and not is_folder(folder):
        raise ExistsError(f"{folder} is a file; name a new folder for the project")
    if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ExistsError(f"{folder} is not empty; name a new folder for the project")


def open_project(folder: Path) -> Project:
    """The project in a folder.

    Raises:
        VolumeFileError: There is none, or its file is damaged; the message names it.
    """
    path = folder / PROJECT_FILE
    if not path.exists():
        raise VolumeFileError(f"{folder} is no project: it has no {PROJECT_FILE}; make a project of it first")
    return Project(folder, _read(path, ProjectRecord))


def write_project(project: Project) -> None:
    """Write what a project is, completely or not at all."""
    write_text(project.folder / PROJECT_FILE, _json(project.record))


@contextmanager
def alone(project: Project) -> Iterator[Project]:
    """Be the only writer, wait for others; gives the project as it is then. Remains of killed writers are removed.

    Raises:
        VolumeFileError: Somebody else has been writing for two minutes, or the folder is write-protected.
    """
    with exclusive(project.folder, wait_s=_WAIT_S):
        sweep(project.folder)
        sweep(project.folder / CASES)
        for folder in (project.folder / CASES).glob("case_*"):
            sweep(folder)
        yield open_project(project.folder)


def case_folder(project: Project, name: str) -> Path:
    """Of a case.

    Raises:
        InvalidInputError: No case may be called so.
    """
    if not is_case_name(name):
        raise InvalidInputError(f"{name[:60]!r} is no name of a case; cases are called case_0001 and the like")
    return project.folder / CASES / name


def read_cases(project: Project) -> tuple[CaseRecord | DamagedCase, ...]:
    """All cases, in the order of their numbers; damaged ones with what is wrong."""
    found: list[CaseRecord | DamagedCase] = []
    for name in _case_names(project):
        try:
            found.append(read_case(project, name))
        except DeepSegmentError as error:
            found.append(DamagedCase(project.folder / CASES / name, str(error)))
    return tuple(found)


def _case_names(project: Project) -> list[str]:
    """In the order of their numbers, which may have more than four digits."""
    root = project.folder / CASES
    names = [path.name for path in root.iterdir() if is_case_name(path.name)] if root.is_dir() else []
    return sorted(names, key=lambda name: (_number(name), name))


def _number(name: str) -> int:
    return int(name.removeprefix("case_"))


def find_volume(project: Project, digest: str) -> CaseRecord | None:
    """The case that has a volume, by its digest; None where there is none. Only its own record is read as JSON."""
    for name in _case_names(project):
        with suppress(DeepSegmentError):  # what is damaged has no volume that could be known again
            if digest.encode("ascii") in read_bytes(case_folder(project, name) / CASE_FILE, largest=_LARGEST):
                record = read_case(project, name)
                if record.volume_digest == digest:
                    return record
    return None


def read_case(project: Project, name: str) -> CaseRecord:
    """The record of a case.

    Raises:
        VolumeFileError: There is none, or it is damaged.
    """
    path = case_folder(project, name) / CASE_FILE
    if not path.exists():
        raise VolumeFileError(f"{project.folder} has no case {name}")
    record = _read(path, CaseRecord)
    if record.name != name:
        raise VolumeFileError(f"{path} is the record of {record.name}; it was moved or copied by hand")
    return record


def write_record(project: Project, record: CaseRecord) -> None:
    """Replace the record of a case, completely or not at all."""
    write_text(case_folder(project, record.name) / CASE_FILE, _json(record))


def read_volume_of(project: Project, record: CaseRecord) -> Volume:
    """The volume of a case, all channels.

    Raises:
        VolumeFileError: A file cannot be read, or the voxels are not those that were collected.
    """
    folder = case_folder(project, record.name)
    first, *others = (read_volume(folder / file) for file in record.channels)
    voxels = np.concatenate([first.voxels, *(each.voxels for each in others)]) if others else first.voxels
    volume = replace(first, voxels=voxels, name=record.name)
    if volume_checksum(volume) != record.volume_digest:
        raise VolumeFileError(f"{folder}: the volume is not the one that was collected; collect the case anew")
    return volume


def read_labels(project: Project, record: CaseRecord, volume: Volume) -> LabelMap:
    """The labels of a case's newest revision, on the grid of its volume.

    Raises:
        VolumeFileError: The file cannot be read.
        InvalidInputError: They are on another grid.
    """
    labels = read_labelmap(case_folder(project, record.name) / record.labels)
    return match_grid(labels, volume.geometry)


def add_case(project: Project, case: NewCase) -> CaseRecord:
    """Add a case under the next free number; `alone` is needed around it.

    Raises:
        VolumeFileError: It cannot be written; nothing is left.
        InvalidInputError: The volume has another number of channels than the project, or infinite values.
    """
    _check_channels(project, case.volume)
    root = project.folder / CASES
    root.mkdir(exist_ok=True)
    taken = _case_names(project)
    folder = root / f"case_{_number(taken[-1]) + 1 if taken else 1:04d}"
    with _told(folder), hidden_folder(folder) as fresh, called(fresh, folder):
        fresh.mkdir()
        volume = _storable(case.volume)
        channels = tuple(f"volume_{n:04d}.nii.gz" for n in range(volume.channels))
        for file, voxels in zip(channels, volume.voxels, strict=True):
            write_volume(Volume(voxels[None], volume.geometry), fresh / file)
        change = StatusChange(case.status, now(), case.by)
        record = CaseRecord(
            folder.name,
            change.when,
            volume_checksum(volume),
            channels,
            _labels_file(1),
            case.drawn,
            (change,),
            patient=case.patient,
        )
        record = _written(fresh, record, case)
        write_text(fresh / CASE_FILE, _json(record))
        fresh.rename(folder)
    return record


def add_revision(project: Project, old: CaseRecord, case: NewCase) -> CaseRecord:
    """Give a case newer labels; `alone` is needed around it. The older ones stay in its folder.

    Raises:
        InvalidInputError: The volume has the same voxels at another place.
        VolumeFileError: They cannot be written; the case is as before.
    """
    change = StatusChange(case.status, now(), case.by)
    revision = old.revision + 1
    record = replace(
        old,
        labels=_labels_file(revision),
        revision=revision,
        drawn=case.drawn,
        history=(*old.history, change),
        patient=case.patient or old.patient,
    )
    folder = case_folder(project, old.name)
    stored = read_header(folder / old.channels[0]).geometry
    case = replace(case, label_map=match_grid(case.label_map, stored))
    with _told(folder):
        record = _written(folder, record, case)
    write_record(project, record)
    return record


def _written(folder: Path, record: CaseRecord, case: NewCase) -> CaseRecord:
    """Write labels and journal of a revision; the record with what is told of them."""
    journal = "" if case.journal is None else f"journal.{record.revision}"
    try:
        if case.journal is not None:
            shutil.rmtree(folder / journal, ignore_errors=True)  # of a writer that was killed
            copy_journal(case.journal, folder / journal)
        write_segmentation(case.label_map, folder / record.labels)
    except BaseException:
        if journal:
            shutil.rmtree(folder / journal, ignore_errors=True)
        raise
    return replace(record, reviewed=case.reviewed, making=case.making, journal=journal, notes=case.notes)


def _labels_file(revision: int) -> str:
    return f"labels.{revision}.seg.nrrd"


def _check_channels(project: Project, volume: Volume) -> None:
    wanted = project.record.channels
    if volume.channels != len(wanted):
        told = ", ".join(channel.name for channel in wanted)
        raise InvalidInputError(
            f"the volume has {volume.channels} channels, those of the project have {len(wanted)}: {told}"
        )
    try:
        check_finite(Path("the volume"), volume.voxels)
    except VolumeFileError as error:
        raise InvalidInputError(str(error)) from error


def _storable(volume: Volume) -> Volume:
    """With voxels of a type that files have: float32 or float64, in the machine's byte order."""
    dtype = volume.voxels.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return volume if dtype == volume.voxels.dtype else replace(volume, voxels=volume.voxels.astype(dtype))


def digest_of_volume(volume: Volume) -> str:
    """By what the project knows a volume again."""
    return volume_checksum(_storable(volume))


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        record: _Record = from_json(kind, read_json(path, largest=_LARGEST), path.name)
    except (ModelError, InvalidInputError) as error:
        raise VolumeFileError(f"{path} is damaged: {error}; mend it, or restore it from a copy") from error
    return record


def _json(record: Any) -> str:
    return json.dumps(to_json(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def now() -> str:
    """Date and time (ISO 8601, UTC)."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Let what the system refuses name the folder."""
    try:
        yield
    except OSError as error:
        raise VolumeFileError(
            f"{folder} cannot be written: {error.strerror or error}; check its rights and the disk"
        ) from error
