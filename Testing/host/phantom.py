"""A trunk made of balls and tubes in Hounsfield units, and a small network that finds its organs, in half a minute.

For pictures: the real weights of TotalSegmentator cannot be had in tests. Each organ has an intensity of its own, which
is all that the network learns; names, numbers and files are TotalSegmentator's.
"""

import json

import nnunet_examples
import numpy as np
import torch
from totalsegmentator_examples import task_named, write_weights

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.volumes import write_volume

MODEL, NUMBER = "totalseg-total-fast", 297
_SPACING = 3.0
# Middle (right, front, up) and half-axes as parts of the trunk's half width, in RAS, and the intensity in HU.
_ORGANS = {
    "liver": ((0.42, 0.15, -0.1), (0.42, 0.55, 0.38), 110),
    "spleen": ((-0.62, -0.35, -0.1), (0.2, 0.3, 0.25), 150),
    "stomach": ((-0.4, 0.3, -0.15), (0.22, 0.28, 0.25), 5),
    "gallbladder": ((0.3, 0.55, -0.5), (0.1, 0.12, 0.14), -30),
    "kidney_right": ((0.38, -0.45, -0.68), (0.16, 0.2, 0.24), 190),
    "kidney_left": ((-0.38, -0.45, -0.65), (0.16, 0.2, 0.24), 220),
    "lung_lower_lobe_right": ((0.45, 0.0, 0.72), (0.36, 0.6, 0.42), -850),
    "lung_lower_lobe_left": ((-0.45, 0.0, 0.72), (0.36, 0.6, 0.42), -680),
    "heart": ((-0.1, 0.3, 0.62), (0.26, 0.3, 0.3), 75),
}
_TUBES = {"aorta": ((-0.08, -0.35), 0.07, 245), "vertebrae_L1": ((0.0, -0.65), 0.17, 268)}
_BODY, _FAT, _AIR = 40, -100, -1000
_ITERATIONS, _PATCH = 60, 32


def phantom(spacing_mm=_SPACING, seed=0):
    """Voxels (k, j, i) in HU and labels of TotalSegmentator's total task, on a grid with axes R, A, S."""
    half = np.array([150.0, 105.0, 130.0])
    shape = np.ceil(2 * (half + 10) / spacing_mm).astype(int)
    k, j, i = np.indices(shape[::-1])
    r, a, s = ((each - n / 2 + 0.5) * spacing_mm / size for each, n, size in zip((i, j, k), shape, half, strict=True))
    voxels = np.full(k.shape, float(_AIR))
    inside = r**2 + a**2
    voxels[inside < 1] = _FAT
    voxels[inside < 0.85] = _BODY
    labels = np.zeros(k.shape, np.uint8)
    numbers = {name: n for n, name in enumerate(task_named(MODEL).classes, start=1)}
    for name, (middle, axes, intensity) in _ORGANS.items():
        there = sum(((x - m) / n) ** 2 for x, m, n in zip((r, a, s), middle, axes, strict=True)) < 1
        voxels[there & (inside < 0.85)], labels[there & (inside < 0.85)] = intensity, numbers[name]
    for name, ((right, front), radius, intensity) in _TUBES.items():
        there = (r - right) ** 2 + ((a - front) * half[1] / half[0]) ** 2 < radius**2
        voxels[there], labels[there] = intensity, numbers[name]
    return voxels + np.random.default_rng(seed).normal(0, 3, voxels.shape), labels


def write_phantom(path):
    """The phantom as a file, 2.5 mm fine."""
    voxels, _labels = phantom(2.5, seed=1)
    geometry = Geometry.from_spacing(voxels.shape, (2.5, 2.5, 2.5))
    write_volume(Volume(voxels[None].astype(np.int16), geometry, path.stem), path)


def write_trained_weights(root):
    """What the weight archive of the model unpacks to, trained on the phantom."""
    folder = write_weights(root, task_named(MODEL), NUMBER, patch_size=[64, 64, 64])
    plans = json.loads(next(folder.rglob("plans.json")).read_text(encoding="utf-8"))
    described = plans["configurations"][task_named(MODEL).configuration]["architecture"]
    file = next(folder.rglob("checkpoint_final.pth"))
    network = _trained(described)
    torch.save(
        nnunet_examples.checkpoint_of(
            network, "3d_fullres", trainer_name="nnUNetTrainerNoMirroring", inference_allowed_mirroring_axes=None
        ),
        file,
    )


def _trained(described):
    """The network of all classes, of which those of the phantom were trained."""
    voxels, labels = phantom()
    known = np.unique(labels)
    values = torch.from_numpy((np.clip(voxels, -958, 270) - 70.5) / 137.9).float()
    targets = torch.from_numpy(np.searchsorted(known, labels))
    torch.manual_seed(0)
    small = nnunet_examples.foreign_network(described, 1, len(known))
    for module in small.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    small.train()
    optimizer = torch.optim.Adam(small.parameters(), 0.01)
    chance = np.random.default_rng(0)
    for n in range(_ITERATIONS):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - n / _ITERATIONS) ** 0.9
        patches, wanted = zip(*(_patch(values, targets, chance) for _ in range(2)), strict=True)
        loss = torch.nn.functional.cross_entropy(small(torch.stack(patches)), torch.stack(wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _with_all_classes(small, described, known)


def _patch(values, targets, chance):
    """A turned and mirrored cut of the phantom: the network shall not care for the order of the axes."""
    begin = [chance.integers(0, n - _PATCH + 1) for n in values.shape]
    cut = tuple(slice(n, n + _PATCH) for n in begin)
    axes, mirrored = chance.permutation(3).tolist(), [n for n in range(3) if chance.random() < 0.5]
    value, target = (each[cut].permute(axes).flip(mirrored) for each in (values, targets))
    return value[None], target


def _with_all_classes(small, described, known):
    """The same network with an output for each class; those that it does not know are never the largest."""
    classes = len(task_named(MODEL).classes) + 1
    network = nnunet_examples.foreign_network(described, 1, classes)
    state = network.state_dict()
    for name, tensor in small.state_dict().items():
        if state[name].shape == tensor.shape:
            state[name] = tensor
        else:
            state[name] = torch.full_like(state[name], -30.0 if name.endswith("bias") else 0.0)
            state[name][torch.from_numpy(known.astype(np.int64))] = tensor
    network.load_state_dict(state)
    return network.eval()
