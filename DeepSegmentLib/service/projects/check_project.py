"""What is wrong with a project, or may be: told before anything is learned from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.projects import CaseRecord, DamagedCase, case_folder, open_project, read_cases
from DeepSegmentLib.files.projects.header_words import header_words

from .project import labelled_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.projects import Project
    from DeepSegmentLib.training.cases.labelled_case import LabelledCase

_ISLAND_PART = 0.05
"""Of a segment: smaller pieces that lie apart are told."""


@dataclass(frozen=True)
class Finding:
    """Something to look at.

    Attributes:
        case: Of which case; of several with commas.
        kind: "damaged", "duplicate", "leak", "identifier", "table", "empty" or "island".
        text: What it is.
    """

    case: str
    kind: str
    text: str


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
    found += [*_duplicates(records), *_leaks(records, held_out)]
    for n, record in enumerate(records):
        on_progress(Progress(f"check {record.name}", n / len(records)))
        found += _of_case(project, record)
    return tuple(found)


def _duplicates(records: Sequence[CaseRecord]) -> Iterator[Finding]:
    same = defaultdict(list)
    for record in records:
        same[record.volume_digest].append(record.name)
    for names in same.values():
        if len(names) > 1:
            yield Finding(", ".join(names), "duplicate", "have the same voxels")


def _leaks(records: Sequence[CaseRecord], held_out: Sequence[str]) -> Iterator[Finding]:
    of_patient = defaultdict(list)
    for record in records:
        if record.patient:
            of_patient[record.patient].append(record.name)
    for names in of_patient.values():
        out = [name for name in names if name in held_out]
        if out and len(out) < len(names):
            yield Finding(", ".join(names), "leak", f"are of one patient, but only {', '.join(out)} held out")


def _of_case(project: Project, record: CaseRecord) -> Iterator[Finding]:
    try:
        yield from _strangers(project, record)
        yield from _identifiers(project, record)
        yield from _labels(labelled_case(project, record))
    except DeepSegmentError as error:
        yield Finding(record.name, "damaged", str(error))


def _identifiers(project: Project, record: CaseRecord) -> Iterator[Finding]:
    for file in (*record.channels, record.labels):
        for field, words in header_words(case_folder(project, record.name) / file).items():
            yield Finding(record.name, "identifier", f"{file}: its header says {words[:60]!r} ({field})")


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
            continue
        pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.reshape(-1))[1:]
        small = [n for n in range(count) if sizes[n] < _ISLAND_PART * sizes.max()]
        if small:
            ml = [sizes[n] * case.volume.geometry.voxel_volume_mm3 / 1000 for n in small]
            place = ndimage.center_of_mass(mask, pieces, small[0] + 1)
            r, a, s = case.volume.geometry.index_to_ras(place)
            told = f"{len(small)} small pieces" if len(small) > 1 else "a small piece"
            yield Finding(
                case.name,
                "island",
                f"{name} has {told} apart ({sum(ml):.3f} ml in all), the first at {r:.0f}, {a:.0f}, {s:.0f} mm (RAS)",
            )
