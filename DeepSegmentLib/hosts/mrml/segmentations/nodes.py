"""Segmentation nodes to `LabelMap`, new segmentation nodes, and which node belongs to which volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Box, LabelMap, Segment
from DeepSegmentLib.hosts.mrml.geometry import check_same_transform, local_geometry
from DeepSegmentLib.hosts.mrml.scene_folders import place_beside

from .label_images import labelmap_name, make_image, read_shapes
from .segments import Origin, describe, segment_ids, tags_of_provenance, terminology_of
from .shapes import stack
from .surfaces import make_surfaces_quick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry

_ATTRIBUTE = "DeepSegment."
_UNCERTAINTY = "DeepSegmentUncertainty"  # role of a node reference


def label_map_from_node(node: Any, volume_node: Any, ids: Sequence[str] | None = None) -> LabelMap:
    """The segments of a node on the grid of a volume node.

    Args:
        node: vtkMRMLSegmentationNode under the same transform as the volume.
        volume_node: Gives the grid.
        ids: Which segments; None for all.

    Returns:
        Labels in the volume's own space (see `local_geometry`), as many layers as the overlaps need; the values
        1, 2, ... follow the order of the segments.

    Raises:
        InvalidInputError: The nodes are under different transforms, or the segments have no voxels.
    """
    check_same_transform(node, volume_node)
    segmentation, geometry = node.GetSegmentation(), local_geometry(volume_node)
    if ids is None:
        ids = segment_ids(node)
    shapes = read_shapes(node, ids, geometry)
    on_grid = [shapes[segment_id].onto(geometry.affine) for segment_id in ids]
    layers, places = stack(on_grid, Box.of_shape(geometry.shape))
    nouns = [
        to_noun(segmentation.GetSegment(segment_id), value, place)
        for value, (segment_id, place) in enumerate(zip(ids, places, strict=True), start=1)
    ]
    return LabelMap(layers, geometry, tuple(nouns))


def to_noun(segment: Any, value: int, layer: int) -> Segment:
    """A vtkSegment as what a labelmap says of it."""
    red, green, blue = (round(255 * part) for part in segment.GetColor())
    return Segment(str(segment.GetName()), value, (red, green, blue), terminology_of(segment), layer)


def new_segmentation(scene: Any, volume_node: Any, name: str) -> Any:
    """An empty segmentation node for a volume: its grid, its transform, its place in the subject hierarchy."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    make_surfaces_quick(node)
    place_beside(scene, node, volume_node)
    return node


def add_segments(
    node: Any,
    labels: NDArray[Any],
    geometry: Geometry,
    segments: Sequence[Segment],
    origin: Origin,
) -> tuple[str, ...]:
    """Add the segments of one layer; they share one image, which takes milliseconds for any number of them.

    A segment without voxels is added too: that a structure was looked for and not found is a result.

    Args:
        node: The segmentation node.
        labels: Layer (k, j, i).
        geometry: Grid of the layer, in the node's own space.
        segments: The segments of this layer.
        origin: Who made them.

    Returns:
        The IDs of the new segments.
    """
    return add_to_image(node, make_image(labels, geometry), segments, origin)


def add_to_image(node: Any, image: Any, segments: Sequence[Segment], origin: Origin | None = None) -> tuple[str, ...]:
    """Add segments whose voxels are in a label image; their IDs."""
    import slicer

    segmentation = node.GetSegmentation()
    added = []
    for noun in segments:
        segment = slicer.vtkSegment()
        describe(segment, noun, origin or Origin())
        segment.SetLabelValue(noun.value)
        segment.AddRepresentation(labelmap_name(), image)
        segment_id = segmentation.GenerateUniqueSegmentID(noun.name)
        segmentation.AddSegment(segment, segment_id)
        added.append(segment_id)
    return tuple(added)


def keep_provenance(node: Any, provenance: Mapping[str, str]) -> None:
    """Write the provenance on the node, where it is saved with the scene, in place of what was there."""
    for name in _attributes(node):
        node.RemoveAttribute(name)
    for key, value in provenance.items():
        node.SetAttribute(f"{_ATTRIBUTE}{key}", value)


def provenance_of(node: Any) -> dict[str, str]:
    """The provenance that `keep_provenance` wrote, or else what the segments' tags say (after loading a file)."""
    names = _attributes(node)
    if names:
        return {name.removeprefix(_ATTRIBUTE): str(node.GetAttribute(name)) for name in names}
    ids = segment_ids(node)
    return tags_of_provenance(node.GetSegmentation().GetSegment(ids[0])) if ids else {}


def _attributes(node: Any) -> list[str]:
    return [name for name in node.GetAttributeNames() if name.startswith(_ATTRIBUTE)]


def keep_uncertainty(node: Any, map_node: Any) -> None:
    """Let a segmentation know the map of its uncertainty."""
    node.SetNodeReferenceID(_UNCERTAINTY, map_node.GetID())


def uncertainty_of(node: Any) -> Any:
    """The volume node with the uncertainty of a segmentation, or None."""
    return node.GetNodeReference(_UNCERTAINTY)


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
