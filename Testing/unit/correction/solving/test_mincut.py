"""The cut is the least energy, and of equal ones the least change: checked against all answers."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.correction.solving.graph import build_grid
from DeepSegmentLib.correction.solving.mincut import cut

seeds = st.integers(0, 2**32 - 1)
small = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))


def _energy(changed, gain, tie, grid):
    """Of one set of changed nodes."""
    return -float(gain[changed].sum()) + float(tie[changed[grid.first] != changed[grid.second]].sum())


def _best_of_all(gain, tie, grid):
    """The least energy of all sets, and the smallest set that has it."""
    sets = [np.array(bits, dtype=bool) for bits in product([False, True], repeat=grid.size)]
    energies = np.array([_energy(changed, gain, tie, grid) for changed in sets])
    best = [changed for changed, energy in zip(sets, energies, strict=True) if energy <= energies.min() + 1e-6]
    return energies.min(), min(best, key=np.count_nonzero)


def _random(shape, seed, numbers):
    rng = np.random.default_rng(seed)
    grid = build_grid(rng.random(shape) < 0.85, (1, 1, 1))
    return numbers(rng, grid.size), np.abs(numbers(rng, len(grid.first))), grid


@pytest.mark.parametrize(
    "numbers",
    [
        lambda rng, n: (rng.integers(-700, 700, n) / 256).astype(np.float32),
        lambda rng, n: rng.integers(-2, 3, n).astype(np.float32),  # many ties
        lambda rng, n: rng.choice([-1000, 0, 1, 1000], n).astype(np.float32),
    ],
    ids=["fine", "ties", "certain"],
)
@given(shape=small, seed=seeds)
def test_is_the_best_of_all_answers_and_changes_least(numbers, shape, seed):
    gain, tie, grid = _random(shape, seed, numbers)
    found = cut(gain, tie, grid)
    least, smallest = _best_of_all(gain, tie, grid)
    assert found.dtype == np.bool_
    assert _energy(found, gain, tie, grid) == pytest.approx(least, abs=1e-6)
    assert np.array_equal(found, smallest)


@given(seed=seeds)
def test_the_best_of_rounded_numbers_is_nearly_that_of_the_numbers(seed):
    gain, tie, grid = _random((2, 2, 3), seed, lambda rng, n: rng.normal(0, 2, n).astype(np.float32))
    least, _ = _best_of_all(gain, tie, grid)
    assert _energy(cut(gain, tie, grid), gain, tie, grid) <= least + (grid.size + 2 * len(tie)) / 256


@given(seed=seeds, more=st.floats(0, 3))
def test_more_gain_never_changes_less(seed, more):
    gain, tie, grid = _random((5, 6, 7), seed, lambda rng, n: rng.normal(0, 2, n).astype(np.float32))
    assert not (cut(gain, tie, grid) & ~cut(gain + np.float32(more), tie, grid)).any()


@given(seed=seeds)
def test_without_ties_each_node_stands_for_itself(seed):
    gain, tie, grid = _random((5, 6, 7), seed, lambda rng, n: rng.integers(-9, 9, n).astype(np.float32))
    assert np.array_equal(cut(gain, tie * 0, grid), gain > 0)


@given(seed=seeds)
def test_with_strong_ties_connected_nodes_go_together(seed):
    rng = np.random.default_rng(seed)
    grid = build_grid(np.ones((4, 5, 6), dtype=bool), (1, 1, 1))
    gain = (rng.integers(-256, 256, grid.size) / 256).astype(np.float32)
    found = cut(gain, np.full(len(grid.first), 1000, np.float32), grid)
    assert found.all() == (gain.sum() > 0)
    assert found.any() == found.all()


def test_huge_numbers_do_not_overflow():
    grid = build_grid(np.ones((4, 50, 50), dtype=bool), (1, 1, 1))
    gain = np.full(grid.size, 1e9, np.float32)
    assert cut(gain, np.full(len(grid.first), 1e9, np.float32), grid).all()
    assert not cut(-gain, np.full(len(grid.first), 1e9, np.float32), grid).any()


def test_no_nodes_and_one_node():
    nothing = build_grid(np.zeros((2, 2, 2), dtype=bool), (1, 1, 1))
    assert cut(np.zeros(0, np.float32), np.zeros(0, np.float32), nothing).shape == (0,)
    one = build_grid(np.ones((1, 1, 1), dtype=bool), (1, 1, 1))
    none = np.zeros(0, np.float32)
    assert [cut(np.array([gain], np.float32), none, one).tolist() for gain in (-1, 0, 1)] == [[False], [False], [True]]
