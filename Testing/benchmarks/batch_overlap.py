"""What a folder gains by reading the next case and writing the one before while one is computed.

    python Testing/benchmarks/batch_overlap.py

Cases of noise, packed as `.nii.gz`, and a tiny model of random weights, loaded beforehand. Each is worked alone, one
after the other; then all by `work_cases`. Voxels of both must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torch
from batch_examples import write_head
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.hosts.warm_model import WarmModels
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.batch.work_case import work_case
from DeepSegmentLib.service.batch.work_cases import work_cases
from DeepSegmentLib.service.segment import SegmentRequest


def main() -> None:
    """Run both and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--size", type=int, default=128, help="voxels along each axis")
    parser.add_argument("--uncertainty", action="store_true", help="write the maps of uncertainty, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({"processors": os.cpu_count()} | measure(Path(folder), options), indent=2))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Seconds of both, and those of the steps."""
    torch.manual_seed(0)
    model = str(folder / "model")
    save_model(folder / "model", model_spec(patch_shape=(64, 64, 64)), UNet(TINY_UNET), card="# Random weights\n")
    sources = [
        write_head(folder / "in" / f"{n}.nii.gz", seed=n, shape=(options.size,) * 3) for n in range(options.cases)
    ]
    asked = PredictSettings(uncertainty=options.uncertainty)
    requests = [
        SegmentRequest(path, folder / "alone" / f"{path.name[:-7]}.seg.nrrd", model, "cpu", asked) for path in sources
    ]
    models = WarmModels()
    work_case(replace(requests[0], target=folder / "warm.seg.nrrd"), load=models.load)
    begun = time.perf_counter()
    reports = [work_case(request, load=models.load) for request in requests]
    alone, begun = time.perf_counter() - begun, time.perf_counter()
    together = [replace(request, target=folder / "together" / request.target.name) for request in requests]
    work_cases(together, lambda *_: None, lambda *_: None, load=models.load)
    overlapped = time.perf_counter() - begun
    for first, second in zip(requests, together, strict=True):
        assert np.array_equal(read_labelmap(first.target).layers, read_labelmap(second.target).layers)
    steps = {
        step: round(sum(report["seconds"][step] for report in reports), 1) for step in ("read", "segment", "write")
    }
    return {
        "cases": options.cases,
        "steps [s]": steps,
        "alone [s]": round(alone, 1),
        "overlapped [s]": round(overlapped, 1),
    }


if __name__ == "__main__":
    main()
