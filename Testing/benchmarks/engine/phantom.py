"""A made CT: a body of soft tissue in air, organs that are ellipsoids of different CT numbers, noise."""

from __future__ import annotations

import numpy as np

ORGANS = 116
_SEED = 20
_NOISE_HU = 15
_AIR_HU, _TISSUE_HU = -1000, 30
_RANGE_HU = (-400, 900)


def _organs() -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Centre and radii as fractions of the volume, and CT number, in the order of these numbers."""
    random = np.random.default_rng(_SEED)
    numbers = np.linspace(*_RANGE_HU, ORGANS)
    found = []
    for number in numbers:
        direction = random.normal(size=3)
        distance = 0.36 * random.uniform() ** (1 / 3)
        centre = 0.5 + distance * direction / np.linalg.norm(direction)
        found.append((centre, random.uniform(0.04, 0.1, 3), float(number)))
    return found


def _box(shape: tuple[int, ...], centre: np.ndarray, radii: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray]:
    """Where an ellipsoid lies, and which voxels there are in it."""
    low = [max(0, int((c - r) * n)) for c, r, n in zip(centre, radii, shape, strict=True)]
    high = [min(n, int((c + r) * n) + 2) for c, r, n in zip(centre, radii, shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    squares = [
        (((np.arange(a, b) + 0.5) / n - c) / r).astype(np.float32) ** 2
        for a, b, n, c, r in zip(low, high, shape, centre, radii, strict=True)
    ]
    return box, np.add.outer(np.add.outer(squares[0], squares[1]), squares[2]) <= 1


def voxels_of(shape: tuple[int, int, int]) -> np.ndarray:
    """CT numbers (k, j, i), int16; the same picture whatever the shape, but for the noise."""
    voxels = np.full(shape, _AIR_HU, np.int16)
    box, inside = _box(shape, np.full(3, 0.5), np.full(3, 0.46))
    voxels[box][inside] = _TISSUE_HU
    for centre, radii, number in _organs():
        box, inside = _box(shape, centre, radii)
        voxels[box][inside] = round(number)
    random = np.random.default_rng(_SEED)
    for plane in range(shape[0]):
        voxels[plane] += np.rint(_NOISE_HU * random.standard_normal(shape[1:], np.float32)).astype(np.int16)
    return voxels


def labels_of(shape: tuple[int, int, int], classes: int) -> np.ndarray:
    """What a network shall find (k, j, i): organs of like CT number are one class where there are few classes."""
    labels = np.zeros(shape, np.int64)
    for n, (centre, radii, _) in enumerate(_organs()):
        box, inside = _box(shape, centre, radii)
        labels[box][inside] = 1 + n * (classes - 1) // ORGANS
    return labels
