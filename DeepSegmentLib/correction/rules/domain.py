"""The domain of a correction: the only voxels that it may change, and the block around them that it looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data.geometry import Box, as_index
from DeepSegmentLib.imaging.resampling import along_axis, axis_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Index

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float32]

CONTEXT = 1.3
"""How far the block reaches, in edit radii: the shell beyond the domain shows what the other side looks like."""


@dataclass(frozen=True, eq=False)
class Domain:
    """A block of the volume around a prompt. All arrays have its shape (k, j, i).

    Attributes:
        channels: Float32 intensities (channel, k, j, i).
        spacing_mm: Voxel size along (k, j, i).
        free: Voxels that may change.
        must: Voxels that change because the prompt says so; not free.
        source: Where distances start: the stroke, or what stands for it.
        target: Voxels that are already as the prompt wants them.
        against: Voxels that earlier prompts hold on the other side.
        distance_mm: Float32 distance to the source.
        radius_mm: How far from the source voxels may change.
        probability: What a network gives for the wanted side, float32 in [0, 1], or None.
    """

    channels: Floats
    spacing_mm: tuple[float, float, float]
    free: Mask
    must: Mask
    source: Mask
    target: Mask
    against: Mask
    distance_mm: Floats
    radius_mm: float
    probability: Floats | None = None

    @property
    def finest_mm(self) -> float:
        """The smallest voxel size."""
        return min(self.spacing_mm)

    @cached_property
    def open_to_change(self) -> Mask:
        """Voxels that change or may change."""
        return self.free | self.must

    @cached_property
    def near(self) -> Mask:
        """Voxels that change, and free ones so close to the source that they are taken for the wanted side."""
        return self.must | (self.free & (self.distance_mm <= max(1.6 * self.finest_mm, 0.2 * self.radius_mm)))


def block_around(indices: NDArray[np.int64], reach_mm: float, spacing_mm: Sequence[float], shape: Index) -> Box:
    """The block of voxels within a distance of some voxels, two voxels wider, inside the grid.

    Args:
        indices: Voxels (n, 3), at least one.
        reach_mm: Distance along each axis.
        spacing_mm: Voxel size along (k, j, i).
        shape: The grid's extent.
    """
    margin = as_index([int(np.ceil(reach_mm / step)) + 2 for step in spacing_mm])
    box = Box(as_index(indices.min(axis=0)), as_index(indices.max(axis=0) + 1))
    return box.grow(margin).intersect(Box.of_shape(shape))


def mask_of(indices: NDArray[np.int64], box: Box) -> Mask:
    """The mask of a box that holds the voxels (n, 3) of a grid that lie in it."""
    mask = np.zeros(box.shape, dtype=bool)
    places = indices - np.asarray(box.start)
    inside = ((places >= 0) & (places < box.shape)).all(axis=1)
    mask[tuple(places[inside].T)] = True
    return mask


def indices_of(mask: Mask) -> NDArray[np.int64]:
    """The voxels (n, 3) of a mask in raster order: NumPy's `argwhere`, much faster where there are few."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)


def distance_mm(source: Mask, spacing_mm: Sequence[float]) -> Floats:
    """Distance of each voxel to the nearest one of a mask (k, j, i) that has at least one.

    A click is measured directly, many voxels by a distance transform: the numbers are the same.
    """
    places = indices_of(source)
    if len(places) > 4:
        return np.asarray(ndimage.distance_transform_edt(~source, sampling=spacing_mm), dtype=np.float32)
    squared = np.full(source.shape, np.inf, dtype=np.float32)
    for place in places:
        k, j, i = (
            ((np.arange(n) - middle) * step) ** 2
            for n, middle, step in zip(source.shape, place, spacing_mm, strict=True)
        )
        squared = np.minimum(squared, (k[:, None, None] + j[:, None] + i).astype(np.float32))
    return np.sqrt(squared)


def coarsening(domain: Domain, most_voxels: int) -> Index:
    """By how many voxels along each axis the block must be coarsened to hold at most so many.

    The finest axis is coarsened first, so that voxels become more like cubes.
    """
    factors = np.ones(3, dtype=np.int64)
    shape = np.asarray(domain.free.shape)
    while np.prod(-(-shape // factors)) > most_voxels and (factors < shape).any():
        steps = np.where(factors < shape, factors * np.asarray(domain.spacing_mm), np.inf)
        factors[np.argmin(steps)] += 1
    return as_index(factors)


def picked(shape: Index, factors: Index) -> tuple[slice, ...]:
    """Every n-th voxel along each axis, from the middle of the first n on."""
    return tuple(slice(n // 2 if size > n // 2 else 0, None, n) for n, size in zip(factors, shape, strict=True))


def coarsened(domain: Domain, factors: Index) -> Domain:
    """The domain on every n-th voxel, intensities averaged. What must change and the source keep at least one voxel."""
    picks = picked(domain.free.shape, factors)
    channels = domain.channels
    for axis, (n, pick) in enumerate(zip(factors, picks, strict=True), start=1):
        if n > 1:
            means = ndimage.uniform_filter1d(channels, n, axis=axis, mode="nearest")
            channels = means[(slice(None),) * axis + (pick,)]
    source = _any_within(domain.source, factors, picks)
    k, j, i = (n * step for n, step in zip(factors, domain.spacing_mm, strict=True))
    must = _any_within(domain.must, factors, picks)
    return replace(
        domain,
        channels=channels,
        spacing_mm=(k, j, i),
        free=domain.free[picks] & ~must,
        must=must,
        source=source,
        target=domain.target[picks] & ~must,
        against=_any_within(domain.against, factors, picks) & ~source,
        distance_mm=domain.distance_mm[picks],
        probability=None if domain.probability is None else domain.probability[picks],
    )


def _any_within(mask: Mask, factors: Index, picks: tuple[slice, ...]) -> Mask:
    """For each picked voxel whether the mask has one nearer to it than to other picked ones."""
    shape = np.zeros(mask.shape, dtype=bool)[picks].shape
    places = indices_of(mask) // np.asarray(factors)
    found = np.zeros(shape, dtype=bool)
    found[tuple(np.minimum(places, np.asarray(shape) - 1).T)] = True
    return found


def refined(values: Floats, factors: Index, shape: Index) -> Floats:
    """Values of a coarsened domain on the voxels of the full one, by linear interpolation."""
    for axis, (n, size) in enumerate(zip(factors, shape, strict=True)):
        if n == 1:
            continue
        first = n // 2 if size > n // 2 else 0
        positions = np.clip((np.arange(size) - first) / n, 0, values.shape[axis] - 1)
        values = along_axis(values, axis_weights(positions, values.shape[axis]), axis)
    return values
