"""A folder of cases, good and hostile, a tiny model for them, and a command that works them and can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.networks.architectures.unet import UNet

REPOSITORY = Path(__file__).resolve().parents[1]
HOSTILE = ("pipe.nii.gz", "cut off.nii.gz", "endless type.nrrd")
_LONG_TYPE = b"NRRD0004\ntype: %b\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n" % (b"x" * 5000)  # kills teem


def write_model(folder: Path) -> Path:
    """A model folder with random weights."""
    torch.manual_seed(0)
    spec = model_spec()
    save_model(folder / spec.name, spec, UNet(TINY_UNET), card="# Random weights\n")
    return folder / spec.name


def write_head(path: Path, *, seed: int = 0, shape: tuple[int, int, int] = (9, 10, 11)) -> Path:
    """A volume of noise, 1 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)
    write_volume(Volume(voxels, Geometry.from_spacing(shape, (1, 1, 1))), path)
    return path


def write_cases(folder: Path, good: int = 9, *, shape: tuple[int, int, int] = (9, 10, 11)) -> list[str]:
    """Good cases in a folder and below, among them one whose name is no UTF-8, and the hostile ones.

    Returns:
        The names of the good ones' results, without suffix.
    """
    names = [f"{'sub/' if n % 2 else ''}case {n}" for n in range(good - 1)]
    for n, name in enumerate(names):
        write_head(folder / f"{name}.nii.gz", seed=n, shape=shape)
    content = (folder / "case 0.nii.gz").read_bytes()
    (folder / os.fsdecode(b"caf\xe9.nii.gz")).write_bytes(content)
    os.mkfifo(folder / HOSTILE[0])
    (folder / HOSTILE[1]).write_bytes(content[: len(content) // 2])
    (folder / HOSTILE[2]).write_bytes(_LONG_TYPE)
    return [*names, "caf%E9"]


@dataclass(frozen=True)
class Command:
    """`deepsegment segment source target --skip-existing`, as a process that can be killed."""

    source: Path
    target: Path
    model: Path

    def start(self) -> subprocess.Popen[str]:
        """The running command, whose lines can be read from its standard output."""
        paths = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(
            self.arguments(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        )

    def arguments(self) -> list[str | Path]:
        """Of the process."""
        command = [sys.executable, "-m", "DeepSegmentLib.hosts.command.main", "segment", self.source, self.target]
        return [*command, "--model", self.model, "--skip-existing", "--device", "cpu"]

    def run(self) -> tuple[int, str]:
        """Exit code and lines of an undisturbed run."""
        with self.start() as process:
            lines = process.stdout.read()
        return process.returncode, lines


def child_of(process: subprocess.Popen[str]) -> int | None:
    """The number of the process that works the cases, or None where there is none now."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def kill(process: subprocess.Popen[str], whom: str) -> bool:
    """SIGKILL to the "parent", the "child" or "both"; whether there was whom to kill."""
    child = child_of(process) if whom != "parent" else None
    killed = []
    if whom in ("parent", "both") and process.poll() is None:
        process.kill()
        killed.append(process.pid)
    if child is not None:
        try:
            os.kill(child, signal.SIGKILL)
            killed.append(child)
        except ProcessLookupError:
            pass
    return bool(killed)


def wait_for_end(number: int | None, patience_s: float = 20.0) -> bool:
    """Whether a process that is no child of ours ends in time."""
    end = time.monotonic() + patience_s
    while number is not None and Path(f"/proc/{number}").exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def complete_results(target: Path, names: list[str]) -> dict[str, tuple[int, int]]:
    """Inode and time of each result that is whole and says what it was made from: others where it was written again."""
    found = {}
    for name in names:
        path = target / f"{name}.seg.nrrd"
        try:
            read_labelmap(path)
            if "input" in read_provenance(path):
                found[name] = (path.stat().st_ino, path.stat().st_mtime_ns)
        except DeepSegmentError:
            continue
    return found


def leftovers(target: Path) -> list[str]:
    """Files below a folder of results that are neither a result, nor the table of all, nor the lock."""
    known = {".deepsegment.lock", "deepsegment-batch.csv"}
    paths = [path for path in target.rglob("*") if path.is_file() and path.name not in known]
    return sorted(path.name for path in paths if path.name.startswith(".") or not path.name.endswith(".seg.nrrd"))
