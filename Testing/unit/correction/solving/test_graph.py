"""The graph knows each face once inside, and each face to the outside from its node."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import masks, spacings

from DeepSegmentLib.correction.solving.graph import build_grid


def _faces(nodes, spacing_mm):
    """Pairs of face neighbors of a mask by brute force: (inside, inside, mm) and (inside, outside, mm)."""
    inner, outer = set(), set()
    for place in np.argwhere(nodes):
        for axis, sense in ((axis, sense) for axis in range(3) for sense in (-1, 1)):
            other = place.copy()
            other[axis] += sense
            if not 0 <= other[axis] < nodes.shape[axis]:
                continue
            pair = tuple(int(np.ravel_multi_index(p, nodes.shape)) for p in (place, other))
            length = float(np.float32(spacing_mm[axis]))
            if not nodes[tuple(other)]:
                outer.add((*pair, length))
            elif sense == 1:
                inner.add((*pair, length))
    return inner, outer


@given(nodes=masks(), spacing_mm=spacings())
def test_has_the_faces_of_the_mask(nodes, spacing_mm):
    grid = build_grid(nodes, spacing_mm)
    inner, outer = _faces(nodes, spacing_mm)
    ends = (grid.voxels[grid.first], grid.voxels[grid.second], grid.length_mm)
    found_inner = list(zip(*(values.tolist() for values in ends), strict=True))
    ends = (grid.voxels[grid.rim], grid.beyond, grid.rim_length_mm)
    found_outer = list(zip(*(values.tolist() for values in ends), strict=True))
    assert np.array_equal(grid.voxels, np.flatnonzero(nodes))
    assert grid.size == nodes.sum()
    assert len(found_inner) == len(inner)
    assert set(found_inner) == inner
    assert len(found_outer) == len(outer)
    assert set(found_outer) == outer


@given(nodes=masks(filled=True), seed=st.integers(0, 1000))
def test_the_matrix_holds_each_weight_both_ways(nodes, seed):
    grid = build_grid(nodes, (1, 1, 1))
    weights = np.random.default_rng(seed).random(len(grid.first)).astype(np.float32)
    dense = grid.matrix(weights).toarray()
    expected = np.zeros((grid.size, grid.size), np.float32)
    expected[grid.first, grid.second] = expected[grid.second, grid.first] = weights
    assert np.array_equal(dense, expected)
