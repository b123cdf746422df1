"""The voxels that may change as a graph: each knows its neighbors through faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Grid:
    """Chosen voxels of a block, the faces between them, and the faces to their other neighbors.

    Attributes:
        voxels: Flat index in the block of each node (node,), in raster order.
        first: Node on one side of each inner face (face,).
        second: Node on the other side.
        length_mm: Distance of the two voxel centers (face,).
        rim: Node at each outer face (outer face,).
        beyond: Flat index in the block of the voxel on the other side.
        rim_length_mm: Distance of the two voxel centers (outer face,).
    """

    voxels: NDArray[np.intp]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    length_mm: NDArray[np.float32]
    rim: NDArray[np.int32]
    beyond: NDArray[np.intp]
    rim_length_mm: NDArray[np.float32]

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.voxels)

    def matrix(self, weights: NDArray[np.float32]) -> csr_array:
        """Symmetric sparse matrix (node, node) with a weight for each inner face."""
        rows, columns = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        return csr_array((np.concatenate([weights, weights]), (rows, columns)), shape=(self.size, self.size))


def build_grid(nodes: NDArray[np.bool_], spacing_mm: Sequence[float]) -> Grid:
    """The graph of chosen voxels with their face neighbors.

    Args:
        nodes: Boolean array (k, j, i).
        spacing_mm: Voxel size along (k, j, i).
    """
    voxels = np.flatnonzero(nodes)
    number = np.full(nodes.size, -1, dtype=np.int32)
    number[voxels] = np.arange(len(voxels), dtype=np.int32)
    strides = (nodes.shape[1] * nodes.shape[2], nodes.shape[2], 1)
    inner, outer = [], []
    for axis, step in enumerate(spacing_mm):
        place = voxels // strides[axis] % nodes.shape[axis]
        for sense, has_next in ((1, place < nodes.shape[axis] - 1), (-1, place > 0)):
            node = np.flatnonzero(has_next).astype(np.int32)
            other = voxels[node] + sense * strides[axis]
            across = number[other]
            if sense == 1:
                inner.append((node[across >= 0], across[across >= 0], step))
            outer.append((node[across < 0], other[across < 0], step))
    first, second, length = _joined(inner)
    return Grid(voxels, first, second, length, *_joined(outer))


def _joined(parts: list[tuple[NDArray[Any], NDArray[Any], float]]) -> tuple[NDArray[Any], ...]:
    """Three long arrays of many short ones."""
    lengths = [np.full(len(a), step, dtype=np.float32) for a, _, step in parts]
    return np.concatenate([a for a, _, _ in parts]), np.concatenate([b for _, b, _ in parts]), np.concatenate(lengths)
