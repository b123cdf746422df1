"""To the network's grid and back: against SciPy, and nnU-Net's rules written down once more."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import stage_spec
from scipy import ndimage
from skimage.transform import resize
from strategies import directions

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.networks.stage_spec import Resampling
from DeepSegmentLib.segmentation.on_device.planes_back import WayBack, planes_back
from DeepSegmentLib.segmentation.regrid import labels_to_network, network_geometry, thick_axis, to_network

steps = st.sampled_from([0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 6.0])
spacings = st.tuples(steps, steps, steps)
shapes = st.tuples(*[st.integers(1, 14)] * 3)
orders = st.integers(0, 5)
seeds = st.integers(0, 1000)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def as_nnunet(spacing, order=3, thick=0, logits=1):
    rules = Resampling(order, logits, False, keep_extent=True, thick_axis_from=3.0, thick_volume_order=thick)
    return stage_spec(spacing_mm=spacing, resampling=rules)


def back(logits, source, target, stage):
    planes = ((k, torch.from_numpy(np.array(logits[:, k]))) for k in range(logits.shape[1]))
    return np.stack([plane.numpy() for _, plane in planes_back(planes, WayBack(source, target, stage))], axis=1)


def nnunet(channels, shape, current, wanted, *, order, thick_order):
    """nnU-Net's `resample_data_or_seg_to_shape`, written down from its description with SciPy and scikit-image."""
    if channels.shape[1:] == tuple(shape):
        return channels
    anisotropic = [each for each in (current, wanted) if max(each) / min(each) > 3][:1]
    thick = [axis for each in anisotropic for axis in range(3) if each[axis] == max(each)]
    if len(thick) != 1:
        return np.stack([edges(channel, shape, order) for channel in channels])
    axis = thick[0]
    flat = [n for a, n in enumerate(shape) if a != axis]
    result = []
    for channel in channels:
        planes = np.stack([edges(plane, flat, order) for plane in np.moveaxis(channel, axis, 0)], axis=axis)
        index = [np.arange(n, dtype=float) for n in shape]
        index[axis] = channel.shape[axis] / shape[axis] * (index[axis] + 0.5) - 0.5
        grid = np.stack(np.meshgrid(*index, indexing="ij"))
        result.append(ndimage.map_coordinates(planes, grid, order=thick_order, mode="nearest"))
    return np.stack(result)


def edges(array, shape, order):
    return resize(array.astype(float), shape, order, mode="edge", anti_aliasing=False)


@given(shapes, spacings, spacings, orders, st.sampled_from([0, 1, 3]), seeds)
def test_volumes_are_resampled_as_nnunet_does(shape, spacing, wanted, order, thick_order, seed):
    volume = Volume(noise(2, *shape, seed=seed), Geometry.from_spacing(shape, spacing))
    stage = as_nnunet(wanted, order, thick_order)
    grid = network_geometry(volume.geometry, stage)
    assert grid.shape == tuple(max(1, round(a / b * n)) for a, b, n in zip(spacing, wanted, shape, strict=True))
    expected = nnunet(volume.voxels, grid.shape, spacing, wanted, order=order, thick_order=thick_order)
    np.testing.assert_allclose(to_network(volume, grid, stage).voxels, expected, atol=2e-5)


headers = st.tuples(*[st.sampled_from([float(np.float32(n / 10)) for n in (3, 6, 12, 18, 36)])] * 3)


@given(st.tuples(*[st.integers(1, 99)] * 3), headers, headers, directions())
def test_an_oblique_volume_gets_the_grid_of_a_straight_one(shape, spacing, wanted, direction):
    """Also where half a voxel would be left over, or slices are just three times as thick."""
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    oblique = Geometry(shape, affine)
    expected = tuple(max(1, round(a / b * n)) for a, b, n in zip(spacing, wanted, shape, strict=True))
    assert network_geometry(oblique, as_nnunet(wanted)).shape == expected
    assert thick_axis(oblique.spacing_mm, wanted, 3.0) == thick_axis(spacing, wanted, 3.0)


@given(shapes, spacings, spacings, st.sampled_from([0, 1]), seeds)
def test_logits_come_back_as_nnunet_does(shape, spacing, wanted, order, seed):
    target, stage = Geometry.from_spacing(shape, spacing), as_nnunet(wanted, logits=order)
    grid = network_geometry(target, stage)
    logits = noise(3, *grid.shape, seed=seed)
    expected = nnunet(logits, shape, wanted, spacing, order=order, thick_order=0)
    np.testing.assert_allclose(back(logits, grid, target, stage), expected, atol=2e-5)


