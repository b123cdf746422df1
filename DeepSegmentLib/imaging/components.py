"""Connected components of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOURS = {6: 1, 18: 2, 26: 3}
"""Of a voxel, and over how many axes at once they are steps."""

_COUNTED_AT_ONCE = 1 << 22  # `bincount` copies what it reads to 64 bits


def remove_small(
    mask: NDArray[np.bool_], *, keep_largest: bool = False, minimum_voxels: float = 0, neighbours: int = 6
) -> NDArray[np.bool_]:
    """The connected components that are large enough.

    Args:
        mask: Boolean array (k, j, i).
        keep_largest: Keep only the largest component; the first one in raster order where several are largest.
        minimum_voxels: Remove components of fewer voxels.
        neighbours: Of a voxel that are connected with it: 6, 18 or 26.

    Returns:
        A new mask inside the old one.
    """
    components, count = ndimage.label(mask, _steps(neighbours))
    sizes = np.zeros(count + 1, dtype=np.int64)
    for part in np.array_split(components.ravel(), 1 + components.size // _COUNTED_AT_ONCE):
        sizes += np.bincount(part, minlength=count + 1)
    sizes[0] = 0
    keep = sizes >= max(1, minimum_voxels)
    if keep_largest:
        keep &= np.arange(len(sizes)) == sizes.argmax()
    return np.asarray(keep[components])


def fill_holes(mask: NDArray[np.bool_], *, neighbours: int = 6) -> NDArray[np.bool_]:
    """The mask with the background that it encloses filled; background goes on to 6, 18 or 26 neighbours."""
    background, count = ndimage.label(~mask, _steps(neighbours))
    enclosed = np.ones(count + 1, dtype=bool)
    for axis in range(mask.ndim):
        for border in (0, -1):
            enclosed[np.unique(background.take(border, axis=axis))] = False
    enclosed[0] = False
    return np.asarray(mask | enclosed[background])


def _steps(neighbours: int) -> NDArray[np.bool_]:
    return np.asarray(ndimage.generate_binary_structure(3, NEIGHBOURS[neighbours]))
