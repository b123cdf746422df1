"""Do processes that train together end, and go on, as one? Prints a JSON report; --json writes it. Linux.

    python Testing/benchmarks/learning/kills/together_resilience.py --repeats 10 \
        --json Testing/benchmarks/results/together_resilience.json

Two processes under torch's launcher, which begins them again when one ends with an error, train one model. Now and then
the first one is stopped (SIGTERM), or one of them is killed (SIGKILL), after a few steps. Counted are steps that were
lost by it, and what differs at the end from the training of one process with the whole batch.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from ball_projects import ball_project, small_recipe
from killed_command import report_of_kills

from DeepSegmentLib.service.training.train import train_on_project
from DeepSegmentLib.service.training.train_request import TrainRequest
from DeepSegmentLib.service.training.watch import Watch

STEPS = 60
KEPT_EVERY = 5
_MOST_STEPS = 8
_LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def measure(folder: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """The disturbed training of two processes, and that of one."""
    project = ball_project(folder / "balls")
    for name in ("alone", "together"):
        request = TrainRequest(project, name, iterations=STEPS, precision="float32")
        # Of AdamW, weights whose gradient is nothing but rounding (biases before norms) go anywhere.
        small_recipe(request, checkpoint_every=KEPT_EVERY, optimizer="sgd", momentum=0.5)
    train_on_project(TrainRequest(project, "alone"), Watch())
    counts = disturb(project, repeats, rng)
    one, two = (
        torch.load(project / "trainings" / name / "checkpoint.pt", weights_only=True) for name in ("alone", "together")
    )
    far = max(float((two["network"][name] - each).abs().max()) for name, each in one["network"].items())
    return {
        "steps": STEPS,
        "steps between checkpoints": KEPT_EVERY,
        **counts,
        "steps at the end": two["iteration"],
        "largest difference of losses": max(abs(a - b) for a, b in zip(one["losses"], two["losses"], strict=True)),
        "largest difference of weights": far,
    }


def disturb(project: Path, repeats: int, rng: np.random.Generator) -> Counter[str]:
    """Stop or kill processes of a training until it ends all the same."""
    arguments = ["-m", "DeepSegmentLib", "train", str(project), "--name", "together", "--verbose"]
    counts = Counter({"stopped": 0, "killed": 0, "steps lost by stops": 0, "steps lost by kills": 0})
    done, left, last = 0, int(rng.integers(1, _MOST_STEPS)), "stops"
    with subprocess.Popen(
        [sys.executable, *_LAUNCHER, f"--max-restarts={repeats}", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        for line in launcher.stderr or ():
            if found := re.search(r"goes on after (\d+) iterations", line):
                counts[f"steps lost by {last}"] += max(0, done - int(found[1]))
                left = int(rng.integers(1, _MOST_STEPS))
            elif found := re.match(rf"(\d+) of {STEPS}, loss", line):
                done, left = int(found[1]), left - 1
                if left == 0 and counts["stopped"] + counts["killed"] < repeats:
                    last = send_signal(launcher.pid, counts, rng)
    if launcher.returncode:
        raise RuntimeError(f"the launcher ended with {launcher.returncode}")
    return counts


def send_signal(launcher: int, counts: Counter[str], rng: np.random.Generator) -> str:
    """Stop the first process, or kill any; what was done."""
    if rng.random() < 0.5:
        counts["stopped"] += 1
        os.kill(process_of_rank(0, launcher), signal.SIGTERM)
        return "stops"
    counts["killed"] += 1
    os.kill(process_of_rank(int(rng.integers(2)), launcher), signal.SIGKILL)
    return "kills"


def process_of_rank(rank: int, launcher: int) -> int:
    """The number of a process that the launcher began."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    words = f"RANK={rank}".encode()
    return next(int(child) for child in children if words in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"))


if __name__ == "__main__":
    report_of_kills(__doc__, measure)
