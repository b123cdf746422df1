"""Collect cases in a project, and read them to learn from them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Box, Segment
from DeepSegmentLib.errors import ExistsError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.projects import (
    CaseRecord,
    DamagedCase,
    DrawnSegment,
    Making,
    NewCase,
    Project,
    StatusChange,
    add_case,
    add_revision,
    case_folder,
    create_project,
    find_volume,
    open_project,
    patient_hash,
    read_case,
    read_cases,
    read_labels,
    read_volume_of,
    write_project,
    write_record,
)
from DeepSegmentLib.files.projects.folder import PROJECT_FILE, alone, digest_of_volume, now
from DeepSegmentLib.files.projects.records import STATUSES
from DeepSegmentLib.files.segmentations.grids_and_layers import empty_segments, labels_without_segment, match_grid
from DeepSegmentLib.training.cases.labelled_case import LabelledCase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import Geometry, LabelMap, Volume
    from DeepSegmentLib.files.projects import Status
    from DeepSegmentLib.networks.model_spec import Channel


@dataclass(frozen=True, eq=False)
class Collecting:
    """What is said of a case that is collected.

    Attributes:
        status: How far it is.
        by: Who says so; empty for nobody named.
        patient: Whatever names the patient always in the same way; only a hash of it is kept. Empty where not known.
        drawn: For each segment that was drawn the boxes of the volume's grid in which somebody looked for it, none for
            everywhere; None for all that have a voxel, everywhere.
        absent: Segments that were looked for and are not there.
        reviewed: Boxes of the volume's grid in which somebody looked at all; None for everywhere.
        making: How the labels were made.
        journal: Folder of the corrections' journal, which is copied; None without.
        notes: Text.
        anew: Whether a volume that is in the project already becomes another case, not another revision of its case.
    """

    status: Status = "draft"
    by: str = ""
    patient: str = ""
    drawn: Mapping[str, tuple[Box, ...]] | None = None
    absent: tuple[str, ...] = ()
    reviewed: tuple[Box, ...] | None = None
    making: Making = field(default_factory=Making)
    journal: Path | None = None
    notes: str = ""
    anew: bool = False

    def __post_init__(self) -> None:
        _check_status(self.status)


def make_where_new(folder: Path, name: str, channels: tuple[Channel, ...]) -> None:
    """Make a project, unless the folder is one already.

    Raises:
        ExistsError: The folder holds something else.
        VolumeFileError: It cannot be written.
    """
    if (folder / PROJECT_FILE).exists():
        return
    try:
        create_project(folder, name, channels)
    except ExistsError:  # somebody else may have made it meanwhile
        if not (folder / PROJECT_FILE).exists():
            raise


def collect_case(folder: Path, volume: Volume, label_map: LabelMap, collecting: Collecting) -> CaseRecord:
    """Add a case to a project; a volume that is there already gets another revision of its labels.

    Nothing of the files' names and headers is kept, apart from the place of the voxels.

    Args:
        folder: Of the project.
        volume: All channels.
        label_map: Segments on the volume's grid; the order and sense of their axes may differ.
        collecting: What is said of it.

    Returns:
        The record of the case.

    Raises:
        InvalidInputError: Volume, labels and project do not fit each other, or no segment was drawn.
        VolumeFileError: There is no project, or it cannot be written; it is as before.
    """
    label_map = _checked_labels(match_grid(label_map, volume.geometry))
    drawn = _drawn(label_map, collecting)
    for what, boxes in (*((each.name, each.boxes) for each in drawn), ("reviewed", collecting.reviewed or ())):
        _check_boxes(what, boxes, volume.geometry)
    with alone(open_project(folder)) as found:
        project = _with_segments(found, label_map, drawn)
        patient = patient_hash(project.record, collecting.patient)
        case = NewCase(
            volume,
            label_map,
            drawn,
            collecting.status,
            collecting.by,
            patient,
            collecting.reviewed,
            collecting.making,
            collecting.journal,
            collecting.notes,
        )
        old = None if collecting.anew else find_volume(project, digest_of_volume(volume))
        with _table_kept_on_error(found, project):
            return add_case(project, case) if old is None else add_revision(project, old, case)


@contextmanager
def _table_kept_on_error(before: Project, changed: Project) -> Iterator[None]:
    """Take the new segments out of the table again where their case cannot be written."""
    if changed is not before:
        write_project(changed)
    try:
        yield
    except BaseException:
        if changed is not before:
            write_project(before)
        raise


def _check_boxes(what: str, boxes: Sequence[Box], grid: Geometry) -> None:
    for box in boxes:
        if not box.size or not Box.of_shape(grid.shape).contains(box):
            raise InvalidInputError(
                f"{what}: the box {box.start} to {box.stop} is empty or reaches outside the volume, whose shape "
                f"(k, j, i) is {grid.shape}"
            )


def _checked_labels(label_map: LabelMap) -> LabelMap:
    strangers = labels_without_segment(label_map)
    if strangers:
        told = ", ".join(f"{value} (layer {layer})" for layer, value in strangers[:5])
        raise InvalidInputError(f"labels that belong to no segment: {told}; name or erase them")
    return label_map


def _drawn(label_map: LabelMap, collecting: Collecting) -> tuple[DrawnSegment, ...]:
    """Which segments were drawn, and where."""
    empty = {segment.name for segment in empty_segments(label_map)}
    there = [segment.name for segment in label_map.segments if segment.name not in empty]
    said = collecting.drawn
    named: dict[str, tuple[Box, ...]] = dict.fromkeys(there, ()) if said is None else dict(said)
    unknown = [name for name in named if name not in {segment.name for segment in label_map.segments}]
    if unknown:
        raise InvalidInputError(f"no segment {unknown[0]!r} to be drawn; there are: {', '.join(there) or 'none'}")
    full = [name for name in collecting.absent if name in there]
    if full:
        raise InvalidInputError(
            f"segment {full[0]!r} is said to be absent, but has voxels; erase them, or do not say so"
        )
    named |= dict.fromkeys(collecting.absent, ())
    if not named:
        raise InvalidInputError("no segment was drawn, so there is nothing to learn from; segment or correct first")
    return tuple(DrawnSegment(name, boxes) for name, boxes in named.items())


def _with_segments(project: Project, label_map: LabelMap, drawn: Sequence[DrawnSegment]) -> Project:
    """The project, whose table has all segments of a case; the same one where it had them."""
    known = {segment.name.casefold(): segment.name for segment in project.record.segments}
    named = [*(segment.name for segment in label_map.segments), *(each.name for each in drawn)]
    for name in named:
        spelled = known.get(name.casefold(), name)
        if spelled != name:
            raise InvalidInputError(f"segment {name!r} is called {spelled!r} in this project; rename it")
    own = {segment.name: segment for segment in label_map.segments}
    used = {*own} - {segment.name for segment in empty_segments(label_map)}
    wanted = {*used, *(each.name for each in drawn)}
    new = [name for name in dict.fromkeys(named) if name in wanted and name.casefold() not in known]
    if not new:
        return project
    table = (*project.record.segments, *_numbered([own.get(name) or Segment(name, 1) for name in new], project))
    return replace(project, record=replace(project.record, segments=table))


def _numbered(segments: Sequence[Segment], project: Project) -> list[Segment]:
    begun = len(project.record.segments)
    return [replace(segment, value=begun + n, layer=0) for n, segment in enumerate(segments, start=1)]


def set_status(folder: Path, names: Sequence[str], status: Status, by: str = "") -> tuple[CaseRecord, ...]:
    """Say how far cases are.

    Raises:
        InvalidInputError: There is no such status.
        VolumeFileError: There is no such case; nothing is changed then.
    """
    _check_status(status)
    with alone(open_project(folder)) as project:
        records = [read_case(project, name) for name in names]
        change = StatusChange(status, now(), by)
        changed = tuple(replace(record, history=(*record.history, change)) for record in records)
        for record in changed:
            write_record(project, record)
    return changed


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise InvalidInputError(f"status must be one of {', '.join(STATUSES)}, got {status!r}")


def case_records(folder: Path) -> tuple[CaseRecord, ...]:
    """The records of all good cases of a project, in the order of their names.

    Raises:
        VolumeFileError: There is no project.
    """
    return tuple(case for case in read_cases(open_project(folder)) if isinstance(case, CaseRecord))


def damaged_cases(folder: Path) -> tuple[DamagedCase, ...]:
    """The cases of a project that cannot be read."""
    return tuple(case for case in read_cases(open_project(folder)) if isinstance(case, DamagedCase))


def labelled_cases(
    folder: Path, names: Sequence[str] | None = None, statuses: Sequence[str] = ("approved",)
) -> Iterator[LabelledCase]:
    """The cases of a project, one at a time, with what of them is known.

    Args:
        folder: Of the project.
        names: Which ones; None for all.
        statuses: Cases of another status are left out.

    Raises:
        VolumeFileError: There is no such case, or a file of one cannot be read.
    """
    project = open_project(folder)
    records = case_records(folder) if names is None else [read_case(project, name) for name in names]
    for record in records:
        if record.status in statuses:
            yield labelled_case(project, record)


def labelled_case(project: Project, record: CaseRecord) -> LabelledCase:
    """A case with its voxels and what of them is known.

    Raises:
        VolumeFileError: A file cannot be read.
    """
    volume = read_volume_of(project, record)
    drawn = {each.name: each.boxes for each in record.drawn}
    labels = read_labels(project, record, volume)
    try:
        for what, boxes in (*drawn.items(), ("reviewed", record.reviewed or ())):
            _check_boxes(what, boxes, volume.geometry)
    except InvalidInputError as error:
        raise VolumeFileError(f"{case_folder(project, record.name)}: {error}; mend its record") from error
    return LabelledCase(record.name, volume, labels, drawn, record.reviewed, record.patient)
