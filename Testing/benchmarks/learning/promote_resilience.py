"""SIGKILLs at random moments of promoting a model and of rolling it back: what is in use and what is kept afterwards.

    python Testing/benchmarks/learning/promote_resilience.py --json Testing/benchmarks/results/promote_resilience.json

Two small models are promoted in turns under one name by the command, each time in a process that gets SIGKILL at one of
its file operations (drawn evenly; half of them up to 20 ms later, in the middle of what it does then); likewise they
are rolled back. After each kill a complete model must be in use and no version that was there may be gone; the next
command must do its work and leave nothing of the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from catalogue_kills import Action, faults, operations, run, was_killed
from model_examples import model_spec

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models import read_spec, save_model
from DeepSegmentLib.files.models.versions import kept_versions, versions_folder
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.catalogue import find_model

NAME = "killed"
COUNTED = (
    "killed",
    "done before the kill",
    "folder not there until somebody looks",
    "half models in the list",
    "no model in use",
    "versions lost",
    "next commands that failed",
    "files left after the next command",
)


def main() -> None:
    """Run everything and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30, help="kills of each action")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options.repeats, np.random.default_rng(options.seed))
    machine = f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    print(json.dumps({"machine": machine} | results, indent=2))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine} | results, indent=2) + "\n")


def measure(folder: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """Kills of each action, and what was found after them."""
    models = folder / "models"
    os.environ["DEEPSEGMENT_MODELS"] = str(models)
    models.mkdir()
    promotions = [_promotion(candidate(folder / name, seed)) for seed, name in enumerate("ab")]
    back = Action(("promote", "--back", NAME, "-q"), before=True, after=True)
    for action in promotions:
        _check(action, models)
    return {
        "promote": disturb(promotions, models, repeats, rng),
        "roll back": disturb([back], models, repeats, rng),
    }


def candidate(folder: Path, seed: int) -> Path:
    """A small model with weights of its own."""
    torch.manual_seed(seed)
    spec = model_spec(name=NAME)
    save_model(folder, spec, UNet(spec.stages[0].network), card="# killed\n")
    return folder


def _promotion(folder: Path) -> Action:
    return Action(("promote", str(folder), "--anyway", "-q"), before=True, after=True)


def _check(action: Action, models: Path) -> None:
    done = run(action, models)
    if done.returncode:
        raise RuntimeError(done.stderr)


def disturb(actions: list[Action], models: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """Kill actions in turns, again and again; after each kill the same is done undisturbed."""
    total = operations(actions[0], models)
    counts: Counter[str] = Counter()
    for n in range(repeats):
        action, used, there = actions[n % len(actions)], in_use(), versions(models)
        delay_s = rng.uniform(0, 0.02) if n % 2 else 0.0
        done = run(action, models, kill_at=int(rng.integers(1, total + 1)), delay_s=delay_s)
        counts["killed"] += was_killed(done)
        counts["folder not there until somebody looks"] += not (models / NAME).is_dir()
        counts += faults(models, NAME)
        counts["no model in use"] += in_use() is None
        counts["done before the kill"] += in_use() != used
        after = versions(models)
        counts["next commands that failed"] += run(action, models).returncode != 0
        counts["versions lost"] += len(there - after) + len(after - versions(models))
        counts["files left after the next command"] += len(leftovers(models))
        print(n, dict(counts), file=sys.stderr, flush=True)
    return {"file operations": total} | {key: counts[key] for key in COUNTED}


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
    main()
