"""Milliseconds of one thread for an augmented patch: ours by presets and by changes, beside nnU-Net's own.

    python Testing/benchmarks/learning/augmentation/speed.py [--peer PYTHON] [--patch 64 64 64] [--samples 200]
        --json Testing/benchmarks/results/augmentation_speed.json

The case is noise with balls of four structures, on disk as training has it. `--peer` is a Python with nnunetv2, whose
loader's crop and `get_training_transforms` are timed on the same arrays, in memory (`peer_nnunet.py`).
Times are those of the process, which depend less on what else runs; "ours / nnU-Net" compares the same changes, equally
often.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from DeepSegmentLib.data import Segment
from DeepSegmentLib.training.cases.prepared_case import Known, PreparedCase
from DeepSegmentLib.training.patches.augmentation_settings import NO_AUGMENTATION, PRESETS
from DeepSegmentLib.training.patches.choose_centre import choose_centre
from DeepSegmentLib.training.patches.cut_patch import cut_patch
from DeepSegmentLib.training.patches.mirror_plan import mirror_plan

if TYPE_CHECKING:
    from DeepSegmentLib.training.patches.augmentation_settings import AugmentationSettings

SHAPE = (150, 180, 170)
NAMES = ("Liver", "Spleen", "Left kidney", "Right kidney")
PEER = Path(__file__).with_name("peer_nnunet.py")


def write_case(folder: Path) -> PreparedCase:
    """Write the arrays, and open them as training does."""
    rng = np.random.default_rng(0)
    labels = np.zeros((1, *SHAPE), np.uint8)
    grid = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    for value in range(1, len(NAMES) + 1):
        middle = [rng.integers(30, n - 30) for n in SHAPE]
        labels[0][sum((axis - at) ** 2 for axis, at in zip(grid, middle, strict=True)) < 25**2] = value
    image = (rng.normal(size=(1, *SHAPE)) + labels).astype(np.float16)
    arrays = {"image": image, "labels": labels, "regions": np.zeros(SHAPE, np.uint8)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    opened = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in arrays}
    values = range(len(NAMES) + 1)
    places = tuple(rng.permutation(np.argwhere(labels[0] == value))[:1000].astype(np.int32) for value in values)
    known = (Known((True,) * len(values)),)
    return PreparedCase("case", "case", **opened, known=known, spacing_mm=(1.5, 1.5, 1.5), places=places)


def milliseconds(
    case: PreparedCase, patch: tuple[int, int, int], settings: AugmentationSettings, samples: int
) -> float:
    """The mean of so many patches; the first few do not count."""
    plan = mirror_plan([Segment(name, n + 1) for n, name in enumerate(NAMES)], "RAS")
    rng = np.random.default_rng(1)
    begun = 0.0
    for n in range(-5, samples):
        if n == 0:
            begun = time.process_time()
        centre = choose_centre(case, patch, rng)
        cut_patch(case, centre, patch, settings=settings, mirror=plan, rows=4, rng=rng)
    return round((time.process_time() - begun) / samples * 1000, 2)


def of_peer(python: str, folder: Path, patch: tuple[int, int, int], samples: int) -> dict[str, Any]:
    """What nnU-Net's augmentation takes, in its environment."""
    command = [python, str(PEER), str(folder), *map(str, patch), str(samples)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Time everything and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="a Python with nnunetv2")
    parser.add_argument("--patch", type=int, nargs=3, default=(64, 64, 64), metavar="VOXELS")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    patch, samples = tuple(options.patch), options.samples
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        case = write_case(Path(name))
        shares = [
            field.name
            for field in fields(PRESETS["none"])
            if isinstance(getattr(NO_AUGMENTATION, field.name), (int, float))
        ]
        shares = [share for share in shares if not share.endswith(("_degrees", "_distance"))]
        single = {share: replace(NO_AUGMENTATION, **{share: 1}) for share in shares}
        results: dict[str, Any] = {
            "patch": patch,
            "presets ms": {each: milliseconds(case, patch, PRESETS[each], samples) for each in PRESETS},
            "always one change ms": {each: milliseconds(case, patch, single[each], samples // 5) for each in single},
        }
        if options.peer:
            results["nnU-Net"] = of_peer(options.peer, Path(name), patch, samples)
            results["ours / nnU-Net"] = round(results["presets ms"]["default"] / results["nnU-Net"]["ms"], 3)
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
