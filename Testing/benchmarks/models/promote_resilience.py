"""SIGKILLs at random moments of promoting a model and of rolling it back: what is in use and what is kept afterwards.

    python Testing/benchmarks/models/promote_resilience.py --json Testing/benchmarks/results/promote_resilience.json

Two small models are promoted in turns under one name by the command, each time in a process that gets SIGKILL at one of
its file operations (drawn evenly; half of them up to 20 ms later, in the middle of what it does then); likewise they
are rolled back. Beforehand promoting is killed at each of its last operations, among which is the exchange. After each
kill a complete model must be in use and no version that was there may be gone; the next command must do its work and
leave nothing of the one before.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from catalogue_kills import Action, faults, operations, run, was_killed
from killed_command import report_of_kills
from model_examples import model_spec

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models import read_spec, save_model
from DeepSegmentLib.files.models.versions import kept_versions, versions_folder
from DeepSegmentLib.hosts.command.main import main as main_command
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.catalogue import find_model

NAME = "killed"
_LAST = 11
COUNTED = (
    "killed",
    "done before the kill, or by who looked first",
    "folder not there until somebody looks",
    "half models in the list",
    "no model in use",
    "versions lost",
    "next commands that failed",
    "files left after the next command",
)


def measure(folder: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """Kills of each action, and what was found after them."""
    models = folder / "models"
    os.environ["DEEPSEGMENT_MODELS"] = str(models)
    models.mkdir()
    promotions = [_promotion(candidate(folder / name, seed)) for seed, name in enumerate("ab")]
    back = Action(("promote", "--back", NAME, "-q"), before=True, after=True)

    def start() -> None:
        """One version in use and the same few kept, so that the command always has as many operations."""
        shutil.rmtree(versions_folder(models, NAME), ignore_errors=True)
        for action in promotions:
            if main_command(list(action.arguments)):
                raise RuntimeError(f"{action.arguments} failed")

    start()
    results: dict[str, object] = {}
    results["promote, at its end"] = disturb(promotions[0], start, models, last_moments(promotions[0], models, start))
    for name, action in (("promote", promotions[0]), ("roll back", back)):
        results[name] = disturb(action, start, models, random_moments(action, models, start, (repeats, rng)))
    return results


def candidate(folder: Path, seed: int) -> Path:
    """A small model with weights of its own."""
    torch.manual_seed(seed)
    spec = model_spec(name=NAME)
    save_model(folder, spec, UNet(spec.stages[0].network), card="# killed\n")
    return folder


def _promotion(folder: Path) -> Action:
    return Action(("promote", str(folder), "--anyway", "-q"), before=True, after=True)


def last_moments(action: Action, models: Path, start: Callable[[], None]) -> list[tuple[int, float]]:
    """The last file operations, one after the other, among which are the two steps of the exchange."""
    start()
    total = operations(action, models)
    return [(n, 0.0) for n in range(total - _LAST, total + 1)]


def random_moments(
    action: Action, models: Path, start: Callable[[], None], drawn: tuple[int, np.random.Generator]
) -> list[tuple[int, float]]:
    """Which file operation, counted from 1, and how many seconds later."""
    start()
    total, (repeats, rng) = operations(action, models), drawn
    return [(int(rng.integers(1, total + 1)), rng.uniform(0, 0.02) if n % 2 else 0.0) for n in range(repeats)]


def disturb(
    action: Action, start: Callable[[], None], models: Path, moments: list[tuple[int, float]]
) -> dict[str, int]:
    """Kill an action; after each kill the same is done undisturbed."""
    counts: Counter[str] = Counter()
    for n, (kill_at, delay_s) in enumerate(moments):
        start()
        used, there = in_use(), versions(models)
        done = run(action, models, kill_at=kill_at, delay_s=delay_s)
        counts["killed"] += was_killed(done)
        counts["folder not there until somebody looks"] += not (models / NAME).is_dir()
        counts.update(faults(models, NAME))
        counts["no model in use"] += in_use() is None
        counts["done before the kill, or by who looked first"] += in_use() != used
        after = versions(models)
        counts["next commands that failed"] += main_command(list(action.arguments)) != 0
        counts["versions lost"] += len(there - after) + len(after - versions(models))
        counts["files left after the next command"] += len(leftovers(models))
        print(n, kill_at, dict(counts), file=sys.stderr, flush=True)
    return {"moments": len(moments)} | {key: counts[key] for key in COUNTED}


def in_use() -> tuple[str, str] | None:
    """Version and checksum of the weights of the model in use; None without."""
    try:
        spec = read_spec(find_model(NAME).path)
    except ModelError:
        return None
    return spec.version, spec.weights_sha256


def versions(models: Path) -> set[tuple[str, str]]:
    """All versions, in use and kept."""
    kept = {(each.version, each.sha256) for each in kept_versions(models, NAME)}
    return kept | ({used} if (used := in_use()) else set())


def leftovers(models: Path) -> list[str]:
    """What lies beside the versions that are kept."""
    return [path.name for path in versions_folder(models, NAME).iterdir() if not re.fullmatch(r"\d{4}-.+", path.name)]


if __name__ == "__main__":
    report_of_kills(__doc__, measure)
