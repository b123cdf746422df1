"""Minimum cut, random walk, geodesic distance: laws and agreement with slower ways to the same answer."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.graph import MCP_Geometric

from DeepSegmentLib.refinement.geodesic import geodesic_mm, path_lengths
from DeepSegmentLib.refinement.graph import build_grid
from DeepSegmentLib.refinement.mincut import cut
from DeepSegmentLib.refinement.randomwalk import walk

seeds = st.integers(0, 2**32 - 1)
small_shapes = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2))


def random_problem(seed, shape, least=-3):
    rng = np.random.default_rng(seed)
    grid = build_grid(rng.random(shape) < 0.9, (1.0, 2.0, 0.5))
    gain = rng.integers(least * 4, 13, grid.size) / 4
    tie = rng.integers(0, 9, len(grid.first)) / 4
    return gain.astype(np.float32), tie.astype(np.float32), grid


def energy(changed, gain, tie, grid):
    return -gain[changed].sum() + tie[changed[grid.first] != changed[grid.second]].sum()


class TestGrid:
    @given(seeds, st.tuples(*[st.integers(1, 5)] * 3))
    def test_every_face_of_every_node_is_there_once(self, seed, shape):
        nodes = np.random.default_rng(seed).random(shape) < 0.5
        grid = build_grid(nodes, (3.0, 2.0, 1.0))
        number = np.full(shape, -1)
        number[nodes] = np.arange(nodes.sum())
        inner, outer = set(), set()
        for place in np.argwhere(nodes):
            for axis, sense in itertools.product(range(3), (1, -1)):
                other = place.copy()
                other[axis] += sense
                if (other < 0).any() or (other >= shape).any():
                    continue
                a, b = number[tuple(place)], number[tuple(other)]
                if b >= 0:
                    inner.add((min(a, b), max(a, b), (3.0, 2.0, 1.0)[axis]))
                else:
                    outer.add((a, np.ravel_multi_index(tuple(other), shape), (3.0, 2.0, 1.0)[axis]))
        found = list(
            zip(np.minimum(grid.first, grid.second), np.maximum(grid.first, grid.second), grid.length_mm, strict=True)
        )
        assert len(found) == len(inner)
        assert set(found) == inner
        rim = list(zip(grid.rim, grid.beyond, grid.rim_length_mm, strict=True))
        assert len(rim) == len(outer)
        assert set(rim) == outer


class TestCut:
    @given(seeds, small_shapes)
    def test_is_the_best_of_all_answers(self, seed, shape):
        gain, tie, grid = random_problem(seed, shape)
        ours = energy(cut(gain, tie, grid), gain, tie, grid)
        answers = itertools.product((False, True), repeat=grid.size)
        assert ours == pytest.approx(min(energy(np.array(a, dtype=bool), gain, tie, grid) for a in answers), abs=1e-6)

    @given(seeds, small_shapes)
    def test_changes_least_among_equals(self, seed, shape):
        gain, tie, grid = random_problem(seed, shape)
        ours = cut(gain, tie, grid)
        best = energy(ours, gain, tie, grid)
        answers = (np.array(a, dtype=bool) for a in itertools.product((False, True), repeat=grid.size))
        assert ours.sum() == min(a.sum() for a in answers if energy(a, gain, tie, grid) <= best + 1e-6)

    @given(seeds)
    def test_more_gain_never_takes_a_voxel_away(self, seed):
        gain, tie, grid = random_problem(seed, (4, 5, 6))
        assert (cut(gain, tie, grid) <= cut(gain + np.float32(0.5), tie, grid)).all()

    def test_without_ties_each_voxel_is_on_its_own(self):
        gain, tie, grid = random_problem(0, (5, 6, 7))
        assert np.array_equal(cut(gain, tie * 0, grid), gain > 0)

    def test_huge_gains_do_not_overflow(self):
        grid = build_grid(np.ones((3, 3, 3), bool), (1, 1, 1))
        gain = np.full(27, -1e9, np.float32)
        gain[13] = 1e9
        changed = cut(gain, np.ones(len(grid.first), np.float32), grid)
        assert np.flatnonzero(changed).tolist() == [13]


class TestWalk:
    @given(seeds, st.tuples(*[st.integers(1, 4)] * 3))
    def test_agrees_with_a_dense_solve(self, seed, shape):
        gain, tie, grid = random_problem(seed, shape)
        toward, away = np.exp(gain.astype(float) / 2), np.exp(-gain.astype(float) / 2)
        matrix = np.diag(toward + away)
        for a, b, weight in zip(grid.first, grid.second, tie, strict=True):
            matrix[[a, b], [a, b]] += weight
            matrix[[a, b], [b, a]] -= weight
        exact = np.linalg.solve(matrix, toward)
        assert walk(gain, tie, grid) == pytest.approx(exact, abs=0.05)

    @given(seeds)
    def test_is_a_chance(self, seed):
        gain, tie, grid = random_problem(seed, (4, 5, 6), least=-300)
        chance = walk(gain, tie, grid)
        assert ((chance >= 0) & (chance <= 1)).all()

    def test_of_nothing(self):
        grid = build_grid(np.zeros((2, 2, 2), bool), (1, 1, 1))
        assert walk(np.zeros(0, np.float32), np.zeros(0, np.float32), grid).shape == (0,)


class TestGeodesic:
    @given(seeds, st.tuples(*[st.integers(1, 6)] * 3))
    def test_agrees_with_skimage_where_there_is_no_contrast(self, seed, shape):
        rng = np.random.default_rng(seed)
        nodes = rng.random(shape) < 0.8
        nodes.flat[0] = True
        grid = build_grid(nodes, (1, 1, 1))
        start = np.zeros(grid.size, bool)
        start[0] = True
        ours = geodesic_mm(np.zeros(grid.size, np.float32), start, grid, contrast_mm=5)
        walls = np.where(nodes, 1.0, -1.0)
        theirs, _ = MCP_Geometric(walls, fully_connected=False).find_costs([np.unravel_index(grid.voxels[0], shape)])
        assert ours == pytest.approx(theirs[nodes], rel=1e-4, abs=1e-4)

    def test_contrast_makes_the_way_longer(self):
        grid = build_grid(np.ones((1, 1, 3), bool), (1, 1, 1))
        start = np.array([True, False, False])
        ours = geodesic_mm(np.array([0, 0, 2], np.float32), start, grid, contrast_mm=3)
        assert ours == pytest.approx([0, 1, 1 + np.hypot(1, 6)], rel=1e-5)

    def test_what_cannot_be_reached_is_infinitely_far(self):
        grid = build_grid(np.array([[[True, False, True]]]), (1, 1, 1))
        assert path_lengths(np.ones(0, np.float32), np.array([True, False]), grid).tolist() == [0, np.inf]
