"""Floods from two sides meet at the edges of the image; checked by plain distances and by swapping the sides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from DeepSegmentLib.correction.evidence.flooding import flooded
from DeepSegmentLib.correction.evidence.geodesic import path_lengths
from DeepSegmentLib.correction.solving.graph import build_grid

seeds = st.integers(0, 2**32 - 1)
SHAPE = (6, 7, 8)


def _block(seed, density=0.8):
    """The graph of some voxels of a block, a slope, and where two floods begin."""
    rng = np.random.default_rng(seed)
    grid = build_grid(rng.random(SHAPE) < density, (1.5, 1, 1.2))
    sides = rng.random(grid.size)
    return grid, rng.normal(size=grid.size).astype(np.float32), sides < 0.03, sides > 0.97


@given(seed=seeds)
def test_swapping_the_sides_swaps_the_answer_where_a_flood_comes(seed):
    grid, slope, wanted, other = _block(seed, density=0.5)
    ours, theirs = flooded(slope, wanted, other, grid), flooded(slope, other, wanted, grid)
    reached = np.isfinite(path_lengths(grid.length_mm, wanted | other, grid))
    assert not (ours & theirs).any()
    assert np.array_equal(ours | theirs, reached)
    assert ours[wanted].all()
    assert theirs[other].all()


@given(seed=seeds)
def test_on_a_flat_image_the_nearest_source_wins(seed):
    rng = np.random.default_rng(seed)
    grid = build_grid(np.ones(SHAPE, bool), (1, 1, 1))
    sides = rng.random(grid.size)
    wanted, other = sides < 0.02, sides > 0.98
    wanted[0], other[-1] = True, True
    away = [
        ndimage.distance_transform_cdt(~side.reshape(SHAPE), "taxicab").ravel() for side in (wanted & ~other, other)
    ]
    found = flooded(np.zeros(grid.size, np.float32), wanted & ~other, other, grid)
    assert found[away[0] < away[1]].all()
    assert not found[away[0] > away[1]].any()


@given(wall=st.integers(2, 12), left=st.integers(0, 12), right=st.integers(0, 12))
def test_floods_meet_at_a_wall_wherever_they_begin(wall, left, right):
    grid = build_grid(np.ones((4, 5, 15), bool), (1, 1, 1))
    slope = np.zeros((4, 5, 15), np.float32)
    slope[:, :, wall] = 3
    wanted, other = np.zeros_like(slope, bool), np.zeros_like(slope, bool)
    wanted[2, 2, min(left, wall - 1)] = other[1, 1, max(right, wall + 1)] = True
    found = flooded(slope.ravel(), wanted.ravel(), other.ravel(), grid).reshape(slope.shape)
    assert found[:, :, :wall].all()
    assert not found[:, :, wall + 1 :].any()


@given(seed=seeds)
def test_slopes_beyond_the_bounds_change_nothing(seed):
    grid, slope, wanted, other = _block(seed)
    assert np.array_equal(
        flooded(slope, wanted, other, grid), flooded(np.clip(slope, -1, 3).astype(np.float32), wanted, other, grid)
    )


def test_without_a_source_nothing_is_flooded():
    grid, slope, wanted, _ = _block(0)
    nowhere = np.zeros_like(wanted)
    assert not flooded(slope, nowhere, nowhere, grid).any()
    assert not flooded(slope, nowhere, wanted, grid).any()
