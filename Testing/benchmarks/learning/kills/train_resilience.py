"""Does a training survive SIGKILL at any moment? Prints a JSON report; --json writes it.

    python Testing/benchmarks/learning/kills/train_resilience.py --json Testing/benchmarks/results/train_resilience.json

`deepsegment train` is killed at a random one of its file operations, or up to 50 ms after it, in the middle of steps,
and called again, to be killed again or to end, until so many kills came. Counted are faults after each kill (a project,
a recipe, a checkpoint or a report that cannot be read, half a model) and what differs from an undisturbed training at
the end: any bit of the weights, steps that are not reported or reported twice, files that are left.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from ball_projects import ball_project, small_recipe
from killed_command import finish, killed_command, report_of_kills, start_quietly

from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.models import verify_model
from DeepSegmentLib.service.projects.project import damaged_cases
from DeepSegmentLib.service.training.case_recipe import read_case_recipe
from DeepSegmentLib.service.training.progress.progress_file import read_progress
from DeepSegmentLib.service.training.train_request import TrainRequest

if TYPE_CHECKING:
    import subprocess

STEPS = 40
KEPT_EVERY = 5
_MODULES = ("DeepSegmentLib.service.training.train", "DeepSegmentLib.training.fitting.fit")
COUNTED = (
    "killed",
    "trainings that ended",
    "kills before the first checkpoint",
    "faults after a kill",
    "other weights at the end",
    "other reports at the end",
    "files left at the end",
)


def measure(folder: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """An undisturbed training, and the killed ones."""
    project = ball_project(folder / "balls")
    recipe = folder / "recipe.json"
    request = TrainRequest(project, "planned", iterations=STEPS, precision="float32")
    small_recipe(request, checkpoint_every=KEPT_EVERY)
    (request.folder / "recipe.json").rename(recipe)
    shutil.rmtree(project / "trainings")
    undisturbed = shutil.copytree(project, folder / "undisturbed")
    operations = int(finish(start(undisturbed, recipe)).split()[-1])
    counts: Counter[str] = Counter()
    while counts["killed"] < repeats:
        disturbed = shutil.copytree(project, folder / f"p{counts['trainings that ended']}")
        counts += disturb(disturbed, undisturbed, recipe, (operations, repeats - counts["killed"], rng))
        print(dict(counts), file=sys.stderr, flush=True)
    return {
        "repeats": repeats,
        "steps of a training": STEPS,
        "steps between checkpoints": KEPT_EVERY,
        "file operations": operations,
        **{key: counts[key] for key in COUNTED},
    }


def start(project: Path, recipe: Path, *, kill_at: int = 0, delay_s: float = 0.0) -> subprocess.Popen[str]:
    """Begin the training, or go on with it, in a process that is killed at one of its file operations."""
    arguments = ["train", str(project), "--name", "killed", "--recipe", str(recipe), "-q", "--json"]
    return start_quietly(killed_command(arguments, project, _MODULES, kill_at=kill_at, delay_s=delay_s))


def disturb(
    project: Path, undisturbed: Path, recipe: Path, moments: tuple[int, int, np.random.Generator]
) -> Counter[str]:
    """Kill a training until it ends all the same, or often enough; then let it end."""
    operations, most, rng = moments
    counts: Counter[str] = Counter()
    while counts["killed"] < most:
        delay_s = float(rng.choice([0.0, rng.uniform(0, 0.05)]))
        process = start(project, recipe, kill_at=int(rng.integers(1, operations + 1)), delay_s=delay_s)
        finish(process)
        if process.returncode == 0:
            break
        counts["killed"] += 1
        counts["kills before the first checkpoint"] += not (trained(project) / "checkpoint.pt").exists()
        counts["faults after a kill"] += len(faults(project))
    finish(start(project, recipe))
    counts["trainings that ended"] += 1
    counts["other weights at the end"] += not same_weights(project, undisturbed)
    counts["other reports at the end"] += reports(project) != reports(undisturbed)
    counts["files left at the end"] += len(leftovers(project))
    return counts


def trained(project: Path) -> Path:
    """The folder of the training."""
    return TrainRequest(project, "killed").folder


def faults(project: Path) -> list[str]:
    """What cannot be read of a project whose training was killed."""
    found, folder = [each.problem for each in damaged_cases(project)], trained(project)
    readers = {
        "recipe.json": read_case_recipe,
        "checkpoint.pt": lambda path: torch.load(path, weights_only=True),
        "progress.jsonl": read_progress,
        "model": verify_model,
    }
    for name, read in readers.items():
        try:
            if (folder / name).exists():
                read(folder / name)
        except (DeepSegmentError, RuntimeError, OSError) as error:
            found.append(f"{name}: {error}")
    return found


def same_weights(project: Path, other: Path) -> bool:
    """Whether the models of two trainings have the same file of weights, to the last bit, and the same state."""
    a, b = (verify_model(trained(each) / "model").weights_sha256 for each in (project, other))
    c, d = (torch.load(trained(each) / "checkpoint.pt", weights_only=True) for each in (project, other))
    return a == b and all(
        torch.equal(c[part][name], d[part][name]) for part in ("network", "average") for name in c[part]
    )


def reports(project: Path) -> list[int]:
    """The steps of which the progress file tells."""
    return [line.iteration for line in read_progress(trained(project) / "progress.jsonl")]


def leftovers(project: Path) -> list[str]:
    """Hidden files and folders, but for locks."""
    return [path.name for path in project.rglob(".*") if path.suffix != ".lock"]


if __name__ == "__main__":
    report_of_kills(__doc__, measure)
