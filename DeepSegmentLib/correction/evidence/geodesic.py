"""Distances along paths that avoid edges of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.csgraph import dijkstra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.correction.solving.graph import Grid


def geodesic_mm(
    values: NDArray[np.float32], sources: NDArray[np.bool_], grid: Grid, *, contrast_mm: float
) -> NDArray[np.float32]:
    """Length of the shortest path from the sources to each node, where crossing contrast costs extra.

    Args:
        values: Smoothed intensity of each node (node,), in units of the block's deviation.
        sources: Which nodes are at distance 0; at least one.
        grid: The nodes and faces.
        contrast_mm: Extra millimetres for each unit of contrast on the way.

    Returns:
        Distance (node,) in mm, infinite where no path leads.

    References:
        Criminisi, Sharp, Blake, GeoS: geodesic image segmentation, ECCV 2008.
    """
    step = np.abs(values[grid.first] - values[grid.second])
    return path_lengths(np.hypot(grid.length_mm, np.float32(contrast_mm) * step), sources, grid)


def path_lengths(lengths: NDArray[np.float32], sources: NDArray[np.bool_], grid: Grid) -> NDArray[np.float32]:
    """Length of the shortest path from the sources to each node (node,); infinite where no path leads.

    Args:
        lengths: What crossing each inner face costs (face,), 0 or more.
        sources: Which nodes are at distance 0; at least one.
        grid: The nodes and faces.

    References:
        Dijkstra, A note on two problems in connexion with graphs, Numerische Mathematik 1959.
    """
    lengths = np.maximum(lengths, np.float32(1e-6))  # SciPy takes a length of 0 for no connection
    found = dijkstra(grid.matrix(lengths), indices=np.flatnonzero(sources), min_only=True)
    return np.asarray(found, dtype=np.float32)
