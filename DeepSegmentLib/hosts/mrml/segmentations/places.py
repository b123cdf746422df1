"""Which segments are at a place of the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.hosts.mrml.geometry import lattice_of

from .label_images import box_of, by_image, labels_of
from .segments import name_of, segment_ids

if TYPE_CHECKING:
    from collections.abc import Sequence


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
