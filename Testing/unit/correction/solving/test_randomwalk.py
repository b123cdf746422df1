"""The random walk solves its linear equations: checked against a dense solve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.correction.solving.graph import build_grid
from DeepSegmentLib.correction.solving.randomwalk import walk

seeds = st.integers(0, 2**32 - 1)


def _dense(gain, tie, grid):
    """Solution by LAPACK, and how far from it a residual of 2 % may be."""
    toward, away = np.exp(gain.astype(float) / 2), np.exp(-gain.astype(float) / 2)
    matrix = np.diag(toward + away)
    for a, b, weight in zip(grid.first, grid.second, tie, strict=True):
        matrix[[a, b], [a, b]] += weight
        matrix[[a, b], [b, a]] -= weight
    return np.linalg.solve(matrix, toward), 0.02 * np.linalg.norm(toward) / np.linalg.eigvalsh(matrix)[0]


@given(seed=seeds, spread=st.sampled_from([0.3, 1, 3]), strength=st.sampled_from([0.1, 1, 10]))
def test_is_the_solution_of_its_equations(seed, spread, strength):
    rng = np.random.default_rng(seed)
    grid = build_grid(rng.random((4, 4, 5)) < 0.8, (1, 1, 1))
    gain = np.clip(rng.normal(0, spread, grid.size), -8, 8).astype(np.float32)
    tie = rng.exponential(strength, len(grid.first)).astype(np.float32)
    expected, tolerance = _dense(gain, tie, grid)
    found = walk(gain, tie, grid)
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) <= tolerance * 1.01 + 1e-5
    assert found.min() >= 0
    assert found.max() <= 1


@given(gain=st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=9))
def test_without_ties_the_chance_is_that_of_the_log_odds(gain):
    worth = np.array(gain, np.float32)
    grid = build_grid(np.ones((1, 1, len(gain)), dtype=bool), (1, 1, 1))
    found = walk(worth, np.zeros(len(grid.first), np.float32), grid)
    assert np.allclose(found, 1 / (1 + np.exp(-worth)), atol=1e-5)


@pytest.mark.parametrize(("gain", "expected"), [(np.inf, 1), (1e6, 1), (-np.inf, 0)])
def test_certain_nodes_are_certain(gain, expected):
    grid = build_grid(np.ones((3, 3, 3), dtype=bool), (1, 1, 1))
    found = walk(np.full(27, gain, np.float32), np.ones(len(grid.first), np.float32), grid)
    assert np.abs(found - expected).max() < 0.01


def test_strong_ties_carry_a_certain_node_to_its_neighbors():
    grid = build_grid(np.ones((1, 1, 5), dtype=bool), (1, 1, 1))
    gain = np.array([8, -0.01, -0.01, -0.01, -0.01], np.float32)
    assert (walk(gain, np.full(4, 50, np.float32), grid) > 0.5).all()


def test_no_nodes():
    grid = build_grid(np.zeros((2, 2, 2), dtype=bool), (1, 1, 1))
    assert walk(np.zeros(0, np.float32), np.zeros(0, np.float32), grid).shape == (0,)


def test_a_walk_that_does_not_settle_ends_and_gives_chances():
    grid = build_grid(np.ones((1, 1, 3000), dtype=bool), (1, 1, 1))
    gain = np.where(np.arange(3000) < 10, 8, -0.1).astype(np.float32)
    found = walk(gain, np.full(2999, 1e5, np.float32), grid)
    assert found.min() >= 0
    assert found.max() <= 1
