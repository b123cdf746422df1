"""Blending gives back what was cut, whatever the tiles."""

from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.blending import importance_map
from DeepSegmentLib.imaging.tiling import plan_tiles
from DeepSegmentLib.segmentation.on_device.slab_blender import SlabBlender

extents = st.tuples(*[st.integers(1, 20)] * 3)
patches = st.tuples(*[st.integers(1, 12)] * 3)


def _blend(array, patch, overlap, weights=None, *, channels_last=False):
    tiles = tuple(plan_tiles(array.shape[1:], patch, overlap=overlap))
    weights = importance_map(tiles[0].shape) if weights is None else weights
    blender = SlabBlender(len(array), array.shape[1:], tiles[0].shape[0], channels_last=channels_last)
    planes = []
    for first, row in groupby(tiles, key=lambda tile: tile.start[0]):
        planes += blender.release(first)
        for tile in row:
            cut = torch.from_numpy(array[(slice(None), *tile.to_slices())])
            blender.add(tile, cut, torch.from_numpy(weights))
    planes += blender.release(array.shape[1])
    return [(k, plane.numpy()) for k, plane in planes]


@given(shape=extents, patch=patches, overlap=st.floats(0, 0.8), seed=st.integers(0, 1000), last=st.booleans())
def test_blending_gives_back_what_was_cut(shape, patch, overlap, seed, last):
    array = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    planes = _blend(array, patch, overlap, channels_last=last)
    assert np.allclose(np.stack([plane for _, plane in planes], axis=1), array, atol=1e-5)


def test_channels_lie_side_by_side_where_that_is_asked_for():
    array = np.random.default_rng(1).normal(size=(3, 4, 5, 6)).astype(np.float32)
    held, apart = (_blend(array, (4, 5, 4), 0.5, channels_last=last) for last in (True, False))
    for (_, one), (_, other) in zip(held, apart, strict=True):
        assert np.array_equal(one, other)
        assert one.strides[0] == 4 < other.strides[0]


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
            blender.add(tile, torch.from_numpy(value[None]), torch.from_numpy(weights))
            total[tile.to_slices()] += value.astype(float) * weights
            weight[tile.to_slices()] += weights
    planes += blender.release(shape[0])
    assert np.allclose(torch.stack([plane[0] for _, plane in planes]), total / weight, atol=1e-4)


def test_a_tile_before_the_released_planes_is_refused():
    blender = SlabBlender(1, (8, 2, 2), 4)
    blender.add(Box((0, 0, 0), (4, 2, 2)), torch.ones(1, 4, 2, 2), torch.ones(4, 2, 2))
    assert [k for k, _ in blender.release(2)] == [0, 1]
    with pytest.raises(InvalidInputError, match="does not fit"):
        blender.add(Box((1, 0, 0), (5, 2, 2)), torch.ones(1, 4, 2, 2), torch.ones(4, 2, 2))
