"""Memory that it takes to add an nnU-Net folder of one fold and of five, of a network of real size.

    python Testing/benchmarks/models/nnunet_import_memory.py [--work FOLDER]

Random weights in nnU-Net's default 3D network (31 million weights), checkpoints with the optimizer's state, as nnU-Net
saves them. Each import runs in a process of its own. Writes Testing/benchmarks/results/nnunet_import_memory.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # examples that tests use, too
from foreign_models.nnunet import architecture, checkpoint_of, configuration, dataset_of, foreign_network, plans_of

RESULTS = Path(__file__).parents[1] / "results" / "nnunet_import_memory.json"
STAGES = 6
NETWORK = architecture(
    n_stages=STAGES,
    features_per_stage=[32, 64, 128, 256, 320, 320],
    kernel_sizes=[[3, 3, 3]] * STAGES,
    strides=[[1, 1, 1]] + [[2, 2, 2]] * (STAGES - 1),
    n_conv_per_stage=[2] * STAGES,
    n_conv_per_stage_decoder=[2] * (STAGES - 1),
)

IMPORT = """
import json, sys, time
from pathlib import Path
from DeepSegmentLib.files.models.importers import Words, importer_of
import torch

def kilobytes(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))

before, start = kilobytes("VmRSS"), time.perf_counter()
sources, words = [Path(sys.argv[1])], Words(folds=tuple(sys.argv[3].split()))
importer_of(sources).convert(sources, Path(sys.argv[2]), words)
print(json.dumps({"grown_mb": (kilobytes("VmHWM") - before) / 1024, "seconds": time.perf_counter() - start}))
"""


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="where folders are made and removed again; 3 GB")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().work) as work:
        folder = _trained(Path(work))
        fold_mb = (folder / "fold_0" / "checkpoint_final.pth").stat().st_size / 2**20
        rows = [_imported(folder, Path(work) / "model", folds) for folds in ("0", "0 1 2 3 4")]
    report = {"weights": _count(), "checkpoint_mb": round(fold_mb), "imports": rows}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def _count() -> int:
    with torch.device("meta"):
        return sum(each.numel() for each in foreign_network(NETWORK, 1, 3).parameters())


def _trained(work: Path) -> Path:
    """A trained folder of five folds."""
    folder = work / "Dataset998_Test" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    for fold in range(5):
        (folder / f"fold_{fold}").mkdir(parents=True)
        network = foreign_network(NETWORK, 1, 3, seed=fold)
        momenta = {n: {"momentum_buffer": torch.rand_like(each)} for n, each in enumerate(network.parameters())}
        checkpoint = checkpoint_of(network, "3d_fullres", optimizer_state={"state": momenta, "param_groups": []})
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    plans = plans_of({"3d_fullres": configuration(architecture=NETWORK, patch_size=[128, 128, 128])})
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_of()))
    return folder


def _imported(folder: Path, model: Path, folds: str) -> dict[str, Any]:
    start = time.perf_counter()
    command = [sys.executable, "-c", IMPORT, str(folder), str(model), folds]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    model_mb = sum(path.stat().st_size for path in model.iterdir()) / 2**20
    shutil.rmtree(model)
    row = {"folds": folds, "model_mb": round(model_mb), "process_seconds": round(time.perf_counter() - start, 1)}
    return row | {key: round(value, 1) for key, value in json.loads(done.stdout).items()}


if __name__ == "__main__":
    main()
