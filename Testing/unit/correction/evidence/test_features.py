"""Evidence is finite, without units, and turns with the volume."""

from dataclasses import replace

import numpy as np
import pytest
from correction_worlds import random_domain
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from strategies import shapes, spacings

from DeepSegmentLib.correction.evidence.features import CONTEXT_FEATURES, FEATURES, box_blurred, context, gather
from DeepSegmentLib.correction.rules.domain import distance_mm

seeds = st.integers(0, 2**32 - 1)


def _open(domain):
    """The domain with at least one voxel that may change."""
    free = domain.free.copy()
    free.flat[0] |= not (free | domain.must).any()
    return replace(domain, free=free, target=domain.target & ~free)


@given(seed=seeds, shape=shapes(7), spacing_mm=spacings(0.3, 4), radius_mm=st.floats(0.1, 30))
def test_evidence_is_finite_and_bounded(seed, shape, spacing_mm, radius_mm):
    domain = _open(random_domain(seed, shape, spacing_mm, radius_mm=radius_mm))
    evidence = gather(domain)
    nodes = (domain.free | domain.must).sum()
    assert evidence.values.shape == (nodes, len(FEATURES))
    assert evidence.values.dtype == np.float32
    assert np.isfinite(evidence.values).all()
    assert evidence.edge > 0
    columns = dict(zip(FEATURES, evidence.values.T, strict=True))
    for name in ("continuation", "separation", "filled", "inside", "opposed"):
        assert columns[name].min() >= -1e-6, name
        assert columns[name].max() <= 1 + 1e-5, name
    distance = domain.distance_mm.ravel()[evidence.grid.voxels] / radius_mm
    assert np.allclose(columns["distance"], distance, rtol=1e-5)
    if domain.source.ravel()[evidence.grid.voxels].any():  # no way is shorter than the straight one, up to four radii
        assert (columns["geodesic"] >= np.minimum(distance, 4) - 1e-4).all()


@given(seed=seeds, shape=shapes(6, 2), scale=st.floats(0.02, 50), offset=st.floats(-50, 50))
def test_evidence_does_not_know_the_unit_of_intensity(seed, shape, scale, offset):
    domain = _open(random_domain(seed, shape))
    turned = replace(domain, channels=(scale * domain.channels.astype(float) + offset).astype(np.float32))
    assert np.allclose(gather(turned).values, gather(domain).values, atol=0.02, rtol=0.01)


@pytest.mark.parametrize("factor", [0.25, 2, 1024])
@given(seed=seeds, shape=shapes(6, 2))
def test_evidence_does_not_know_the_unit_of_length(factor, seed, shape):
    domain = _open(random_domain(seed, shape, (1, 0.75, 2)))
    spacing_mm = tuple(factor * step for step in domain.spacing_mm)
    larger = replace(
        domain,
        spacing_mm=spacing_mm,
        radius_mm=factor * domain.radius_mm,
        distance_mm=distance_mm(domain.source, spacing_mm),
    )
    assert np.allclose(gather(larger).values, gather(domain).values, atol=1e-3)


@given(seed=seeds, shape=shapes(6, 2))
def test_what_older_prompts_hold_is_told_apart(seed, shape):
    domain = _open(random_domain(seed, shape))
    column = FEATURES.index("opposed")
    assert (gather(replace(domain, against=np.zeros(shape, bool))).values[:, column] == 1).all()
    held = np.zeros(shape, bool)
    held.flat[-1] = True
    evidence = gather(replace(domain, against=held))
    away = ndimage.distance_transform_edt(~held).ravel()[evidence.grid.voxels]
    near = domain.distance_mm.ravel()[evidence.grid.voxels]
    assert np.allclose(evidence.values[:, column], away / np.maximum(away + near, 1), atol=1e-5)


@given(seed=seeds, shape=shapes(6, 2), level=st.floats(-4, 4))
def test_context_of_one_opinion_is_that_opinion(seed, shape, level):
    domain = replace(_open(random_domain(seed, shape)), must=np.zeros(shape, bool), target=np.zeros(shape, bool))
    domain = replace(domain, free=np.ones(shape, bool))
    evidence = gather(domain)
    found = context(domain, evidence, np.full(evidence.grid.size, level, np.float32))
    assert found.shape == (evidence.grid.size, len(CONTEXT_FEATURES))
    columns = dict(zip(CONTEXT_FEATURES, found.T, strict=True))
    chance = 1 / (1 + np.exp(-level))
    for name in ("first_near", "first_around", "first_wide", "share"):
        assert np.allclose(columns[name], chance, atol=1e-4), name
    assert np.allclose(columns["first"], level)
    assert (columns["way"][domain.source.ravel()[evidence.grid.voxels]] == 0).all()


@given(seed=seeds, shape=shapes(7), sigma_mm=st.floats(0.01, 9), spacing_mm=spacings(0.3, 4))
def test_blurring_keeps_the_range_and_constants(seed, shape, sigma_mm, spacing_mm):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    found = box_blurred(values, sigma_mm, spacing_mm)
    assert found.shape == shape
    assert found.min() >= values.min() - 1e-4
    assert found.max() <= values.max() + 1e-4
    assert np.allclose(box_blurred(np.full(shape, 3, np.float32), sigma_mm, spacing_mm), 3, atol=1e-5)


@pytest.mark.parametrize("sigma_mm", [2.0, 4.0, 8.0])
def test_blurring_is_nearly_a_gaussian(sigma_mm):
    values = np.zeros((1, 1, 101), np.float32)
    values[0, 0, 40:60] = 1
    expected = ndimage.gaussian_filter(values, (0, 0, sigma_mm))
    assert np.abs(box_blurred(values, sigma_mm, (1e6, 1e6, 1)) - expected).max() < 0.08  # a triangle is no bell


def test_blurring_below_half_a_voxel_is_none():
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    assert np.array_equal(box_blurred(values, 0.3, (1, 1, 1)), values)
