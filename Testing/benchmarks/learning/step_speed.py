"""Seconds of a training step by norms and precision: medians, in turns.

    python Testing/benchmarks/learning/step_speed.py [--repeats 20] [--json Testing/benchmarks/results/step_speed.json]

A U-Net of 32 to 256 features, two patches of 40 x 56 x 40 voxels, loss and optimiser as in `deepsegment train`: with
torch's instance norm and with ours (`training/fitting/instance_norm.py`), in bfloat16 and in float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parents[3]), str(Path(__file__).resolve().parent.parent / "engine")]
from DeepSegmentLib.hosts.torch_environment import prepare_for_torch

prepare_for_torch()
import torch
from machine import machine

from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.training.fitting import state
from DeepSegmentLib.training.fitting.partial_losses import PartialLoss
from DeepSegmentLib.training.fitting.settings import LossSettings, TrainSettings
from DeepSegmentLib.training.patches.patch import Patch

STAGES, PATCH, BATCH = 4, (40, 56, 40), 2
SPEC = UNetSpec(
    1,
    3,
    tuple(32 << n for n in range(STAGES)),
    ((3, 3, 3),) * STAGES,
    ((1, 1, 1), *((2, 2, 2),) * (STAGES - 1)),
    (2,) * STAGES,
    (2,) * (STAGES - 1),
    deep_supervision=True,
)


def training(precision: str, *, quick: bool) -> state.TrainingState:
    """A training that has not begun."""
    torch.manual_seed(0)
    settings = TrainSettings(iterations=10**6, batch_size=BATCH, precision=precision)
    kept = nullcontext() if quick else mock.patch.object(state, "with_quick_norms", lambda network: network)
    with kept:
        return state.TrainingState(UNet(SPEC), settings, PartialLoss(LossSettings()))


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    labels = torch.randint(3, (BATCH, 1, *PATCH))
    batch = Patch(labels.float(), labels, torch.zeros(BATCH, *PATCH, dtype=torch.int64), torch.ones(BATCH, 1, 4))
    trainings = {
        f"{precision}, {'our' if quick else 'torch'} norm": training(precision, quick=quick)
        for precision in ("bfloat16", "float32")
        for quick in (True, False)
    }
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for n in range(options.repeats + 1):
        for name, each in trainings.items():
            begun = time.perf_counter()
            each.step([batch], nullcontext)
            if n:  # the first step prepares
                seconds[name].append(time.perf_counter() - begun)
    found = {
        name: {"median_s": round(statistics.median(each), 3), "least_s": round(min(each), 3)}
        for name, each in seconds.items()
    }
    report = json.dumps({"machine": machine(), "steps": options.repeats, "seconds": found}, indent=2)
    print(report)
    if options.json:
        options.json.write_text(report + "\n")


if __name__ == "__main__":
    main()
