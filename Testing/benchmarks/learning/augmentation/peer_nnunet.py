"""Milliseconds of one thread for a patch by nnU-Net's loader and transforms, in its environment.

    PEER_PYTHON .../peer_nnunet.py FOLDER K J I SAMPLES

FOLDER holds `image.npy` and `labels.npy` (channel, k, j, i). As its `nnUNetDataLoader` does: a block large enough for
turns is cropped at random and padded, then `get_training_transforms` makes the patch of it.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

TURN = 30 / 360 * 2 * np.pi
WARM_UP = 60
"""Patches that do not count: its blur tries at first which way is the quickest."""


def main() -> None:
    """Time the patches and print the mean."""
    folder, samples = Path(sys.argv[1]), int(sys.argv[5])
    patch = np.array([int(word) for word in sys.argv[2:5]])
    torch.set_num_threads(1)
    np.random.seed(1)  # noqa: NPY002 - what its transforms draw from
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    image = np.load(folder / "image.npy").astype(np.float32)  # as it keeps them
    labels = np.load(folder / "labels.npy").astype(np.int16)
    turns = (-TURN, TURN)
    transforms = nnUNetTrainer.get_training_transforms(patch, turns, None, (0, 1, 2), do_dummy_2d_data_aug=False)
    block = np.array(get_patch_size(patch, turns, turns, turns, (0.85, 1.25)))
    begun = 0.0
    for n in range(-WARM_UP, samples):
        if n == 0:
            begun = time.process_time()
        margin = block - patch
        starts = [
            rng.integers(-m // 2, size + m // 2 - extent, endpoint=True)
            for m, size, extent in zip(margin, image.shape[1:], block, strict=True)
        ]
        box = [[int(a), int(a + extent)] for a, extent in zip(starts, block, strict=True)]
        voxels = torch.from_numpy(crop_and_pad_nd(image, box, 0)).float()
        classes = torch.from_numpy(crop_and_pad_nd(labels, box, -1)).to(torch.int16)
        with torch.no_grad():
            transforms(image=voxels, segmentation=classes)
    mean = (time.process_time() - begun) / samples * 1000
    versions = {name: version(name) for name in ("nnunetv2", "batchgeneratorsv2", "torch")}
    print(json.dumps({"ms": round(mean, 2), "versions": versions}))


if __name__ == "__main__":
    main()
