"""Volumes and labelmaps on another grid.

Grids whose axes are parallel are resampled axis by axis with small matrices; others by SciPy's `affine_transform`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.data.progress import unwatched

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SLAB_VOXELS = 1 << 23
"""Voxels that are resampled at once."""


def are_parallel(a: Geometry, b: Geometry) -> bool:
    """Whether the axes (k, j, i) of both grids point the same way."""
    return bool(np.abs(a.direction - b.direction).max() < 1e-6)


def axis_positions(source: Geometry, target: Geometry, axis: int) -> NDArray[np.float64]:
    """For each index along an axis of `target`, the fractional index along that axis of a parallel `source`."""
    index = np.zeros((target.shape[axis], 3))
    index[:, axis] = np.arange(target.shape[axis])
    positions = source.ras_to_index(target.index_to_ras(index))[:, axis]
    return np.asarray(np.round(positions, 9))  # whole numbers stay whole: a grid onto itself is the identity


def axis_weights(positions: NDArray[np.float64], n: int, *, support: float = 1.0) -> NDArray[np.float32]:
    """The matrix of linear interpolation along one axis.

    Args:
        positions: Fractional source indices to sample at; those outside take the border's value.
        n: Source samples.
        support: Half width of the triangle filter in source voxels, at least 1; the ratio of the spacings when
            down-sampling, so that nothing is skipped.

    Returns:
        Array (positions, n) whose rows sum to 1.
    """
    distance = np.abs(np.clip(positions, 0, n - 1)[:, None] - np.arange(n))
    weights = np.clip(1 - distance / max(1.0, support), 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def along_axis(array: NDArray[Any], weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """The array with one axis replaced by weighted sums along it."""
    return np.moveaxis(np.tensordot(weights, array, axes=(1, axis)), 0, axis)


def resample(volume: Volume, geometry: Geometry, on_step: Callable[[], None] = unwatched) -> Volume:
    """The volume by linear interpolation on another grid; places outside take the nearest border's value.

    Down-sampling along parallel axes averages (triangle filter) instead of skipping voxels.

    Args:
        volume: What to resample.
        geometry: The other grid.
        on_step: Called several times a second along parallel axes; may raise `Cancelled`.

    Returns:
        A float32 volume.
    """
    if not are_parallel(volume.geometry, geometry):
        channels = [_affine(channel, volume.geometry, geometry, order=1) for channel in volume.voxels]
        return Volume(np.stack(channels), geometry, volume.name)
    voxels: NDArray[Any] = volume.voxels
    for axis in _cheapest_first(volume.geometry, geometry):
        if _same_along(volume.geometry, geometry, axis):
            on_step()
            continue
        ratio = geometry.spacing_mm[axis] / volume.geometry.spacing_mm[axis]
        positions = axis_positions(volume.geometry, geometry, axis)
        weights = axis_weights(positions, volume.geometry.shape[axis], support=ratio)
        voxels = _in_slabs(voxels, weights, axis + 1, on_step)
    return Volume(np.asarray(voxels, dtype=np.float32), geometry, volume.name)


def _same_along(a: Geometry, b: Geometry, axis: int) -> bool:
    """Whether two parallel grids have the same samples along an axis."""
    return a.shape[axis] == b.shape[axis] and np.array_equal(axis_positions(a, b, axis), np.arange(a.shape[axis]))


def _in_slabs(
    voxels: NDArray[Any], weights: NDArray[np.float32], axis: int, on_step: Callable[[], None]
) -> NDArray[np.float32]:
    """Like `along_axis`, a slab of the array (channel, k, j, i) after the other."""
    across = 2 if axis == 1 else 1
    shape = [*voxels.shape]
    shape[axis] = len(weights)
    result = np.empty(shape, dtype=np.float32)
    step = max(1, SLAB_VOXELS * voxels.shape[across] // max(1, voxels.size))
    for start in range(0, voxels.shape[across], step):
        on_step()
        slab = (slice(None),) * across + (slice(start, start + step),)
        result[slab] = along_axis(np.asarray(voxels[slab], dtype=np.float32), weights, axis)
    return result


def resample_labels(label_map: LabelMap, geometry: Geometry) -> LabelMap:
    """The label of the nearest voxel on another grid; background outside."""
    layers = [_affine(layer, label_map.geometry, geometry, order=0) for layer in label_map.layers]
    return LabelMap(np.stack(layers), geometry, label_map.segments)


def _cheapest_first(source: Geometry, target: Geometry) -> list[int]:
    """Axes in the order of how much they shrink."""
    return sorted(range(3), key=lambda axis: target.shape[axis] / source.shape[axis])


def _affine(array: NDArray[Any], source: Geometry, target: Geometry, *, order: int) -> NDArray[Any]:
    matrix = np.linalg.solve(source.affine, target.affine)
    matrix[np.abs(matrix - np.round(matrix)) < 1e-9] = np.round(matrix[np.abs(matrix - np.round(matrix)) < 1e-9])
    values = array if order == 0 else np.asarray(array, dtype=np.float32)
    mode = "grid-constant" if order == 0 else "nearest"
    return np.asarray(
        ndimage.affine_transform(values, matrix, output_shape=target.shape, order=order, mode=mode, prefilter=False)
    )
