"""What the tissue under the stroke looks like, learned anew at each stroke.

A handful of features per voxel and a logistic regression that tells "like the wanted side" from "like the other side";
the examples are the stroke itself and what the segmentation already says around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LEAST_EXAMPLES = 20
"""Below this many examples of a side nothing can be learned of it."""

MOST_EXAMPLES = 1500
"""More examples of a side cost time and add nothing: 9 numbers are fitted."""

_STEPS = 6
"""Newton steps; the deviance stops falling after 4 or 5."""

_RIDGE = 1.0
"""Weight of the penalty, in examples."""

_CERTAIN = 4.0
"""Largest log-odds that appearance alone may claim."""


def features(channels: Floats, spacing_mm: Sequence[float]) -> Floats:
    """Eight features per channel: intensity at three scales, squares, gradient, difference of scales.

    Each is brought to zero mean and unit deviation over the block, so that units and contrast of the volume do not
    matter.

    Args:
        channels: Float32 array (channel, k, j, i), a block of the volume.
        spacing_mm: Voxel size along (k, j, i).

    Returns:
        Float32 array (feature, k, j, i).
    """
    finest = min(spacing_mm)
    maps: list[Floats] = []
    for channel in channels:
        plain = standardized(channel)
        fine = _blurred(plain, 1.0 * finest, spacing_mm)
        coarse = _blurred(plain, 2.5 * finest, spacing_mm)
        slope = np.sqrt(sum(g * g for g in _gradient(fine, spacing_mm)))
        maps += [plain, fine, coarse, plain**2, fine**2, coarse**2, standardized(slope), standardized(fine - coarse)]
    return np.stack(maps)


def standardized(values: Floats) -> Floats:
    """Zero mean and unit deviation; all 0 where the values are equal."""
    centered = values - values.mean(dtype=np.float64)
    deviation = float(centered.std(dtype=np.float64))
    return np.asarray(centered / deviation if deviation > 1e-12 else centered * 0, dtype=np.float32)


def _blurred(values: Floats, sigma_mm: float, spacing_mm: Sequence[float]) -> Floats:
    sigmas = [sigma_mm / step for step in spacing_mm]
    return np.asarray(ndimage.gaussian_filter(values, sigmas, truncate=2.5))


def _gradient(values: Floats, spacing_mm: Sequence[float]) -> list[Floats]:
    """Central differences per mm; 0 along an axis of one voxel."""
    return [
        np.gradient(values, step, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)
        for axis, step in enumerate(spacing_mm)
    ]


def thinned(mask: NDArray[np.bool_], most: int = MOST_EXAMPLES) -> NDArray[np.int64]:
    """Flat indices of at most `most` voxels of a mask, evenly spread in raster order."""
    chosen = np.flatnonzero(mask)
    return chosen if len(chosen) <= most else chosen[np.linspace(0, len(chosen) - 1, most).astype(np.int64)]


def fit_logistic(examples: Floats, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of a ridge logistic regression in which both sides count the same.

    Args:
        examples: Features (example, feature).
        wanted: For each example, whether it is of the wanted side; both sides occur.

    Returns:
        One weight per feature and the constant last.

    References:
        Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd ed., section 4.4.1 (Newton steps).
    """
    design = np.concatenate([examples, np.ones((len(examples), 1))], axis=1).astype(np.float64)
    share = np.where(wanted, 0.5 / wanted.sum(), 0.5 / (~wanted).sum()) * len(wanted)
    penalty = _RIDGE * np.eye(design.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        curvature = (design * (share * np.maximum(chance * (1 - chance), 1e-3))[:, None]).T @ design + penalty
        weights += np.linalg.solve(curvature, design.T @ (share * (wanted - chance)) - penalty @ weights)
    return weights


def log_odds(maps: Floats, weights: NDArray[np.float64]) -> Floats:
    """Log-odds of the wanted side for features (feature, ...), bounded."""
    score = np.tensordot(weights[:-1].astype(np.float32), maps, axes=1) + np.float32(weights[-1])
    return np.asarray(np.clip(score, -_CERTAIN, _CERTAIN), dtype=np.float32)


def separation(scores: Floats, wanted: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that an example of the wanted side scores above one of the other.

    Equal scores count half.

    Example:
        >>> separation(np.array([2.0, 1.0, 0.0], np.float32), np.array([True, True, False]))
        1.0
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # equal scores share the mean of their ranks
    n, m = int(wanted.sum()), int((~wanted).sum())
    return float((ranks[wanted].sum() - n * (n + 1) / 2) / (n * m)) if n and m else 0.5
