"""Which side reaches each voxel first when both flood the image, edges last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.csgraph import dijkstra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.correction.solving.graph import Grid

    Flags = NDArray[np.bool_]

_STEEPNESS = 6.0
"""Each deviation of slope makes a step exp(6) times as long: nearly only the steepest step of a way counts."""

_FLATTEST, _STEEPEST = -1.0, 3.0
"""Slopes beyond these, in deviations of the block, count as these: else a way's short steps are lost in rounding."""


def flooded(slope: NDArray[np.float32], wanted: Flags, other: Flags, grid: Grid) -> Flags:
    """The nodes that the wanted side floods before the other.

    The flood goes along shortest paths whose length grows steeply with the slope of the image. In the limit that is the
    watershed; this short of it, flat parts are shared by distance, and the answer depends on no order of the voxels.

    Args:
        slope: How steep the image is at each node (node,), in deviations of the block.
        wanted: Where the one side begins (node,).
        other: Where the other side begins (node,).
        grid: The nodes and faces.

    Returns:
        For each node, whether it is of the wanted side; nodes that no flood reaches are not.

    References:
        Couprie, Grady, Najman, Talbot, Power watershed: a unifying graph-based optimization framework, IEEE TPAMI 2011.
    """
    found = np.zeros(grid.size, dtype=bool)
    sources = np.flatnonzero(wanted | other)
    if not len(sources):
        return found
    steep = np.exp(_STEEPNESS * np.clip(slope, _FLATTEST, _STEEPEST))
    lengths = grid.length_mm * (steep[grid.first] + steep[grid.second])
    _, _, nearest = dijkstra(grid.matrix(lengths), indices=sources, min_only=True, return_predecessors=True)
    reached = nearest >= 0
    found[reached] = wanted[nearest[reached]]
    return found
