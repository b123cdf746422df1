"""Connected components of masks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data.progress import check_stop, waited_for

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    components, count = _components(mask, neighbours)
    sizes = np.zeros(count + 1, dtype=np.int64)
    for part in _parts(components):
        sizes += np.bincount(part, minlength=count + 1)
    sizes[0] = 0
    keep = sizes >= max(1, minimum_voxels)
    if keep_largest:
        keep &= np.arange(len(sizes)) == sizes.argmax()
    return _looked_up(keep, components)


def fill_holes(mask: NDArray[np.bool_], *, neighbours: int = 6) -> NDArray[np.bool_]:
    """The mask with the background that it encloses filled; background goes on to 6, 18 or 26 neighbours."""
    background, count = _components(~mask, neighbours)
    enclosed = np.ones(count + 1, dtype=bool)
    for axis in range(mask.ndim):
        for border in (0, -1):
            enclosed[np.unique(background.take(border, axis=axis))] = False
    enclosed[0] = False
    return np.asarray(mask | _looked_up(enclosed, background))


def _components(mask: NDArray[np.bool_], neighbours: int) -> tuple[NDArray[Any], int]:
    """Each voxel's component, 1 and more, and how many there are."""
    steps = ndimage.generate_binary_structure(3, NEIGHBOURS[neighbours])
    components, count = waited_for(partial(ndimage.label, mask, steps))
    return components, count


def _looked_up(values: NDArray[np.bool_], components: NDArray[Any]) -> NDArray[np.bool_]:
    """The value of each voxel's component."""
    result = np.empty(components.shape, dtype=bool)
    for part, target in zip(_parts(components), _parts(result), strict=True):
        target[...] = values[part]
    return result


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Views of some million voxels each."""
    for part in np.array_split(array.reshape(-1), 1 + array.size // _COUNTED_AT_ONCE):
        check_stop()
        yield part
