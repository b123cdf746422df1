"""A small picture of each case of a project, for people who look through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.files.projects import open_project, read_labels, read_volume_of

from .project import case_records

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, ProgressCallback, Volume
    from DeepSegmentLib.files.projects import CaseRecord

PICTURES = "previews"
"""Folder of a project; it can be deleted at any time."""
EDGE_PX = 160
"""Of the pictures' longer edge."""


def picture_of(project: Path, record: CaseRecord) -> Path:
    """Where the picture of a case's newest labels is, once it is drawn."""
    return project / PICTURES / f"{record.name}.{record.revision}.png"


def draw_case(project: Path, record: CaseRecord, volume: Volume, label_map: LabelMap) -> Path:
    """Draw a case: the axial slice through the middle of its segments; pictures of earlier labels go.

    Raises:
        VolumeFileError: It cannot be written.
    """
    from DeepSegmentLib.service.preview import draw_middle  # slow to load, for those who only ask where pictures are

    path = picture_of(project, record)
    picture = draw_middle(volume, label_map, EDGE_PX)
    with atomic_path(path) as fresh:
        picture.save(fresh, format="PNG")
    for other in path.parent.glob(f"{record.name}.*.png"):
        if other != path:
            other.unlink(missing_ok=True)
    return path


def draw_missing(folder: Path, on_progress: ProgressCallback = silent) -> int:
    """Draw all cases that have no picture yet; a case that cannot be read stays without.

    Returns:
        How many were drawn.
    """
    project, drawn = open_project(folder), 0
    missing = [record for record in case_records(folder) if not picture_of(folder, record).is_file()]
    for n, record in enumerate(missing):
        on_progress(Progress("draw the cases", n / len(missing)))
        try:
            volume = read_volume_of(project, record)
            draw_case(folder, record, volume, read_labels(project, record, volume))
            drawn += 1
        except DeepSegmentError:
            continue
    return drawn
