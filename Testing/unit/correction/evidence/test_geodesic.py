"""Ways around edges are the shortest: checked against a plain Dijkstra."""

import heapq

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import spacings

from DeepSegmentLib.correction.evidence.geodesic import geodesic_mm, path_lengths
from DeepSegmentLib.correction.solving.graph import build_grid

seeds = st.integers(0, 2**32 - 1)


def _plain_dijkstra(lengths, sources, grid):
    neighbors = [[] for _ in range(grid.size)]
    for a, b, length in zip(grid.first.tolist(), grid.second.tolist(), lengths.tolist(), strict=True):
        neighbors[a].append((b, length))
        neighbors[b].append((a, length))
    best = np.full(grid.size, np.inf)
    best[sources] = 0
    queue = [(0.0, int(node)) for node in np.flatnonzero(sources)]
    while queue:
        way, node = heapq.heappop(queue)
        for other, length in neighbors[node]:
            if way + length < best[other]:
                best[other] = way + length
                heapq.heappush(queue, (best[other], other))
    return best


def _world(seed, spacing_mm):
    rng = np.random.default_rng(seed)
    nodes = rng.random((4, 5, 6)) < 0.7
    nodes[0, 0, 0] = True
    grid = build_grid(nodes, spacing_mm)
    sources = rng.random(grid.size) < 0.05
    sources[rng.integers(grid.size)] = True
    return rng, grid, sources


@given(seed=seeds, spacing_mm=spacings(0.3, 4), contrast_mm=st.floats(0, 20))
def test_is_the_shortest_way_around_edges(seed, spacing_mm, contrast_mm):
    rng, grid, sources = _world(seed, spacing_mm)
    values = rng.normal(size=grid.size).astype(np.float32)
    steps = np.sqrt(grid.length_mm**2 + (contrast_mm * (values[grid.first] - values[grid.second])) ** 2)
    found = geodesic_mm(values, sources, grid, contrast_mm=contrast_mm)
    assert np.allclose(found, _plain_dijkstra(steps, sources, grid), rtol=1e-5)
    assert (found[sources] == 0).all()


@given(seed=seeds)
def test_free_faces_cost_nothing_and_still_connect(seed):
    rng, grid, sources = _world(seed, (1, 1, 1))
    lengths = rng.integers(0, 2, len(grid.first)).astype(np.float32)
    found = path_lengths(lengths, sources, grid)
    expected = _plain_dijkstra(lengths, sources, grid)
    assert np.array_equal(np.isinf(found), np.isinf(expected))
    assert np.allclose(found, expected, atol=1e-3)


def test_where_no_way_leads_it_is_infinite():
    nodes = np.array([[[True, True, False, True]]])
    grid = build_grid(nodes, (1, 1, 2))
    found = geodesic_mm(np.zeros(3, np.float32), np.array([True, False, False]), grid, contrast_mm=1)
    assert found.tolist() == [0, 2, np.inf]
