"""Blocks hold what they must; coarse blocks keep what matters."""

from dataclasses import replace

import numpy as np
import pytest
from correction_worlds import random_domain
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from strategies import inner_boxes, masks, shapes, spacings

from DeepSegmentLib.correction.rules.domain import (
    block_around,
    coarsened,
    coarsening,
    distance_mm,
    mask_of,
    picked,
    refined,
)
from DeepSegmentLib.data import Box

seeds = st.integers(0, 2**32 - 1)
factor = st.integers(1, 4)


@given(data=st.data(), shape=shapes(12), reach_mm=st.floats(0.1, 20), spacing_mm=spacings(0.3, 4))
def test_a_block_holds_all_voxels_within_reach(data, shape, reach_mm, spacing_mm):
    rng = np.random.default_rng(data.draw(seeds))
    indices = rng.integers(0, shape, (int(rng.integers(1, 4)), 3))
    box = block_around(indices, reach_mm, spacing_mm, shape)
    steps = (np.argwhere(np.ones(shape, dtype=bool))[:, None] - indices) * spacing_mm
    near = (np.abs(steps).max(axis=2) <= reach_mm).any(axis=1).reshape(shape)
    inside = np.zeros(shape, dtype=bool)
    inside[box.to_slices()] = True
    assert Box.of_shape(shape).contains(box)
    assert not (near & ~inside).any()


@given(data=st.data(), mask=masks())
def test_a_mask_of_a_box_is_the_cut_out_mask(data, mask):
    box = data.draw(inner_boxes(mask.shape))
    assert np.array_equal(mask_of(np.argwhere(mask), box), mask[box.to_slices()])


@given(data=st.data(), shape=shapes(8), spacing_mm=spacings(), count=st.integers(1, 9))
def test_distance_is_that_of_scipy(data, shape, spacing_mm, count):
    source = np.zeros(shape, dtype=bool)
    source.flat[np.random.default_rng(data.draw(seeds)).integers(0, source.size, count)] = True
    found = distance_mm(source, spacing_mm)
    assert found.dtype == np.float32
    assert np.allclose(found, ndimage.distance_transform_edt(~source, sampling=spacing_mm), rtol=1e-5)


@given(seed=seeds, shape=shapes(12), spacing_mm=spacings(0.3, 4), most=st.integers(1, 800))
def test_coarsening_is_just_enough(seed, shape, spacing_mm, most):
    domain = random_domain(seed, shape, spacing_mm)
    factors = coarsening(domain, most)
    assert all(1 <= n <= size for n, size in zip(factors, shape, strict=True))
    assert np.prod([-(-size // n) for n, size in zip(factors, shape, strict=True)]) <= most
    assert (factors == (1, 1, 1)) == (np.prod(shape) <= most)


def test_the_finest_axes_are_coarsened_first():
    assert coarsening(random_domain(0, (8, 16, 16), (4, 1, 1)), 600) == (1, 2, 2)


@given(seed=seeds, shape=shapes(10), factors=st.tuples(factor, factor, factor))
def test_a_coarse_domain_keeps_what_matters(seed, shape, factors):
    factors = tuple(min(n, size) for n, size in zip(factors, shape, strict=True))
    domain = random_domain(seed, shape, (1, 2, 3))
    coarse = coarsened(domain, factors)
    arrays = (coarse.free, coarse.must, coarse.source, coarse.target, coarse.against, coarse.distance_mm)
    expected = np.zeros(shape)[picked(shape, factors)].shape
    assert {array.shape for array in (*arrays, coarse.channels[0], coarse.probability)} == {expected}
    assert coarse.spacing_mm == tuple(n * step for n, step in zip(factors, (1, 2, 3), strict=True))
    assert coarse.source.any()
    assert coarse.must.any() == domain.must.any()
    for held in (coarse.must, coarse.against):
        assert not (held & coarse.free & coarse.target).any()
    sides = [coarse.free, coarse.must, coarse.target]
    assert max(np.sum(sides, axis=0, dtype=int).max(), 0) <= 1, "a voxel is on two sides"
    assert coarse.channels.min() >= domain.channels.min() - 1e-3
    assert coarse.channels.max() <= domain.channels.max() + 1e-3


@given(seed=seeds, shape=shapes(10))
def test_coarsening_by_one_changes_nothing(seed, shape):
    domain = replace(random_domain(seed, shape), probability=None)
    same = coarsened(domain, (1, 1, 1))
    for name in ("channels", "free", "must", "source", "target", "against", "distance_mm"):
        assert np.array_equal(getattr(same, name), getattr(domain, name)), name
    assert same.probability is None


@given(seed=seeds, shape=shapes(10), factors=st.tuples(factor, factor, factor))
def test_refined_values_pass_through_the_coarse_ones(seed, shape, factors):
    factors = tuple(min(n, size) for n, size in zip(factors, shape, strict=True))
    picks = picked(shape, factors)
    values = np.random.default_rng(seed).random(np.zeros(shape)[picks].shape, dtype=np.float32)
    fine = refined(values, factors, shape)
    assert fine.shape == shape
    assert np.allclose(fine[picks], values, atol=1e-6)
    assert fine.min() >= values.min() - 1e-6
    assert fine.max() <= values.max() + 1e-6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ramp_stays_a_ramp(axis):
    shape, factors = (9, 9, 9), (3, 3, 3)
    ramp = np.indices(shape)[axis].astype(np.float32)
    fine = refined(ramp[picked(shape, factors)], factors, shape)
    assert np.allclose(fine, np.clip(ramp, 1, 7))


def test_the_finest_voxel_size():
    assert random_domain(0, (3, 3, 3), (3, 0.5, 2)).finest_mm == 0.5
