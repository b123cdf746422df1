"""SIGKILL at any moment of what changes the catalogue of models, and what must hold afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models import verify_model
from DeepSegmentLib.service.catalogue import list_models

# Python tells a program of each file that it opens, makes, moves or removes (sys.addaudithook): of all moments these
# are the ones at which something may be half done. A delay gets the kill into the middle of what is written then.
_CHILD = """
import os, signal, sys, threading
from DeepSegmentLib.hosts.command.main import main
import torch, DeepSegmentLib.networks.runtime, DeepSegmentLib.files.models.importers.deepsegment

catalogue, last, delay_s, *arguments = sys.argv[1:]
seen, killing = 0, False

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink"}

def count(event, details):
    global seen, killing
    if killing or not (event in CHANGES or event == "open" and str(details[0]).startswith(catalogue)):
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
    arguments = [str(catalogue), str(kill_at), str(delay_s), *action.arguments]
    return subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments],
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
