"""Volumes and labelmaps on another grid.

Grids whose axes are parallel are resampled axis by axis with small matrices; others by SciPy's `affine_transform`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.data.progress import check_stop, unwatched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from .intensity import ScaledVoxels

SLAB_VOXELS = 1 << 23
"""Voxels that are resampled at once."""

_BLOCK = 512
"""New samples whose weights are made at once, where axes do not shrink; or else old ones."""
_SPLINE_REACH = 40
"""Old samples beyond which a spline has forgotten: their weight is under 1e-12 for all orders to 5."""
_LEAST_WEIGHT = 1e-7
"""Smaller weights of splines do not count in float32."""
_LARGEST_CORNER = 1 << 16
"""A difference from a larger number would lose digits of small ones; Hounsfield units and gray values are below."""


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


@dataclass(frozen=True, eq=False)
class AxisPlan:
    """How one axis gets its new samples: each a weighted sum of old ones.

    Attributes:
        positions: Fractional old index of each new sample, ascending.
        n: Old samples.
        order: Of the spline that goes through them, 0 (nearest) to 5; beyond the border it sees the border's value.
        support: For order 1, see `axis_weights`.
    """

    positions: NDArray[np.float64]
    n: int
    order: int = 1
    support: float = 1.0

    @property
    def changes_nothing(self) -> bool:
        """Whether the new samples are the old ones."""
        return len(self.positions) == self.n and np.array_equal(self.positions, np.arange(self.n))

    def blocks(self) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
        """New samples, the old ones that they come from, and the weights (new, old); a bounded number at a time."""
        ratio = max(1.0, self.n / len(self.positions), self.support)
        step = max(1, int(_BLOCK / ratio))
        for start in range(0, len(self.positions), step):
            new = slice(start, min(start + step, len(self.positions)))
            positions = self.positions[new]
            reach = math.ceil(self.support) if self.order < 2 else _SPLINE_REACH
            low = int(np.clip(np.floor(positions[0]) - reach, 0, self.n - 1))
            high = int(np.clip(np.ceil(positions[-1]) + reach, low, self.n - 1)) + 1
            yield new, slice(low, high), self._weights(positions - low, high - low)

    def _weights(self, positions: NDArray[np.float64], n: int) -> NDArray[np.float32]:
        if self.order == 1:
            return axis_weights(positions, n, support=self.support)
        if self.order == 0:
            nearest = np.clip(np.floor(positions + 0.5), 0, n - 1).astype(np.intp)  # as SciPy: halves go up
            return np.asarray(nearest[:, None] == np.arange(n), dtype=np.float32)
        return _spline_weights(positions, n, self.order)

    def matrix(self) -> NDArray[np.float32]:
        """All weights (new, old)."""
        matrix = np.zeros((len(self.positions), self.n), dtype=np.float32)
        for new, old, weights in self.blocks():
            matrix[new, old] = weights
        return matrix

    def rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """For each new sample the first old one that it comes from, and the weights of that and the next ones."""
        for _, old, block in self.blocks():
            for row in block:
                used = np.flatnonzero(row)
                yield old.start + int(used[0]), row[used[0] : used[-1] + 1]


def _spline_weights(positions: NDArray[np.float64], n: int, order: int) -> NDArray[np.float32]:
    """Weights (positions, n) of a spline of order 2 or more at evenly spaced places.

    They are what SciPy makes of unit impulses, so that doing it axis by axis is `scipy.ndimage.zoom`.
    """
    step = float(positions[-1] - positions[0]) / max(1, len(positions) - 1) or 1.0
    matrix = ndimage.affine_transform(
        np.eye(n), [step, 1.0], [float(positions[0]), 0.0], (len(positions), n), order=order, mode="nearest"
    )
    return np.where(np.abs(matrix) < _LEAST_WEIGHT, 0, matrix).astype(np.float32)


def plan_axis(source: Geometry, target: Geometry, axis: int, *, order: int = 1, antialias: bool = False) -> AxisPlan:
    """The way from one grid to a parallel one along an axis.

    Args:
        source: The grid that there is.
        target: The other.
        axis: 0 to 2.
        order: Of the spline.
        antialias: Whether shrinking averages (triangle filter, order 1) instead of skipping.
    """
    ratio = target.spacing_mm[axis] / source.spacing_mm[axis]
    support = max(1.0, ratio) if antialias else 1.0
    return AxisPlan(axis_positions(source, target, axis), source.shape[axis], order, support)


def plan_same_extent(n: int, m: int, *, order: int) -> AxisPlan:
    """The way from `n` to `m` samples over the same extent."""
    return AxisPlan(np.asarray(n / m * (np.arange(m) + 0.5) - 0.5, dtype=np.float64), n, order)


def plan_same_corners(n: int, m: int, *, order: int) -> AxisPlan:
    """The way from `n` to `m` samples, the first and last of which are the same: SciPy's zoom."""
    return AxisPlan(np.asarray(np.arange(m) * ((n - 1) / max(1, m - 1)), dtype=np.float64), n, order)


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
    plans = [plan_axis(volume.geometry, geometry, axis, antialias=True) for axis in range(3)]
    voxels = along_axes(volume.voxels, dict(enumerate(plans)), on_step)
    return Volume(np.asarray(voxels, dtype=np.float32), geometry, volume.name)


