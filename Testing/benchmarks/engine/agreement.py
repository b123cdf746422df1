"""How far two labelmaps on one grid agree.

python Testing/benchmarks/engine/agreement.py FIRST SECOND CLASSES
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def agreement_of(first: Path, second: Path, classes: int) -> dict[str, float]:
    """Share of voxels with another label, and overlaps (Dice) of the classes that either has.

    Raises:
        ValueError: The grids differ.
    """
    a, b = sitk.ReadImage(str(first)), sitk.ReadImage(str(second))
    if a.GetSize() != b.GetSize() or not np.allclose(a.GetSpacing(), b.GetSpacing(), rtol=1e-4):
        raise ValueError(f"{first} and {second} have different grids")
    joint = np.zeros((classes, classes), np.int64)
    for plane, other in zip(sitk.GetArrayViewFromImage(a), sitk.GetArrayViewFromImage(b), strict=True):
        pairs = plane.astype(np.int64).ravel() * classes + other.ravel()
        joint += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    sizes = joint.sum(0) + joint.sum(1)
    there = sizes > 0
    dice = 2 * joint.diagonal()[there] / sizes[there]
    return {
        "differ": float(1 - joint.trace() / joint.sum()),
        "mean_dice": float(dice.mean()),
        "least_dice": float(dice.min()),
        "classes_there": int(there.sum()),
        "foreground": float(1 - joint[0].sum() / joint.sum()),
    }


if __name__ == "__main__":
    print(json.dumps(agreement_of(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
