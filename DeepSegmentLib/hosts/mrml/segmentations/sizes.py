"""How large the segments of a node are, counted in the voxels that are in the scene now, in short steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.hosts.mrml.geometry import lattice_of

from .label_images import by_image, labelmap_name, labels_of
from .segments import segment_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPARED = 16_000_000
"""Voxels times segments of one step: some 5 ms."""


def voxel_times(node: Any) -> tuple[tuple[str, int, int], ...]:
    """ID, label and time of the last change of the image of each segment: other values after any change of voxels."""
    segmentation, images = node.GetSegmentation(), {}
    for image, sharing in by_image(node, segment_ids(node)):
        images.update(dict.fromkeys(sharing, int(image.GetMTime())))
    return tuple(
        (each, segmentation.GetSegment(each).GetLabelValue(), images.get(each, 0)) for each in segment_ids(node)
    )


def millilitres(node: Any) -> Iterator[dict[str, float]]:
    """Volumes of the segments by ID, in ml, in the node's own space: as Slicer's Segment Statistics counts them.

    Each step takes some milliseconds and gives what is known so far; the last one gives all. A segment without voxels
    has 0 ml; those of a node that has surfaces only are left out. Begin anew when the node has changed in between.

    Args:
        node: The segmentation node.
    """
    segmentation = node.GetSegmentation()
    if not segmentation.ContainsRepresentation(labelmap_name()):
        return
    ids = segment_ids(node)
    images = by_image(node, ids)
    found = dict.fromkeys(set(ids) - {name for _image, sharing in images for name in sharing}, 0.0)
    yield dict(found)
    for image, sharing in images:
        voxel_ml = abs(float(np.linalg.det(lattice_of(image)[:3, :3]))) / 1000
        values = [segmentation.GetSegment(name).GetLabelValue() for name in sharing]
        counts = np.zeros(len(values), int)
        labels = labels_of(image).ravel()
        step = max(1000, _COMPARED // len(values))
        for start in range(0, len(labels), step):
            part = labels[start : start + step]
            counts += [np.count_nonzero(part == value) for value in values]
            yield dict(found)
        found |= dict(zip(sharing, (counts * voxel_ml).tolist(), strict=True))
    yield dict(found)
