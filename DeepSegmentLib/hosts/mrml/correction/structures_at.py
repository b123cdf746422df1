"""Which structures of a segmentation node are at a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.hosts.mrml.geometry import lattice_of
from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of, value_of

from .blocks import read_labels
from .masking import visible_ids

if TYPE_CHECKING:
    from collections.abc import Sequence


def structures_at(segmentation: Any, point_ras: Sequence[float], reach_mm: float = 5.0) -> list[str]:
    """Names of the visible segments around a place.

    Args:
        segmentation: vtkMRMLSegmentationNode.
        point_ras: The place in the scene, in RAS mm.
        reach_mm: How far they may be, along each axis of the voxels.

    Returns:
        The nearest first.
    """
    import vtk

    to_node = vtk.vtkGeneralTransform()
    if segmentation.GetParentTransformNode() is not None:
        segmentation.GetParentTransformNode().GetTransformFromWorld(to_node)
    place = np.array([*to_node.TransformPoint(list(point_ras)), 1.0])
    found = []
    for segment_id in visible_ids(segmentation):
        distance = _distance_mm(segmentation, segment_id, place, reach_mm)
        if distance is not None:
            found.append((distance, segmentation.GetSegmentation().GetSegment(segment_id).GetName()))
    return [name for _distance, name in sorted(found)]


def _distance_mm(segmentation: Any, segment_id: str, place: np.ndarray[Any, Any], reach_mm: float) -> float | None:
    """From a place (4) in the node's space to the nearest voxel of a segment around it; None where there is none."""
    image = image_of(segmentation, segment_id)
    if image is None:
        return None
    lattice = lattice_of(image)
    spacing_mm = np.linalg.norm(lattice[:3, :3], axis=0)
    voxel = np.linalg.solve(lattice, place)[:3]
    middle = as_index(np.floor(voxel + 0.5))
    box = Box(middle, middle).grow(as_index(np.ceil(reach_mm / spacing_mm)))
    voxels = np.argwhere(read_labels(image, box) == value_of(segmentation, segment_id))
    if not len(voxels):
        return None
    return float(np.linalg.norm((voxels + np.asarray(box.start) - voxel) * spacing_mm, axis=1).min())