@given(shapes, spacings, orders, orders, st.booleans(), seeds)
def test_a_grid_onto_itself_changes_nothing(shape, spacing, order, thick, extent, seed):
    rules = Resampling(order, order, False, keep_extent=extent, thick_axis_from=3.0, thick_volume_order=thick)
    stage, grid = stage_spec(spacing_mm=spacing, resampling=rules), Geometry.from_spacing(shape, spacing)
    volume = Volume(noise(1, *shape, seed=seed), grid)
    assert network_geometry(grid, stage).is_close(grid)
    assert np.array_equal(to_network(volume, grid, stage).voxels, volume.voxels)
    np.testing.assert_allclose(back(volume.voxels, grid, grid, stage), volume.voxels, atol=1e-6)


@given(shapes, spacings, spacings, orders, orders, st.booleans(), seeds)
def test_values_stay_in_their_range_on_both_ways(shape, spacing, wanted, order, logits_order, extent, seed):
    rules = Resampling(order, logits_order, False, keep_extent=extent, thick_axis_from=3.0)
    stage = stage_spec(spacing_mm=wanted, resampling=rules)
    volume = Volume(noise(1, *shape, seed=seed), Geometry.from_spacing(shape, spacing))
    grid = network_geometry(volume.geometry, stage)
    there = to_network(volume, grid, stage).voxels
    for before, after in ((volume.voxels, there), (there, back(there, grid, volume.geometry, stage))):
        assert before.min() - 1e-5 <= after.min() <= after.max() <= before.max() + 1e-5


@pytest.mark.parametrize("order", range(6))
def test_long_axes_are_resampled_in_blocks_like_short_ones(order):
    line = noise(1, 3000, 1, 2)
    volume = Volume(line, Geometry.from_spacing((3000, 1, 2), (1, 1, 1)))
    for wanted in (0.37, 1.9, 200.0):
        stage = stage_spec(spacing_mm=(wanted, 1, 1), resampling=Resampling(order, antialias=False, keep_extent=True))
        grid = network_geometry(volume.geometry, stage)
        expected = edges(line[0], grid.shape, order)
        np.testing.assert_allclose(to_network(volume, grid, stage).voxels[0], expected, atol=1e-4)


def test_keeping_the_extent_keeps_every_corner():
    grid = Geometry.from_spacing((7, 9, 11), (2.0, 0.7, 1.3))
    coarse = network_geometry(grid, as_nnunet((1.9, 1.1, 2.0)))
    for corner in product((0, 1), repeat=3):
        at = [g.index_to_ras(np.array(corner) * g.shape - 0.5) for g in (grid, coarse)]
        np.testing.assert_allclose(*at, atol=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "axis"),
    [
        ((1, 1, 1), (1, 1, 1), None),
        ((5, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 4, 1), 1),
        ((5, 1, 1), (1, 4, 1), 0),
        ((5, 5, 1), (1, 4, 1), None),
        ((3, 1, 1), (1, 1, 1), None),
    ],
)
def test_the_thick_axis(first, second, axis):
    assert thick_axis(first, second, 3.0) == axis
    assert thick_axis(first, second, None) is None


@given(shapes, spacings, spacings, seeds)
def test_labels_become_those_of_the_largest_share(shape, spacing, wanted, seed):
    labels = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint16)
    source, stage = Geometry.from_spacing(shape, spacing), as_nnunet(wanted)
    grid = network_geometry(source, stage)
    ours = labels_to_network(labels, source, grid, stage)
    assert ours.dtype == labels.dtype
    assert {*np.unique(ours)} <= {*np.unique(labels)}
    never = replace(stage, resampling=replace(stage.resampling, thick_axis_from=None))
    masks = [labels == n for n in range(4)]
    shares = np.stack([edges(mask, grid.shape, 1) if mask.any() else np.zeros(grid.shape) for mask in masks])
    best = np.sort(shares, axis=0)
    sure = best[-1] - best[-2] > 1e-4
    assert np.array_equal(labels_to_network(labels, source, grid, never)[sure], shares.argmax(axis=0)[sure])


def test_back_again_no_more_planes_are_held_than_one_comes_from():
    source, target = Geometry.from_spacing((200, 2, 2), (1, 1, 1)), Geometry.from_spacing((400, 2, 2), (0.5, 1, 1))
    stage = stage_spec(resampling=Resampling(logits_order=3, keep_extent=True))
    given_planes = 0

    def planes():
        nonlocal given_planes
        for k in range(200):
            given_planes += 1
            yield k, torch.zeros(1, 2, 2)

    for k, _ in planes_back(planes(), WayBack(source, target, stage)):
        assert given_planes <= k / 2 + 20
