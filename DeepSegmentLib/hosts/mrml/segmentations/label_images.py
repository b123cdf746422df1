"""The voxels of segmentation nodes: VTK's labelmap images, which segments may share, to shapes and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Box, Geometry
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.geometry import image_to_world, lattice_of

from .shapes import Shape, hull, nothing, shapes_of, stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


def make_image(labels: NDArray[Any], geometry: Geometry, box: Box | None = None) -> Any:
    """A vtkOrientedImageData of labels (k, j, i).

    Args:
        labels: Labels of the box; copied.
        geometry: The whole grid.
        box: Which part of the grid they cover; None for all of it.
    """
    import slicer
    from vtk.util.numpy_support import numpy_to_vtk

    start = (0, 0, 0) if box is None else box.start
    extent = [
        value for first, n in zip(start[::-1], labels.shape[::-1], strict=True) for value in (first, first + n - 1)
    ]
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*extent)
    image.SetImageToWorldMatrix(image_to_world(geometry))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(labels).ravel(), deep=True))
    return image


def read_shapes(node: Any, ids: Iterable[str], geometry: Geometry) -> dict[str, Shape]:
    """The shapes of segments, each on the lattice that it is stored on.

    Args:
        node: The segmentation node.
        ids: Which segments.
        geometry: Gives the lattice of segments that have no image.

    Raises:
        InvalidInputError: The segments have no voxels but surfaces, planes or fractions.
    """
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and not segmentation.ContainsRepresentation(labelmap_name()):
        raise _no_voxels(node)
    shapes = {segment_id: nothing(geometry.affine) for segment_id in ids}
    for image, sharing in by_image(node, shapes):
        values = [segmentation.GetSegment(segment_id).GetLabelValue() for segment_id in sharing]
        shapes.update(zip(sharing, _shapes_of_image(image, values), strict=True))
    return shapes


def by_image(node: Any, ids: Iterable[str]) -> list[tuple[Any, list[str]]]:
    """Each labelmap image with those of the segments that share it; empty images are left out."""
    found: dict[Any, list[str]] = {}
    for segment_id in ids:
        image = node.GetBinaryLabelmapInternalRepresentation(segment_id)
        if image is not None and not image.IsEmpty():
            found.setdefault(image, []).append(segment_id)
    return list(found.items())


def _shapes_of_image(image: Any, values: Sequence[int]) -> list[Shape]:
    affine, start = lattice_of(image), box_of(image).start
    shapes = shapes_of(labels_of(image), affine, values)
    return [Shape(affine, shape.box.shift(start), shape.mask) if shape.box.size else shape for shape in shapes]


def labels_of(image: Any) -> NDArray[Any]:
    """Labels (k, j, i) of an image, shared with it."""
    from vtk.util.numpy_support import vtk_to_numpy

    return np.asarray(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(box_of(image).shape))


def box_of(image: Any) -> Box:
    """The part of its lattice that an image covers; of size 0 for an empty one."""
    extent = image.GetExtent()
    return Box(as_index(extent[::2][::-1]), as_index([last + 1 for last in extent[1::2][::-1]]))


def put_shapes(segments: Sequence[Any], shapes: Sequence[Shape]) -> None:
    """Give segments new shapes; those of one lattice share as few images as their overlaps allow.

    Args:
        segments: Of type vtkSegment.
        shapes: As many.
    """
    lattices: list[tuple[NDArray[np.float64], list[int]]] = []
    for n, shape in enumerate(shapes):
        same = next((members for affine, members in lattices if np.array_equal(affine, shape.affine)), None)
        if same is None:
            lattices.append((shape.affine, [n]))
        else:
            same.append(n)
    for affine, members in lattices:
        _put([segments[n] for n in members], [shapes[n] for n in members], affine)


def _put(segments: Sequence[Any], shapes: Sequence[Shape], affine: NDArray[np.float64]) -> None:
    around = hull(shapes)
    box = around if around.size else Box((0, 0, 0), (1, 1, 1))
    layers, places = stack(shapes, box)
    images = [make_image(layer, Geometry(box.shape, affine), box) for layer in layers]
    for value, (segment, place) in enumerate(zip(segments, places, strict=True), start=1):
        segment.SetLabelValue(value)
        segment.AddRepresentation(labelmap_name(), images[place])
    for image in images:
        image.Modified()  # now that it is observed: surfaces made from the former voxels are dropped


def clear_shapes(node: Any, shapes: Mapping[str, Shape]) -> None:
    """Take the voxels of segments out of the images that they share with others, before they get new ones.

    Args:
        node: The segmentation node.
        shapes: From `read_shapes`; nothing may have changed since.
    """
    for image, sharing in by_image(node, shapes):
        labels, (k, j, i) = labels_of(image), box_of(image).start
        for shape in [shapes[segment_id] for segment_id in sharing if shapes[segment_id].box.size]:
            labels[shape.box.shift((-k, -j, -i)).to_slices()][shape.mask] = 0
        image.GetPointData().GetScalars().Modified()
        image.Modified()


def check_source(node: Any) -> None:
    """Raises InvalidInputError where a segmentation is edited as surfaces or the like."""
    if node.GetSegmentation().GetSourceRepresentationName() != labelmap_name():
        raise _no_voxels(node)


def _no_voxels(node: Any) -> InvalidInputError:
    source = node.GetSegmentation().GetSourceRepresentationName()
    return InvalidInputError(
        f"segmentation {node.GetName()!r} is kept as {source!r}; make {labelmap_name()!r} its source representation "
        "(module Segmentations, section Representations) or choose another one"
    )


def labelmap_name() -> str:
    """Slicer's name of the representation by voxels."""
    import slicer

    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())
