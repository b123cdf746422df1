"""Which patch of a case is shown next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.data import Index
    from DeepSegmentLib.training.cases.prepared_case import PreparedCase


def has_background(case: PreparedCase) -> bool:
    """Whether channel 0 of the network is the background: so it is for labels, which share one layer."""
    return len(case.places) != len(case.labels)


def choose_centre(
    case: PreparedCase,
    patch_shape: Index,
    rng: np.random.Generator,
    *,
    foreground: float = 1 / 3,
    weights: Sequence[float] | None = None,
) -> Index:
    """Draw the voxel in whose place a patch is cut, by nnU-Net's rule.

    The patch stays inside the case as far as it fits in; along an axis where it does not, the case is in its middle.

    Args:
        case: Which one.
        patch_shape: Extent (k, j, i) in voxels.
        rng: Source of the numbers.
        foreground: How often the patch holds a voxel of a segment that the case has; all of them equally often.
        weights: For each output channel how often its turn comes instead, in proportion; channels of weight 0 are
            left out, and so is the background always.

    Returns:
        The voxel (k, j, i) `patch_shape[axis] // 2` behind the first one of the patch; see `cut_patch`.

    Raises:
        InvalidInputError: There are not as many weights as channels, or one is negative.
    """
    chances = _chances(case, weights)
    voxel = None
    if chances.any() and rng.random() < foreground:
        places = case.places[int(rng.choice(len(chances), p=chances / chances.sum()))]
        voxel = places[int(rng.integers(len(places)))]
    centre = []
    for axis, (size, extent) in enumerate(zip(case.shape, patch_shape, strict=True)):
        first, last = min(0, (size - extent) // 2), max(size - extent, (size - extent) // 2)
        start = rng.integers(first, last + 1) if voxel is None else voxel[axis] - extent // 2
        centre.append(int(np.clip(start, first, last)) + extent // 2)
    return as_index(centre)


def _chances(case: PreparedCase, weights: Sequence[float] | None) -> np.ndarray:
    """How often each channel is drawn, in proportion."""
    chances = np.ones(len(case.places)) if weights is None else np.array(weights, dtype=float)
    if len(chances) != len(case.places) or not (np.isfinite(chances) & (chances >= 0)).all():
        raise InvalidInputError(
            f"case {case.name!r} has {len(case.places)} channels, which need as many weights of 0 or more; "
            f"got {weights}"
        )
    chances[[not len(places) for places in case.places]] = 0
    if has_background(case):
        chances[0] = 0
    return chances
