"""Shapes of segments: voxels on a lattice without borders, cut to the box that they fill.

Segments of one node may lie on several lattices and reach outside the volume. A shape keeps both as they are; and since
only its box is worked on, merging takes a fraction of the time and memory of whole volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Box, Geometry, LabelMap
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.imaging.resampling import resample_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NOWHERE = Box((0, 0, 0), (0, 0, 0))
_SAME_VOXEL = 0.01  # of a voxel: far above the rounding of files, far below what a nearest voxel could notice


@dataclass(frozen=True, eq=False)
class Shape:
    """The voxels of one segment.

    Attributes:
        affine: 4x4 matrix from index (k, j, i) of the lattice to millimetres in the node's space.
        box: Part of the lattice that holds all voxels of the shape; indices may be negative.
        mask: Boolean array (k, j, i) of the box.
    """

    affine: NDArray[np.float64]
    box: Box
    mask: NDArray[np.bool_]

    @property
    def is_empty(self) -> bool:
        """Whether no voxel is left."""
        return not self.mask.any()

    @property
    def geometry(self) -> Geometry:
        """The grid of the box, which must not be of size 0."""
        return Geometry(self.box.shape, self.affine).crop(self.box)

    def within(self, box: Box) -> NDArray[np.bool_]:
        """The voxels in another box of the same lattice."""
        array, common = np.zeros(box.shape, dtype=bool), self.box.intersect(box)
        if common.size:
            array[_part(common, box)] = self.mask[_part(common, self.box)]
        return array

    def cut(self, box: Box) -> Shape:
        """The part of the shape in a box."""
        common = self.box.intersect(box)
        return Shape(self.affine, common, self.within(common)) if common.size else nothing(self.affine)

    def onto(self, affine: NDArray[np.float64]) -> Shape:
        """The shape on another lattice: where the nearest voxel belongs to it."""
        if not self.box.size:
            return nothing(affine)
        offset = _whole_offset(self, affine)
        if offset is not None:
            return Shape(affine, self.box.shift(as_index(offset)), self.mask)
        box = _box_on(self, affine)
        labels = LabelMap(self.mask.view(np.uint8)[None], self.geometry)
        sampled = resample_labels(labels, Geometry(box.shape, affine).crop(box))
        return Shape(affine, box, sampled.layers[0].astype(bool))


def nothing(affine: NDArray[np.float64]) -> Shape:
    """A shape without voxels."""
    return Shape(affine, _NOWHERE, np.zeros((0, 0, 0), dtype=bool))


def union(first: Shape, second: Shape) -> Shape:
    """The voxels of either shape; both on the first one's lattice."""
    second = second.onto(first.affine)
    box = hull([first, second])
    return Shape(first.affine, box, first.within(box) | second.within(box))


def difference(first: Shape, second: Shape) -> Shape:
    """The voxels of the first shape that the second one has not."""
    return Shape(first.affine, first.box, first.mask & ~second.onto(first.affine).within(first.box))


def same_voxels(first: Shape, second: Shape) -> bool:
    """Whether both shapes have the same voxels of one lattice."""
    if first.is_empty or second.is_empty:
        return first.is_empty and second.is_empty
    offset = _whole_offset(second, first.affine)
    if offset is None:
        return False
    moved = Shape(first.affine, second.box.shift(as_index(offset)), second.mask)
    box = hull([first, moved])
    return np.array_equal(first.within(box), moved.within(box))


def hull(shapes: Sequence[Shape]) -> Box:
    """The smallest box around the boxes of shapes on one lattice; of size 0 where all are."""
    boxes = [shape.box for shape in shapes if shape.box.size]
    if not boxes:
        return _NOWHERE
    start = np.min([box.start for box in boxes], axis=0)
    return Box(as_index(start), as_index(np.max([box.stop for box in boxes], axis=0)))


def shapes_of(labels: NDArray[Any], affine: NDArray[np.float64], values: Sequence[int]) -> tuple[Shape, ...]:
    """The shapes of some values of a label array (k, j, i) whose first voxel is the lattice's origin."""
    boxes = ndimage.find_objects(labels)
    found = {value: boxes[value - 1] for value in values if 0 < value <= len(boxes)}
    return tuple(_shape(labels, affine, value, found.get(value)) for value in values)


def _shape(labels: NDArray[Any], affine: NDArray[np.float64], value: int, part: Any) -> Shape:
    if part is None:
        return nothing(affine)
    box = Box(as_index([span.start for span in part]), as_index([span.stop for span in part]))
    return Shape(affine, box, labels[part] == value)


def stack(shapes: Sequence[Shape], box: Box) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Shapes as labels 1, 2, ... in as many layers as their overlaps need.

    Args:
        shapes: On one lattice.
        box: What the layers cover; the shapes are cut to it.

    Returns:
        Array (layer, k, j, i) of uint8 or uint16, at least one layer; and the layer of each shape.
    """
    kind = np.uint8 if len(shapes) < 256 else np.uint16
    layers = [np.zeros(box.shape, kind)]
    places = []
    for value, shape in enumerate(shapes, start=1):
        part = shape.cut(box)
        inside = _part(part.box, box) if part.box.size else (slice(0, 0),) * 3
        places.append(_free_layer(layers, part.mask, inside))
        layers[places[-1]][inside][part.mask] = value
    return np.stack(layers) if len(layers) > 1 else layers[0][None], tuple(places)


def _free_layer(layers: list[NDArray[Any]], mask: NDArray[np.bool_], inside: tuple[slice, slice, slice]) -> int:
    """The first layer that is empty under a mask; a new one where there is none."""
    for n, layer in enumerate(layers):
        if not layer[inside][mask].any():
            return n
    layers.append(np.zeros_like(layers[0]))
    return len(layers) - 1


def _part(box: Box, whole: Box) -> tuple[slice, slice, slice]:
    """Slices that cut a box out of the array of a box around it."""
    k, j, i = whole.start
    return box.shift((-k, -j, -i)).to_slices()


def _step(shape: Shape, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """4x4 matrix from the shape's indices to those of another lattice."""
    return np.asarray(np.linalg.solve(affine, shape.affine))


def _corners(box: Box) -> NDArray[np.float64]:
    """The corners (8, 3) of the box at the faces of its voxels; they differ even where there is one voxel."""
    spans = [(first - 0.5, last - 0.5) for first, last in zip(box.start, box.stop, strict=True)]
    return np.array(np.meshgrid(*spans)).reshape(3, -1).T


def _whole_offset(shape: Shape, affine: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """The offset to the indices of a lattice of the same voxels; None where the voxels are others."""
    step, corners = _step(shape, affine), _corners(shape.box)
    there = corners @ step[:3, :3].T + step[:3, 3]
    offset = np.round(there[0] - corners[0])
    return offset.astype(int) if np.abs(there - corners - offset).max() < _SAME_VOXEL else None


def _box_on(shape: Shape, affine: NDArray[np.float64]) -> Box:
    """The box of another lattice that covers the shape's voxels to their faces."""
    step = _step(shape, affine)
    there = _corners(shape.box) @ step[:3, :3].T + step[:3, 3]
    return Box(as_index(np.floor(there.min(axis=0)).astype(int)), as_index(np.ceil(there.max(axis=0)).astype(int) + 1))
