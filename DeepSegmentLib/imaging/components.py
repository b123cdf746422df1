"""Connected components of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


_COUNTED_AT_ONCE = 1 << 22  # `bincount` copies what it reads to 64 bits


def remove_small(
    mask: NDArray[np.bool_], *, keep_largest: bool = False, minimum_voxels: float = 0
) -> NDArray[np.bool_]:
    """The connected components (6 neighbours) that are large enough.

    Args:
        mask: Boolean array (k, j, i).
        keep_largest: Keep only the largest component; the first one in raster order where several are largest.
        minimum_voxels: Remove components of fewer voxels.

    Returns:
        A new mask inside the old one.
    """
    components, count = ndimage.label(mask)
    sizes = np.zeros(count + 1, dtype=np.int64)
    for part in np.array_split(components.ravel(), 1 + components.size // _COUNTED_AT_ONCE):
        sizes += np.bincount(part, minlength=count + 1)
    sizes[0] = 0
    keep = sizes >= max(1, minimum_voxels)
    if keep_largest:
        keep &= np.arange(len(sizes)) == sizes.argmax()
    return np.asarray(keep[components])


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with the background that it encloses (6 neighbours) filled."""
    background, count = ndimage.label(~mask)
    enclosed = np.ones(count + 1, dtype=bool)
    for axis in range(mask.ndim):
        for border in (0, -1):
            enclosed[np.unique(background.take(border, axis=axis))] = False
    enclosed[0] = False
    return np.asarray(mask | enclosed[background])
