"""Soft labels of the same energy by a linear solve: several times faster than the cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .graph import Grid

_TOLERANCE = 0.02
"""Relative residual; labels are decided at 1/2, and no longer move below this."""

_MOST_STEPS = 60


def walk(gain: NDArray[np.float32], tie: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """The chance of each voxel to be changed: a random walk on the faces with a prior at every node.

    Args:
        gain: What changing each node is worth, as log-odds (node,).
        tie: How strongly the two sides of each face hold together, 0 or more.
        grid: The nodes and faces.

    Returns:
        Values in [0, 1]; above 1/2 a voxel is better changed.

    References:
        Grady, Multilabel random walker image segmentation using prior models, CVPR 2005; Hestenes, Stiefel 1952.
    """
    if not grid.size:
        return np.zeros(0, dtype=np.float32)
    toward, away = np.exp(np.clip(gain, -8, 8) / 2), np.exp(-np.clip(gain, -8, 8) / 2)
    prior = toward + away
    matrix = grid.matrix(tie.astype(np.float32))
    diagonal = (prior + np.asarray(matrix.sum(axis=1)).ravel()).astype(np.float32)
    wanted, x = toward.astype(np.float32), (toward / prior).astype(np.float32)
    residual = wanted - diagonal * x + matrix @ x
    bound, direction, old = _TOLERANCE**2 * float(wanted @ wanted), np.zeros_like(x), 1.0
    for _ in range(_MOST_STEPS):
        if float(residual @ residual) <= bound:
            break
        scaled = residual / diagonal
        rho = float(residual @ scaled)
        direction = scaled + np.float32(rho / old) * direction
        product = diagonal * direction - matrix @ direction
        step = np.float32(rho / float(direction @ product))
        x += step * direction
        residual -= step * product
        old = rho
    return np.asarray(np.clip(x, 0, 1), dtype=np.float32)
