"""Blending gives back what was cut, whatever the tiles."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from DeepSegmentLib.data import Box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.blending import SlabBlender, importance_map
from DeepSegmentLib.imaging.tiling import plan_tiles

extents = st.tuples(*[st.integers(1, 20)] * 3)
patches = st.tuples(*[st.integers(1, 12)] * 3)


def _blend(array, patch, overlap, weights=None):
    tiles = tuple(plan_tiles(array.shape[1:], patch, overlap=overlap))
    weights = importance_map(tiles[0].shape) if weights is None else weights
    blender = SlabBlender(len(array), array.shape[1:], tiles[0].shape[0])
    planes = []
    for first, row in groupby(tiles, key=lambda tile: tile.start[0]):
        planes += blender.release(first)
        for tile in row:
            blender.add(tile, array[(slice(None), *tile.to_slices())], weights)
    return [*planes, *blender.release(array.shape[1])]


@given(shape=extents, patch=patches, overlap=st.floats(0, 0.8), seed=st.integers(0, 1000))
def test_blending_gives_back_what_was_cut(shape, patch, overlap, seed):
    array = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    planes = _blend(array, patch, overlap)
    assert np.allclose(np.stack([plane for _, plane in planes], axis=1), array, atol=1e-5)


@given(shape=extents, patch=patches, overlap=st.floats(0, 0.8))
def test_every_plane_comes_once_first_to_last(shape, patch, overlap):
    planes = _blend(np.zeros((1, *shape), np.float32), patch, overlap)
    assert [k for k, _ in planes] == list(range(shape[0]))


@given(shape=extents, patch=patches, overlap=st.floats(0, 0.8), seed=st.integers(0, 1000))
def test_planes_equal_the_weighted_mean_over_the_whole_array(shape, patch, overlap, seed):
    rng = np.random.default_rng(seed)
    tiles = tuple(plan_tiles(shape, patch, overlap=overlap))
    weights = importance_map(tiles[0].shape)
    total, weight = np.zeros(shape), np.zeros(shape)
    values = [rng.normal(size=tile.shape).astype(np.float32) for tile in tiles]
    blender = SlabBlender(1, shape, tiles[0].shape[0])
    planes = []
    for first, row in groupby(zip(tiles, values, strict=True), key=lambda pair: pair[0].start[0]):
        planes += blender.release(first)
        for tile, value in row:
            blender.add(tile, value[None], weights)
            total[tile.to_slices()] += value.astype(float) * weights
            weight[tile.to_slices()] += weights
    planes += blender.release(shape[0])
    assert np.allclose(np.stack([plane[0] for _, plane in planes]), total / weight, atol=1e-4)


@given(shape=extents)
def test_importance_is_positive_symmetric_and_highest_in_the_middle(shape):
    weights = importance_map(shape)
    assert weights.min() > 0
    assert weights.max() == weights[tuple(n // 2 for n in shape)] <= 1
    assert np.allclose(weights, weights[::-1, ::-1, ::-1])


def test_the_truncated_gaussian_is_that_of_nnunet():
    """A point in the middle filtered by SciPy, a top of 10 in float16, and the least value where nothing is left."""
    for shape in ((8, 12, 5), (1, 7, 64), (33, 2, 1)):
        point = np.zeros(shape)
        point[tuple(n // 2 for n in shape)] = 1
        filtered = ndimage.gaussian_filter(point, [n / 8 for n in shape], mode="constant")
        half = (filtered / filtered.max() * 10).astype(np.float16)
        half[half == 0] = half[half > 0].min()
        np.testing.assert_array_equal(importance_map(shape, "truncated_gaussian"), half.astype(np.float32))


def test_the_gaussian_is_that_of_monai():
    """`compute_importance_map`: exp(-x^2 / 2 sigma^2) along each axis, sigma an eighth, none below 1e-3."""
    for shape in ((8, 12, 5), (1, 7, 64)):
        grid = np.meshgrid(*[np.arange(-(n - 1) / 2, (n - 1) / 2 + 1) for n in shape], indexing="ij")
        exponents = [-(x**2) / (2 * (n * 0.125) ** 2) for x, n in zip(grid, shape, strict=True)]
        np.testing.assert_allclose(importance_map(shape), np.maximum(np.exp(sum(exponents)), 1e-3), rtol=1e-5)


def test_uniform_importance_is_the_same_everywhere():
    assert {*importance_map((2, 3, 4), "uniform").ravel()} == {1}


def test_importance_falls_as_a_gaussian_of_an_eighth():
    weights = importance_map((1, 1, 65))[0, 0]
    assert weights[32 + 8] == pytest.approx(np.exp(-0.5 * (8 / (65 / 8)) ** 2), rel=1e-5)


def test_a_tile_before_the_released_planes_is_refused():
    blender = SlabBlender(1, (8, 2, 2), 4)
    blender.add(Box((0, 0, 0), (4, 2, 2)), np.ones((1, 4, 2, 2), np.float32), np.ones((4, 2, 2), np.float32))
    assert [k for k, _ in blender.release(2)] == [0, 1]
    with pytest.raises(InvalidInputError, match="does not fit"):
        blender.add(Box((1, 0, 0), (5, 2, 2)), np.ones((1, 4, 2, 2), np.float32), np.ones((4, 2, 2), np.float32))
