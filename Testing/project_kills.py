"""SIGKILL at any moment of collecting cases, and what must hold of the project afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from killed_command import killed_command, start_quietly

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.projects import open_project
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.service.projects.project import damaged_cases, labelled_cases

if TYPE_CHECKING:
    import subprocess

_MOST_PAIRS = 9
GRID = Geometry.from_spacing((6, 8, 10), (2, 1, 1))
_MODULES = ("DeepSegmentLib.service.projects.collect_pairs",)


def write_pairs(folder: Path, count: int) -> None:
    """Volumes in `images` and labels of the same names in `labels`, all different."""
    for n in range(count):
        voxels = np.random.default_rng(n).integers(0, 999, (1, *GRID.shape)).astype(np.int16)
        labels = (voxels > 900 - n).astype(np.uint8)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_volume(Volume(voxels, GRID), folder / "images" / f"scan_{n}.nii.gz")
        table = LabelMap(labels, GRID, (Segment("Bright", 1),))
        write_segmentation(table, folder / "labels" / f"scan_{n}.seg.nrrd")


def arguments(project: Path, pairs: Path) -> list[str]:
    """Of the command that collects all pairs."""
    folders = ["--images", str(pairs / "images"), "--labels", str(pairs / "labels")]
    return ["project", "add", str(project), *folders, "--status", "approved", "-q"]


def start(project: Path, pairs: Path, *, kill_at: int = 0, delay_s: float = 0.0) -> subprocess.Popen[str]:
    """Begin to collect all pairs, in a process that is killed at one of its file operations, counted from 1."""
    return start_quietly(killed_command(arguments(project, pairs), project, _MODULES, kill_at=kill_at, delay_s=delay_s))


def faults(project: Path) -> list[str]:
    """What is wrong with a project: damaged cases, voxels that are not those collected, segments without an entry."""
    if not (project / "project.json").exists():
        return []
    found = [each.problem for each in damaged_cases(project)]
    known = {segment.name for segment in open_project(project).record.segments}
    for case in labelled_cases(project):
        mask = case.label_map.masks["Bright"]
        right = any(np.array_equal(mask, case.volume.voxels[0] > 900 - n) for n in range(_MOST_PAIRS))
        found += [] if right else [f"{case.name} has other labels"]
        found += [f"{name} is not in the table" for name in case.drawn if name not in known]
    return found


def leftovers(project: Path) -> list[str]:
    """Hidden files and folders, but for the lock."""
    return [path.name for path in project.rglob(".*") if path.name != ".deepsegment.lock"]
