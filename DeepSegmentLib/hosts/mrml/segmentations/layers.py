"""The label images of a segmentation node, which Slicer calls layers: which segment has its voxels in which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.hosts.mrml.geometry import lattice_of

from .label_images import box_of, by_image, labels_of
from .segments import name_of, segment_ids

if TYPE_CHECKING:
    from collections.abc import Sequence


def image_of(segmentation: Any, segment_id: str) -> Any:
    """The label image of a segment, or None where it has no voxels."""
    image = segmentation.GetBinaryLabelmapInternalRepresentation(segment_id)
    return None if image is None or image.IsEmpty() else image


def value_of(segmentation: Any, segment_id: str) -> int:
    """The label of a segment in its image."""
    return int(segmentation.GetSegmentation().GetSegment(segment_id).GetLabelValue())


def sharing(segmentation: Any, image: Any) -> tuple[tuple[str, int], ...]:
    """ID and label of every segment of an image."""
    names = [
        name
        for name in segment_ids(segmentation)
        if segmentation.GetBinaryLabelmapInternalRepresentation(name) is image
    ]
    return tuple((name, value_of(segmentation, name)) for name in names)


def home_of(segmentation: Any, segment_id: str) -> tuple[Any, int]:
    """The image that a segment's voxels are in, or shall be in, and its label there.

    A segment without voxels goes into the first image of others on the reference grid, so that what is drawn for it
    cannot cover them; where there is none, the image is None.
    """
    image = image_of(segmentation, segment_id)
    if image is not None:
        return image, value_of(segmentation, segment_id)
    for name in segment_ids(segmentation):
        other = image_of(segmentation, name)
        if other is not None:
            taken = [value for _name, value in sharing(segmentation, other)]
            return other, max(taken) + 1
    return None, value_of(segmentation, segment_id)


def names_at(node: Any, ras: Sequence[float]) -> tuple[str, ...]:
    """Names of the segments that have the voxel at a point of the scene, in their order.

    Args:
        node: The segmentation node, under any transform.
        ras: The point, in mm.
    """
    import slicer
    import vtk

    to_node = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node.GetParentTransformNode(), to_node)
    point = np.array([*to_node.TransformPoint(list(map(float, ras))), 1.0])
    ids, found = segment_ids(node), set()
    for image, sharing in by_image(node, ids):
        index = np.round(np.linalg.solve(lattice_of(image), point)[:3]).astype(int) - box_of(image).start
        labels = labels_of(image)
        if (index >= 0).all() and (index < labels.shape).all():
            value = labels[tuple(index)]
            segments = node.GetSegmentation()
            found |= {each for each in sharing if segments.GetSegment(each).GetLabelValue() == value}
    return tuple(name_of(node, each) for each in ids if each in found)
