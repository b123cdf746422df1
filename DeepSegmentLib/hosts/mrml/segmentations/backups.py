"""What a write takes away is kept: one segmentation node for each write, named and dated, not shown."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from .label_images import put_shapes
from .nodes import new_segmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .shapes import Shape


def back_up(scene: Any, node: Any, volume_node: Any, shapes: Mapping[str, Shape]) -> Any:
    """Keep former shapes of segments in a segmentation of their own, beside the others of the volume.

    It is an ordinary node: the user finds it in the module Data, shows it, copies a segment back, or deletes it.

    Args:
        scene: Where it goes.
        node: The segmentation that they are of; it may have changed already.
        volume_node: Its volume.
        shapes: By the IDs of the segments, which are there still.

    Returns:
        The vtkMRMLSegmentationNode; None where there is nothing to keep.
    """
    import slicer

    if not shapes:
        return None
    kept = new_segmentation(scene, volume_node, f"{node.GetName()} before {datetime.now():%Y-%m-%d %H-%M-%S}")
    kept.GetDisplayNode().SetVisibility(False)
    copies = {segment_id: slicer.vtkSegment() for segment_id in shapes}
    for segment_id, copy in copies.items():
        copy.DeepCopyMetadata(node.GetSegmentation().GetSegment(segment_id))
    put_shapes(list(copies.values()), list(shapes.values()))
    for segment_id, copy in copies.items():
        kept.GetSegmentation().AddSegment(copy, segment_id)
    return kept
