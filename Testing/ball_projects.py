"""Noisy volumes with two bright balls, to learn from."""

import numpy as np

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume

BALLS = (Segment("Bright ball", 1), Segment("Dark ball", 2))


def ball_case(seed, shape=(16, 18, 20)):
    """Two balls side by side, one bright and one dark, on a noisy ground."""
    rng = np.random.default_rng(seed)
    place = np.indices(shape).astype(float)
    middles = rng.uniform((6, 7, 4), (9, 10, 5)), rng.uniform((6, 7, 14), (9, 10, 16))
    labels = np.zeros(shape, np.uint8)
    for value, middle in zip((2, 1), middles, strict=True):
        labels[((place - middle[:, None, None, None]) ** 2).sum(0) < 12] = value
    voxels = rng.normal(0, 0.3, shape) + np.choose(labels, [0, 2, -2])
    geometry = Geometry.from_spacing(shape, (1, 1, 1))
    return Volume(voxels[None].astype(np.float32), geometry), LabelMap(labels[None], geometry, BALLS)
