"""A trunk made of balls and tubes in Hounsfield units, and a small network that finds its organs.

For pictures: the real weights of TotalSegmentator cannot be had in tests. Each organ has an intensity of its own, which
is all that the network learns; names, numbers and files are TotalSegmentator's.
"""

from itertools import pairwise

import numpy as np
import torch
from foreign_models import nnunet
from foreign_models.totalsegmentator import task_named, write_weights

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
_LIFT, _LEAK = 10.0, 0.01  # the first makes all intensities positive, the second is that of the activations
_SHARPNESS = 400.0  # probabilities change within some 5 HU


def phantom():
    """Voxels (k, j, i) in HU and labels of TotalSegmentator's total task, on a grid with axes R, A, S."""
    half = np.array([150.0, 105.0, 130.0])
    shape = np.ceil(2 * (half + 10) / _SPACING).astype(int)
    k, j, i = np.indices(shape[::-1])
    r, a, s = ((each - n / 2 + 0.5) * _SPACING / size for each, n, size in zip((i, j, k), shape, half, strict=True))
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
    return voxels + np.random.default_rng(0).normal(0, 3, voxels.shape), labels


def write_phantom(path):
    """The phantom as a file, on the grid of the network."""
    voxels, _labels = phantom()
    geometry = Geometry.from_spacing(voxels.shape, (_SPACING,) * 3)
    write_volume(Volume(voxels[None].astype(np.int16), geometry, path.stem), path)


def write_network(root):
    """What the weight archive of the model unpacks to: a network that finds the phantom's organs."""
    described = nnunet.architecture(
        norm_op="torch.nn.modules.batchnorm.BatchNorm3d"  # unlike instance norm it leaves intensities as they are
    )
    folder = write_weights(root, task_named(MODEL), NUMBER, patch_size=[64, 64, 64], architecture=described)
    network = nnunet.foreign_network(described, 1, len(task_named(MODEL).classes) + 1)
    with torch.no_grad():
        _make_transparent(network)
        _name_intensities(network)
    changes = {"trainer_name": "nnUNetTrainerNoMirroring", "inference_allowed_mirroring_axes": None}
    checkpoint = nnunet.checkpoint_of(network, task_named(MODEL).configuration, **changes)
    torch.save(checkpoint, next(folder.rglob("checkpoint_final.pth")))


def _make_transparent(network):
    """Let the first channel of each layer at full resolution be the normalised intensity + 10, and all else be 0."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.weight.zero_()
            module.bias.zero_()
        elif isinstance(module, torch.nn.BatchNorm3d):
            module.reset_parameters()
            module.running_var.sub_(module.eps)
    first, *others = (each.conv for each in network.encoder.stages[0][0].convs)
    first.weight[0, 0, 1, 1, 1], first.bias[0] = 1.0, _LIFT
    for conv in others:
        conv.weight[0, 0, 1, 1, 1] = 1.0
    for n, each in enumerate(network.decoder.stages[-1].convs):
        skipped = each.conv.in_channels // 2 if n == 0 else 0  # what comes from below is first
        each.conv.weight[0, skipped, 1, 1, 1] = 1.0


def _name_intensities(network):
    """Let the class of the nearest intensity win: -(x - m)^2 is, but for x^2, the same for all, linear in x.

    Background is the largest of three such functions; the bends are made by the last activation.
    """
    names = {name: n for n, name in enumerate(task_named(MODEL).classes, start=1)}
    organs = {names[name]: lifted(hu) for name, (*_place, hu) in (_ORGANS | _TUBES).items()}
    slopes = [lifted(hu) for hu in (_AIR, _FAT, _BODY)]
    last, head = network.decoder.stages[-1].convs[-1].conv, network.decoder.seg_layers[-1]
    head.bias.fill_(-1e6)
    for number, middle in organs.items():
        head.weight[number, 0], head.bias[number] = 2 * middle * _SHARPNESS, -(middle**2) * _SHARPNESS
    head.weight[0, 0], head.bias[0] = 2 * slopes[0] * _SHARPNESS, -(slopes[0] ** 2) * _SHARPNESS
    for channel, (low, high) in enumerate(pairwise(slopes), start=1):
        bend, rise = (low + high) / 2, 2 * (high - low) * _SHARPNESS
        last.weight[channel] = last.weight[0]
        last.bias[channel] = -bend
        # A leaky ReLU is 0.99 times a ReLU and a hundredth of its input.
        head.weight[0, channel] = rise / (1 - _LEAK)
        head.weight[0, 0] -= _LEAK * rise / (1 - _LEAK)
        head.bias[0] += _LEAK * rise * bend / (1 - _LEAK)


def lifted(hounsfield):
    """An intensity as the network has it inside."""
    low, high, mean, std = (nnunet.CT[key] for key in ("percentile_00_5", "percentile_99_5", "mean", "std"))
    return (min(max(hounsfield, low), high) - mean) / std + _LIFT