def along_axes(
    voxels: NDArray[Any] | ScaledVoxels, plans: Mapping[int, AxisPlan], on_step: Callable[[], None] = unwatched
) -> NDArray[Any]:
    """The array (channel, k, j, i) with some of its axes (0 to 2: k, j, i) resampled, those that shrink most first."""
    for axis in sorted(plans, key=lambda axis: len(plans[axis].positions) / plans[axis].n):
        if plans[axis].changes_nothing:
            on_step()
        else:
            voxels = _in_slabs(voxels, plans[axis], axis + 1, on_step)
    return np.asarray(voxels)


def _in_slabs(
    voxels: NDArray[Any] | ScaledVoxels, plan: AxisPlan, axis: int, on_step: Callable[[], None]
) -> NDArray[np.float32]:
    """One axis of the array (channel, k, j, i) resampled, a slab of it after the other.

    What is resampled is the difference from the first voxel of each channel. Weights sum to 1, so that is the same; but
    where there is nothing but that value, as in air, it stays exactly that: tiles are compared, see
    `segmentation.on_device.batches`.
    """
    across = 2 if axis == 1 else 1
    corner = np.array(voxels[(slice(None), *(slice(1),) * 3)], dtype=np.float32)[..., 0]
    corner[np.abs(corner) > _LARGEST_CORNER] = 0
    shape = [*voxels.shape]
    shape[axis] = len(plan.positions)
    result = np.empty(shape, dtype=np.float32)
    step = max(1, SLAB_VOXELS * voxels.shape[across] // max(1, voxels.size))
    for start in range(0, voxels.shape[across], step):
        on_step()
        slab = (slice(None),) * across + (slice(start, start + step),)
        source, target = np.moveaxis(voxels[slab], axis, 0), np.moveaxis(result[slab], axis, 0)
        for new, old, weights in plan.blocks():
            check_stop()
            part = np.subtract(source[old], corner, dtype=np.float32)
            np.add(np.tensordot(weights, part, axes=1), corner, out=target[new])
    return result


def resample_labels(label_map: LabelMap, geometry: Geometry) -> LabelMap:
    """The label of the nearest voxel on another grid; background outside."""
    layers = [_affine(layer, label_map.geometry, geometry, order=0) for layer in label_map.layers]
    return LabelMap(np.stack(layers), geometry, label_map.segments)


def _affine(array: NDArray[Any], source: Geometry, target: Geometry, *, order: int) -> NDArray[Any]:
    matrix = np.linalg.solve(source.affine, target.affine)
    matrix[np.abs(matrix - np.round(matrix)) < 1e-9] = np.round(matrix[np.abs(matrix - np.round(matrix)) < 1e-9])
    values = array if order == 0 else np.asarray(array, dtype=np.float32)
    mode = "grid-constant" if order == 0 else "nearest"
    return np.asarray(
        ndimage.affine_transform(values, matrix, output_shape=target.shape, order=order, mode=mode, prefilter=False)
    )
