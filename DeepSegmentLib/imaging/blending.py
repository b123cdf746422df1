"""How much the voxels of a patch count where tiles overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data.geometry import Index


_LEAST_IMPORTANCE = 1e-3

Importance = Literal["gaussian", "truncated_gaussian", "uniform"]


def importance_map(shape: Index, kind: Importance = "gaussian") -> NDArray[np.float32]:
    """Weights (k, j, i) of a patch's voxels: mostly highest in the middle, because borders lack context.

    - "gaussian": standard deviation an eighth of the extent along each axis, none below 1e-3 (MONAI).
    - "truncated_gaussian": the same round voxel n // 2, cut off at four standard deviations, in float16 with a top of
      10; where nothing is left, the least value that there is (nnU-Net).
    - "uniform": all 1.

    Every weight is above 0, so that each covered voxel has one to divide by.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (Gaussian importance weighting); MONAI, `compute_importance_map`.
    """
    if kind == "uniform":
        return np.ones(shape, dtype=np.float32)
    profile = _gaussian if kind == "gaussian" else _truncated_gaussian
    k, j, i = (profile(n) for n in shape)
    weights = k[:, None, None] * j[:, None] * i
    if kind == "gaussian":
        return np.asarray(np.maximum(weights, _LEAST_IMPORTANCE), dtype=np.float32)
    half = (10 * weights / weights.max()).astype(np.float16)
    half[half == 0] = half[half > 0].min()
    return np.asarray(half, dtype=np.float32)


def _gaussian(n: int) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2))


def _truncated_gaussian(n: int) -> NDArray[np.float64]:
    offsets = np.arange(n) - n // 2
    reach = int(4 * n / 8 + 0.5)  # as scipy.ndimage.gaussian_filter rounds it
    return np.where(np.abs(offsets) <= reach, np.exp(-0.5 * (offsets / (n / 8)) ** 2), 0)
