"""Blocks of the images behind nodes, read and written in place: the cost is that of the block, whatever the volume.

A label image may cover any part of its lattice and be shared by several segments; a block may reach beyond it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.hosts.mrml.segmentations.label_images import box_of, labels_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_VOXEL = 0.01  # of a voxel: above the rounding of files, below what a nearest voxel could notice

_ROOM = 16
"""Voxels that an image gets beyond what it needs when it is made larger: strokes go on."""


def read_labels(image: Any, box: Box) -> NDArray[Any]:
    """Labels (k, j, i) of a block of an image's lattice; 0 beyond the image.

    Args:
        image: vtkOrientedImageData.
        box: Which voxels; indices may be negative.
    """
    there = box_of(image)
    common = there.intersect(box)
    if common == box:
        return labels_of(image)[_within(common, there)].copy()
    labels = np.zeros(box.shape, _type_of(image))
    if common.size:
        labels[_within(common, box)] = labels_of(image)[_within(common, there)]
    return labels


def write_labels(image: Any, box: Box, labels: NDArray[Any], room: Box) -> None:
    """Put labels (k, j, i) into a block of an image; the image grows where the block reaches beyond it.

    Nobody is told; the time of the last change is set, by which Slicer's undo sees that there is something new.

    Args:
        image: vtkOrientedImageData.
        box: Which voxels of its lattice.
        labels: In the range of the image's type.
        room: How far the image may become larger than it must.
    """
    there = box_of(image)
    if not there.size or not there.contains(box):
        there = _enlarge(image, there, box, room)
    labels_of(image)[_within(box, there)] = labels
    image.GetPointData().GetScalars().Modified()


def _enlarge(image: Any, there: Box, box: Box, room: Box) -> Box:
    """Give an image the voxels of a block, and some more inside `room`."""
    from vtk.util.numpy_support import numpy_to_vtk

    wanted = box.grow((_ROOM,) * 3).intersect(room)
    whole = hull_of(*[part for part in (there, box, wanted) if part.size])
    labels = np.zeros(whole.shape, _type_of(image))
    if there.size:
        labels[_within(there, whole)] = labels_of(image)
    scalars = numpy_to_vtk(labels.ravel(), deep=True)
    scalars.SetName("ImageScalars")
    extent = [value for a, b in zip(whole.start[::-1], whole.stop[::-1], strict=True) for value in (a, b - 1)]
    image.SetExtent(*extent)
    image.GetPointData().SetScalars(scalars)
    return whole


def hull_of(*boxes: Box) -> Box:
    """The smallest box around boxes."""
    return Box(
        as_index(np.min([box.start for box in boxes], axis=0)), as_index(np.max([box.stop for box in boxes], axis=0))
    )


def sample(channels: NDArray[Any], box: Box, step: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values of an array on a block of another grid, linear between voxels; beyond the array those of its border.

    Args:
        channels: Array (channel, k, j, i).
        box: Which voxels of the other grid.
        step: 4x4 matrix from its indices to those of the array.

    Returns:
        Float32 array (channel, k, j, i) of the block.
    """
    offset = step[:3, :3] @ np.asarray(box.start) + step[:3, 3]
    whole = np.round(offset)
    corner = np.asarray(box.shape) - 1
    if np.abs(step[:3, :3] - np.eye(3)).max() * max(corner.max(), 1) + np.abs(offset - whole).max() < _SAME_VOXEL:
        return _shifted(channels, box, whole.astype(int))
    corners = np.array(np.meshgrid(*[(0, n) for n in corner])).reshape(3, -1).T @ step[:3, :3].T + offset
    last = np.asarray(channels.shape[1:]) - 1
    low = np.clip(np.floor(corners.min(axis=0)), 0, last).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), low, last).astype(int) + 1
    part = channels[(slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))].astype(np.float32)
    return np.stack([
        ndimage.affine_transform(plane, step[:3, :3], offset - low, box.shape, order=1, mode="nearest")
        for plane in part
    ])  # fmt: skip


def _shifted(channels: NDArray[Any], box: Box, start: NDArray[np.int64]) -> NDArray[np.float32]:
    """The block that starts at an index of the array; whole where it lies inside."""
    stop = start + box.shape
    shape = np.asarray(channels.shape[1:])
    if (start >= 0).all() and (stop <= shape).all():
        inside = (slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))
        return np.ascontiguousarray(channels[inside], dtype=np.float32)
    places = [np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(start, stop, shape, strict=True)]
    return channels[:, places[0][:, None, None], places[1][:, None], places[2]].astype(np.float32)


def _type_of(image: Any) -> np.dtype[Any]:
    from vtk.util.numpy_support import get_vtk_to_numpy_typemap

    typemap: dict[int, Any] = get_vtk_to_numpy_typemap()
    kind: np.dtype[Any] = np.dtype(typemap[image.GetScalarType()])
    return kind


def _within(box: Box, whole: Box) -> tuple[slice, slice, slice]:
    """Slices that cut a box out of the array of a box around it."""
    k, j, i = whole.start
    return box.shift((-k, -j, -i)).to_slices()
