"""Patches whose intensities are drawn anew for each structure, so that a network learns shapes beside grey values.

What has no label, most of a body, is parted by its own intensities first, as k-means does, so that its shapes stay too.

References:
    Billot et al., SynthSeg, Medical Image Analysis 2023, section 3 (intensities as a mixture of Gaussians; where only
    some structures are labelled, the rest is clustered).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from .intensity_changes import blurred, random_normal

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_PARTS = (2, 7)
"""Of what has no label: fewest, and one more than most."""
_LOOKED_AT = 4096
"""Voxels that the parts and the range are found by."""
_ROUNDS = 5
_SPREAD = (0.01, 0.12)
"""Standard deviation within a structure, as a part of the range of intensities; that of `synthesis.py`."""
_BLUR_VOXELS = (0.3, 0.9)
_USUAL = (0.5, 99.5)
"""Percentiles between which new means lie."""


def with_random_contrast(image: Tensor, classes: Tensor, rng: np.random.Generator) -> Tensor:
    """An image with new intensities: a mean and a texture for each structure, within the range that it had.

    Args:
        image: (channel, k, j, i) of float32; each channel is drawn for itself.
        classes: The structure of each voxel (k, j, i), int64; 0 where there is none.
        rng: Source of the numbers.

    Returns:
        An image of the same shape and type.
    """
    return torch.stack([_painted(channel, classes, rng) for channel in image])


def _painted(channel: Tensor, classes: Tensor, rng: np.random.Generator) -> Tensor:
    """Give each structure a random mean and texture, and borders as wide as those of a real image."""
    chosen = torch.from_numpy(rng.integers(channel.numel(), size=_LOOKED_AT))
    sample = channel.reshape(-1)[chosen]
    tissues = _tissues(channel, classes, sample[classes.reshape(-1)[chosen] == 0].numpy(), rng)
    count = int(tissues.max()) + 1
    low, high = np.percentile(sample.numpy(), _USUAL)
    means, spreads = low + (high - low) * rng.random(count), (high - low) * rng.uniform(*_SPREAD, count)
    k, j, i = channel.shape
    painted = random_normal((k, j, i), rng).mul_(_looked_up(spreads, tissues)).add_(_looked_up(means, tissues))
    return blurred(painted, [float(rng.uniform(*_BLUR_VOXELS)) for _ in range(3)])


def _tissues(channel: Tensor, classes: Tensor, unlabelled: NDArray[np.float32], rng: np.random.Generator) -> Tensor:
    """The structure of each voxel, or the part of what has no label, from a sample of that."""
    parts = int(rng.integers(*_PARTS)) if len(unlabelled) else 1
    tissues = torch.where(classes > 0, classes + (parts - 1), 0).to(torch.int32)
    for border in _borders(unlabelled, parts, rng) if parts > 1 else ():
        tissues += (channel > float(border)) & (classes == 0)
    return tissues


def _looked_up(table: NDArray[np.float64], tissues: Tensor) -> Tensor:
    values = torch.from_numpy(table.astype(np.float32))
    return torch.index_select(values, 0, tissues.reshape(-1)).reshape(tissues.shape)


def _borders(sample: NDArray[np.float32], parts: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The intensities that part neighbouring clusters of k-means (Lloyd's rounds from values drawn at random)."""
    means = np.sort(rng.choice(sample, parts))
    for _ in range(_ROUNDS):
        nearest = np.searchsorted(_middles(means), sample)
        counts, sums = np.bincount(nearest, minlength=parts), np.bincount(nearest, sample, minlength=parts)
        means = np.sort(np.where(counts > 0, sums / np.maximum(counts, 1), means))
    return _middles(means)


def _middles(means: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.array([(a + b) / 2 for a, b in pairwise(means)], np.float32)
