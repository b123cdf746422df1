"""SIGKILL at any moment of what changes the catalogue of models, and what must hold afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from killed_command import killed_command

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models import verify_model
from DeepSegmentLib.service.catalogue import list_models

_MODULES = ("torch", "DeepSegmentLib.networks.runtime", "DeepSegmentLib.files.models.importers.deepsegment")

STAYS = (".lock", ".json")


@dataclass(frozen=True)
class Action:
    """A change of the catalogue.

    Attributes:
        arguments: Of the command.
        before: Whether the model is there before.
        after: Whether it is there afterwards, if nothing comes between.
    """

    arguments: tuple[str, ...]
    before: bool
    after: bool


def run(action: Action, catalogue: Path, *, kill_at: int = 0, delay_s: float = 0.0) -> subprocess.CompletedProcess:
    """Run the command in a process of its own; it is killed at one of its file operations, counted from 1."""
    return subprocess.run(
        killed_command(action.arguments, catalogue, _MODULES, kill_at=kill_at, delay_s=delay_s),
        env={**os.environ, "DEEPSEGMENT_MODELS": str(catalogue), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def operations(action: Action, catalogue: Path) -> int:
    """How many file operations in the catalogue the undisturbed command has."""
    done = run(action, catalogue)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout.split()[-1])


def was_killed(done: subprocess.CompletedProcess) -> bool:
    """Whether the process ended by SIGKILL."""
    return done.returncode == -signal.SIGKILL


def faults(catalogue: Path, name: str) -> Counter[str]:
    """What is wrong with a catalogue after a kill; what is hidden is no fault yet."""
    found: Counter[str] = Counter()
    for entry in list_models():
        if not entry.bundled:
            found["half models in the list"] += bool(entry.damage) or entry.name != name or _is_damaged(entry.path)
    return +found


def leftovers(catalogue: Path) -> list[str]:
    """Hidden files and folders, but for lock and index, which stay by design."""
    return [path.name for path in catalogue.iterdir() if path.name.startswith(".") and path.suffix not in STAYS]


def is_there(name: str) -> bool:
    """Whether the catalogue has the model."""
    return any(entry.name == name for entry in list_models())


def _is_damaged(folder: Path) -> bool:
    try:
        verify_model(folder)
    except ModelError:
        return True
    return False
