"""Laws of the lattice that a guided network sees: the same for every spacing, and advice within bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.refinement.domain import Domain, distance_mm
from DeepSegmentLib.refinement.energy import belief
from DeepSegmentLib.refinement.evidence import gather
from DeepSegmentLib.refinement.guided import (
    CHANNELS,
    LEAST_EXTENT,
    MOST,
    MOST_POINTS,
    MULTIPLE,
    advice,
    channels_of,
    lattice_of,
)


def _domain(spacing_mm=(1.0, 1.0, 1.0), radius_mm=6.0, shape=(20, 22, 24), source=((10, 11, 12),)):
    """A bright ball that is half segmented, and a click into the other half."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")) - np.array(shape)[:, None, None, None] / 2
    away = np.sqrt(((grid * np.array(spacing_mm)[:, None, None, None]) ** 2).sum(axis=0))
    ball = away < radius_mm
    noise = np.random.default_rng(3).standard_normal(shape) * 0.1
    marked = np.zeros(shape, bool)
    marked[tuple(np.array(source).T)] = True
    distance = distance_mm(marked, spacing_mm)
    target = ball & (grid[2] < -1)
    free = (distance <= radius_mm) & ~target & ~marked
    return Domain(
        (ball + noise).astype(np.float32)[None], spacing_mm, free, marked & ~target, marked, target,
        np.zeros(shape, bool), distance, radius_mm,
    )  # fmt: skip


steps = st.floats(0.3, 4.0)


@given(st.tuples(steps, steps, steps), st.floats(2.0, 40.0), st.integers(0, 2), st.integers(0, 8))
def test_a_lattice_is_small_and_keeps_constants(spacing_mm, radius_mm, axis, length):
    end = [10, 11, 12]
    end[axis] = min(end[axis] + length, (20, 22, 24)[axis] - 1)
    lattice = lattice_of(_domain(spacing_mm, radius_mm, source=((10, 11, 12), tuple(end))))
    assert min(lattice.shape) >= LEAST_EXTENT
    assert all(n % MULTIPLE == 0 for n in lattice.shape)
    assert np.prod(lattice.shape) <= MOST_POINTS
    ones = np.ones((2, 20, 22, 24), np.float32)
    np.testing.assert_allclose(lattice.sample(ones), 1, atol=1e-5)
    np.testing.assert_allclose(lattice.spread(lattice.sample(ones)), 1, atol=1e-5)


def test_what_is_smooth_comes_back():
    domain = _domain()
    k, j, i = np.meshgrid(*map(np.arange, domain.free.shape), indexing="ij")
    plane = (0.3 * k - 0.2 * j + 0.1 * i).astype(np.float32)
    lattice = lattice_of(domain)
    near = domain.distance_mm <= domain.radius_mm
    np.testing.assert_allclose(lattice.spread(lattice.sample(plane))[near], plane[near], atol=0.02)


def test_the_source_is_in_the_middle():
    domain = _domain(spacing_mm=(2.0, 1.0, 0.5))
    heat = lattice_of(domain).sample(domain.source.astype(np.float32))
    middle = (np.indices(heat.shape) * heat).sum((1, 2, 3)) / heat.sum()
    np.testing.assert_allclose(middle, (np.array(heat.shape) - 1) / 2, atol=0.05)


def test_scaling_the_world_changes_nothing():
    small, large = _domain(), _domain(spacing_mm=(3.0, 3.0, 3.0), radius_mm=18.0)
    seen = []
    for domain in (small, large):
        evidence = gather(domain)
        seen.append(channels_of(domain, evidence, belief(evidence, domain), lattice_of(domain)))
    assert seen[0].shape == (len(CHANNELS), 24, 24, 24)
    np.testing.assert_allclose(seen[0], seen[1], atol=2e-3)


@pytest.mark.parametrize("said", [-1e6, -2.5, 0.0, 2.5, 1e6])
def test_advice_is_what_the_network_says_within_bounds(said):
    domain = _domain()
    evidence = gather(domain)
    worth = belief(evidence, domain)

    def network(patches):
        assert patches.dtype == np.float32
        assert patches.shape[:2] == (1, len(CHANNELS))
        return np.full((1, 1, *patches.shape[2:]), said, np.float32)

    given_advice = advice(network, domain, evidence, worth)
    assert given_advice.shape == worth.shape
    np.testing.assert_allclose(given_advice, np.clip(said, -MOST, MOST), rtol=1e-5)


def test_advice_stays_where_it_was_said():
    domain = _domain()
    evidence = gather(domain)

    def network(patches):
        said = np.zeros((1, 1, *patches.shape[2:]), np.float32)
        said[..., : patches.shape[4] // 2] = 3
        return said

    given_advice = advice(network, domain, evidence, belief(evidence, domain))
    i = evidence.grid.voxels % domain.free.shape[2]
    assert (given_advice[i <= 11] == 3).all()
    assert (given_advice[i >= 13] == 0).all()
