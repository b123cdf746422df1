"""The best labels of a two-label energy, exactly, by a minimum cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .graph import Grid

_SCALE = 256
"""Capacities are whole numbers: steps of 1/256 are far below the noise of any term."""

_LARGEST = 1 << 20
"""Largest capacity: beyond every sum of a voxel's other terms, and far from the end of int32."""


def cut(gain: NDArray[np.float32], tie: NDArray[np.float32], grid: Grid) -> NDArray[np.bool_]:
    """Which voxels to change so that the energy is least.

    The energy of a set of changed voxels is minus the sum of their gains, plus the ties of all faces between a
    changed and an unchanged voxel.

    Args:
        gain: What changing each node is worth, (node,); clipped to +-4096.
        tie: What separating the two sides of each face costs, 0 or more.
        grid: The nodes and faces.

    Returns:
        For each node, whether it changes. Of several best answers the one that changes least.

    References:
        Boykov, Jolly, Interactive graph cuts, ICCV 2001; Dinic, Soviet Math Doklady 1970 (the solver of SciPy).
    """
    n = grid.size
    terminal = np.clip(np.rint(gain * _SCALE), -_LARGEST, _LARGEST).astype(np.int32)
    capacity = np.clip(np.rint(tie * _SCALE), 0, _LARGEST).astype(np.int32)
    network, source = _network(terminal, capacity, grid), n
    residual = (network - maximum_flow(network, source, n + 1).flow).tocsr()
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    changed = np.zeros(n + 2, dtype=bool)
    changed[reached] = True
    return changed[:n]


def _network(terminal: NDArray[np.int32], capacity: NDArray[np.int32], grid: Grid) -> csr_array:
    """Faces in both directions, the source (node n) to gains, losses to the sink (node n + 1)."""
    n = grid.size
    gains, losses = np.flatnonzero(terminal > 0), np.flatnonzero(terminal < 0)
    rows = np.concatenate([grid.first, grid.second, np.full(len(gains), n), losses])
    columns = np.concatenate([grid.second, grid.first, gains, np.full(len(losses), n + 1)])
    weights = np.concatenate([capacity, capacity, terminal[gains], -terminal[losses]])
    return csr_array((weights, (rows.astype(np.int32), columns.astype(np.int32))), shape=(n + 2, n + 2))
