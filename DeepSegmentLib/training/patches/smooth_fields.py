"""Fields that change smoothly over a patch, from few random numbers at control points."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from DeepSegmentLib.data import Index


def smooth_field(points: Index, shape: Index, rng: np.random.Generator) -> Tensor:
    """A random field (k, j, i), normally distributed with standard deviation 1 at each of its voxels.

    Args:
        points: How many spans between control points there are along each axis.
        shape: Of the field, in voxels.
        rng: Where the numbers at the control points come from.

    References:
        Rueckert et al., IEEE Trans Med Imaging 1999 (cubic B-splines as free-form deformations).
    """
    field = torch.from_numpy(rng.standard_normal([n + 3 for n in points], dtype=np.float32))
    return along_axes(field, [_spline_weights(n, size) for n, size in zip(points, shape, strict=True)])


def along_axes(volume: Tensor, matrices: list[Tensor | None]) -> Tensor:
    """A volume (k, j, i) with a matrix (after, before) applied along each axis; None leaves an axis as it is."""
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            volume = torch.movedim(torch.tensordot(matrix, volume, dims=([1], [axis])), 0, axis)
    return volume.contiguous()


@lru_cache(maxsize=64)
def _spline_weights(spans: int, size: int) -> Tensor:
    """Weights (voxel, control point) of cubic B-splines, of which the squares of each voxel add up to 1."""
    place = (np.arange(size) + 0.5) / size * spans
    first = np.minimum(place.astype(int), spans - 1)
    t = place - first
    parts = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    weights = np.zeros((size, spans + 3), np.float32)
    np.put_along_axis(weights, first[:, None] + np.arange(4), parts.astype(np.float32), axis=1)
    return torch.from_numpy(weights / np.linalg.norm(weights, axis=1, keepdims=True))
