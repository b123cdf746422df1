"""What is wrong with a project, or may be: told before anything is learned from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.projects import CaseRecord, DamagedCase, case_folder, open_project, read_cases
from DeepSegmentLib.service.datasets.case_checks import Finding, duplicates, find_islands, identifiers, leaks

from .project import labelled_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.projects import Project
    from DeepSegmentLib.training.cases.labelled_case import LabelledCase


def check_project(folder: Path, held_out: Sequence[str], on_progress: ProgressCallback) -> tuple[Finding, ...]:
    """Look through a project.

    Told are cases that cannot be read, volumes that are there twice, patients of whom some cases are held out and some
    not, words in headers, segments that the project does not know, drawn segments without a voxel, and small pieces
    apart from the rest of their segment.

    Args:
        folder: Of the project.
        held_out: Names of cases that are not learned from.
        on_progress: Told which case is read; may raise `Cancelled`.

    Raises:
        VolumeFileError: There is no project.
    """
    project = open_project(folder)
    cases = read_cases(project)
    records = [case for case in cases if isinstance(case, CaseRecord)]
    found = [Finding(case.folder.name, "damaged", case.problem) for case in cases if isinstance(case, DamagedCase)]
    found += duplicates((record.name, record.volume_digest) for record in records)
    found += leaks(((record.name, record.patient) for record in records), held_out)
    for n, record in enumerate(records):
        on_progress(Progress(f"check {record.name}", n / len(records)))
        found += _of_case(project, record)
    return tuple(found)


def _of_case(project: Project, record: CaseRecord) -> Iterator[Finding]:
    try:
        yield from _strangers(project, record)
        files = (*record.channels, record.labels)
        yield from identifiers(record.name, [case_folder(project, record.name) / file for file in files])
        yield from _labels(labelled_case(project, record))
    except DeepSegmentError as error:
        yield Finding(record.name, "damaged", str(error))


def _strangers(project: Project, record: CaseRecord) -> Iterator[Finding]:
    known = {segment.name for segment in project.record.segments}
    for each in record.drawn:
        if each.name not in known:
            yield Finding(record.name, "table", f"{each.name} is not among the segments of the project")


def _labels(case: LabelledCase) -> Iterator[Finding]:
    masks = case.label_map.masks
    for name in case.drawn:
        mask = masks.get(name)
        if mask is None or not mask.any():
            yield Finding(case.name, "empty", f"{name} was looked for and has no voxel")
        elif (islands := find_islands(mask, case.volume.geometry)) is not None:
            yield Finding(case.name, "island", f"{name} has {islands}")
