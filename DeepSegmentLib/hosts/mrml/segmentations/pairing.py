"""Which existing segment a result belongs to, and what the user is to be asked before it is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.hosts.mrml.geometry import local_geometry

from .label_images import read_shapes
from .made_by_model import is_untouched, maker_of, output_of
from .nodes import provenance_of
from .segments import find_by_name, is_protected, segment_ids

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Doubtful:
    """What an update would touch that is not simply the model's own former result: names of segments.

    Attributes:
        changed: The model made them, and they were changed since (or it is not known that they were not).
        protected: They are locked or finished.
        foreign: They have the name of a result but another origin.
        other_volume: Name of the volume that the segmentation was made of, where that is another one.
    """

    changed: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    other_volume: str = ""

    def __bool__(self) -> bool:
        return bool(self.changed or self.protected or self.foreign or self.other_volume)


def pair(node: Any, model: str, outputs: Sequence[str]) -> tuple[str | None, ...]:
    """The existing segment of each output of a model.

    A segment that the model made as this output is known again whatever its name is now; else the first one of the
    same name is taken. No segment is taken twice.

    Args:
        node: The segmentation node.
        model: Name of the model; empty where it is not known.
        outputs: Names of its segments.

    Returns:
        For each output the segment's ID, or None.
    """
    found: list[str | None] = []
    for output in outputs:
        found.append(_made_as(node, model, output, found))
    for n, output in enumerate(outputs):
        if found[n] is None:
            segment_id = find_by_name(node, output)
            found[n] = None if segment_id in found else segment_id
    return tuple(found)


def _made_as(node: Any, model: str, output: str, taken: Sequence[str | None]) -> str | None:
    segmentation = node.GetSegmentation()
    for segment_id in segment_ids(node):
        segment = segmentation.GetSegment(segment_id)
        if segment_id not in taken and model and maker_of(segment) == model and output_of(segment) == output:
            return segment_id
    return None


def doubtful(node: Any, volume_node: Any, model: str, outputs: Sequence[str]) -> Doubtful:
    """What to ask before a model's results update the segments of a node; false where there is nothing to ask.

    Args:
        node: The segmentation node.
        volume_node: What the model segments now.
        model: Its name.
        outputs: Names of its segments.

    Raises:
        InvalidInputError: The segments have no voxels but surfaces, planes or fractions.
    """
    segmentation = node.GetSegmentation()
    ids = [segment_id for segment_id in pair(node, model, outputs) if segment_id is not None]
    shapes = read_shapes(node, ids, local_geometry(volume_node))
    names: dict[str, list[str]] = {"changed": [], "protected": [], "foreign": []}
    for segment_id in ids:
        segment = segmentation.GetSegment(segment_id)
        if is_protected(segment):
            names["protected"].append(segment.GetName())
        elif maker_of(segment) != model:
            if not shapes[segment_id].is_empty:
                names["foreign"].append(segment.GetName())
        elif not is_untouched(segment, shapes[segment_id]):
            names["changed"].append(segment.GetName())
    other = volume_of(node) if ids else None
    of = "" if other is None or other is volume_node else str(other.GetName())
    return Doubtful(**{kind: tuple(found) for kind, found in names.items()}, other_volume=of)


def volume_of(node: Any) -> Any:
    """The volume that a segmentation was made of, or None."""
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def segmentation_of(volume_node: Any) -> Any:
    """The segmentation that a model made of a volume last and that is on show, or None; not what was drawn by hand."""
    scene, found = volume_node.GetScene(), None
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode")
        display = node.GetDisplayNode()
        shown = display is None or display.GetVisibility()
        if shown and volume_of(node) is volume_node and provenance_of(node):
            found = node
    return found
