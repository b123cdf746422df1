"""Which side reaches each voxel first when the image is flooded from both, edges last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_LEVELS = 4095
_CLEAR = 99.0
"""Percentile of the slope above which all edges count the same."""


def flooded(slope: NDArray[np.float32], wanted: Mask, other: Mask) -> Mask:
    """The voxels (k, j, i) that the wanted side floods.

    Args:
        slope: How steep the image is (k, j, i).
        wanted: Where the one side begins.
        other: Where the other side begins.

    Returns:
        All of the block if the other side begins nowhere, and nothing if the wanted one does.

    References:
        Falcao, Stolfi, Lotufo, The image foresting transform, IEEE TPAMI 2004 (SciPy's `watershed_ift`).
    """
    if not (wanted.any() and other.any()):
        return np.full(slope.shape, bool(wanted.any()))
    low, high = float(slope.min()), float(np.percentile(slope, _CLEAR))
    levels = np.clip((slope - low) / max(high - low, 1e-12) * _LEVELS, 0, _LEVELS).astype(np.uint16)
    sources = np.zeros(slope.shape, dtype=np.int8)
    sources[other], sources[wanted] = 2, 1
    return np.asarray(ndimage.watershed_ift(levels, sources) == 1)
