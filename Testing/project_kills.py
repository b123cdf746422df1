"""SIGKILL at any moment of collecting cases, and what must hold of the project afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.projects import open_project
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.service.projects.project import damaged_cases, labelled_cases

_MOST_PAIRS = 9
GRID = Geometry.from_spacing((6, 8, 10), (2, 1, 1))

# As in `catalogue_kills`: Python tells a program of each file that it opens, makes, moves or removes.
_CHILD = """
import os, signal, sys, threading
from DeepSegmentLib.hosts.command.main import main
import DeepSegmentLib.service.projects.collect_pairs

project, last, delay_s, *arguments = sys.argv[1:]
seen, killing = 0, False
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def count(event, details):
    global seen, killing
    if killing or not (event in CHANGES or event == "open" and str(details[0]).startswith(project)):
        return
    seen += 1
    if seen == int(last):
        killing = True
        threading.Timer(float(delay_s), kill).start() if float(delay_s) else kill()

sys.addaudithook(count)
code = main(arguments)
if killing:
    kill()
print(seen)
sys.exit(code)
"""


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
    words = [str(project), str(kill_at), str(delay_s), *arguments(project, pairs)]
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, *words],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end; what it printed.

    Raises:
        RuntimeError: It failed and was not killed.
    """
    out, err = process.communicate(timeout=120)
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(err)
    return out


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
