"""Masks as they are before somebody corrects them: wobbling borders, bites, leaks, missing parts, nothing yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from .scenes import smooth_noise

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .scenes import Scene

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float32]

_BEGINNINGS = 0.06
"""Part of the masks that are empty or a small ball: the user has just begun."""

_LOCAL = 0.5
"""Part of the masks that are right but for five spots."""


def mistaken(scene: Scene, rng: Generator) -> Mask:
    """A mask (k, j, i) that somebody would want to correct to the scene's truth."""
    truth = scene.truth
    depth = _signed_distance(truth)
    radius = float((3 * truth.sum() / (4 * np.pi)) ** (1 / 3))
    if rng.random() < _BEGINNINGS:
        return _begun(truth, depth, radius, rng)
    local = rng.random() < _LOCAL
    mask = _wobbled(depth, 0.0, min(1.3, 0.07 * radius), rng) if local else _wrong(truth, depth, radius, rng)
    values = scene.image[truth]
    alike = np.abs(scene.image - np.median(values)) < 1.5 * values.std()
    border = np.argwhere(np.abs(depth) < 1)
    for _ in range(5 if local else int(rng.integers(1, 7))):
        mask = _changed(mask, _spot(border, radius, mask.shape, rng), alike, rng)
    return mask


def _wrong(truth: Mask, depth: Floats, radius: float, rng: Generator) -> Mask:
    """Wrong as a whole: too large or too small, shifted, cut off, without some slices."""
    shift = rng.uniform(-0.12, 0.12) * radius if rng.random() < 0.4 else 0.0
    mask = _wobbled(depth, shift, float(np.clip(rng.uniform(0.02, 0.13) * radius, 0.2, 2.5)), rng)
    if rng.random() < 0.12:
        mask = np.roll(mask, rng.integers(-3, 4, 3), (0, 1, 2))
    if rng.random() < 0.25:
        mask &= _one_side(truth, rng)
    if rng.random() < 0.15:
        mask &= ~_slab(truth, rng)
    return mask


def _signed_distance(mask: Mask) -> Floats:
    """Voxels from the border, positive inside."""
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), dtype=np.float32)


def _squared_distance(shape: tuple[int, ...], middle: NDArray[np.int64]) -> Floats:
    k, j, i = ((np.arange(n) - m) ** 2 for n, m in zip(shape, middle, strict=True))
    return np.asarray(k[:, None, None] + j[:, None] + i, dtype=np.float32)


def _begun(truth: Mask, depth: Floats, radius: float, rng: Generator) -> Mask:
    if rng.random() < 0.3:
        return np.zeros_like(truth)
    deep = np.argwhere(depth >= 0.6 * depth.max())
    ball = _squared_distance(truth.shape, deep[rng.integers(len(deep))]) < rng.uniform(0, 0.5 * radius) ** 2
    return np.asarray(ball & truth)


def _wobbled(depth: Floats, shift: float, by: float, rng: Generator) -> Mask:
    """The border moved outwards by a shift, and here and there by somewhat more or less; all in voxels."""
    return np.asarray(depth + shift + by * smooth_noise(depth.shape, rng.uniform(2, 7), rng) > 0)


def _one_side(truth: Mask, rng: Generator) -> Mask:
    """All but one end of the structure, cut off across it."""
    direction = rng.standard_normal(3)
    along = np.tensordot(direction / np.linalg.norm(direction), np.indices(truth.shape), 1)
    limit = np.quantile(along[truth], rng.uniform(0.6, 0.93))
    return np.asarray(along + 2 * smooth_noise(truth.shape, 5.0, rng) < limit)


def _slab(truth: Mask, rng: Generator) -> Mask:
    """One to six neighboring slices of the structure."""
    axis = int(rng.integers(3))
    index = np.argwhere(truth)[:, axis]
    first = int(rng.integers(index.min(), index.max() + 1))
    number = np.arange(truth.shape[axis])
    chosen = (number >= first) & (number < first + int(rng.integers(1, 7)))
    return np.broadcast_to(np.expand_dims(chosen, [other for other in range(3) if other != axis]), truth.shape)


def _spot(border: NDArray[np.int64], radius: float, shape: tuple[int, ...], rng: Generator) -> Mask:
    """A ragged ball about a place of the border (n, 3)."""
    size = np.clip(rng.uniform(0.28, 0.63) * radius, 2.5, 20)
    away = _squared_distance(shape, border[rng.integers(len(border))])
    return np.asarray(away + 0.25 * size**2 * smooth_noise(shape, 4.0, rng) < size**2)


def _changed(mask: Mask, spot: Mask, alike: Mask, rng: Generator) -> Mask:
    """The mask with one spot gone wrong in one of five ways."""
    kind = rng.random()
    if kind < 0.44:
        return mask & ~spot
    if kind < 0.86:
        return np.asarray(mask | (spot if kind < 0.66 else spot & alike))
    if kind < 0.93:
        smoothed = ndimage.gaussian_filter(mask.astype(np.float32), 2.5) > rng.uniform(0.3, 0.7)
        return np.where(spot, smoothed, mask)
    return np.asarray(mask & ~(spot & ~alike))
