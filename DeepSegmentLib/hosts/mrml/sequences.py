"""Sequences (4D volumes) frame by frame, and their segmentations as a sequence that plays with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError

from .geometry import local_geometry
from .scene_folders import check_present, place_beside
from .segmentations.nodes import add_segments, keep_provenance
from .segmentations.segments import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from DeepSegmentLib.data import LabelMap


def frame_count(sequence_node: Any) -> int:
    """How many frames a sequence has."""
    return int(sequence_node.GetNumberOfDataNodes())


def frame_node(sequence_node: Any, n: int) -> Any:
    """The volume node of frame n, for `volume_from_nodes`; it belongs to the sequence, not to the scene.

    Raises:
        InvalidInputError: There is no such frame, or it is no scalar volume.
    """
    count = frame_count(sequence_node)
    if not 0 <= n < count:
        raise InvalidInputError(f"sequence {sequence_node.GetName()!r} has {count} frames, there is no frame {n}")
    node = sequence_node.GetNthDataNode(n)
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InvalidInputError(f"sequence {sequence_node.GetName()!r} holds {node.GetClassName()}, not volumes")
    return node


def new_segmentation_sequence(scene: Any, sequence_node: Any, name: str) -> Any:
    """An empty sequence for segmentations with the index of another one, played by the same browser."""
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    node.SetIndexName(sequence_node.GetIndexName())
    node.SetIndexUnit(sequence_node.GetIndexUnit())
    node.SetIndexType(sequence_node.GetIndexType())
    place_beside(scene, node, sequence_node)
    return node


def write_frame(
    scene: Any, target: Any, sequence_node: Any, n: int, *, label_map: LabelMap, provenance: Mapping[str, str]
) -> None:
    """Write the segmentation of frame n.

    Args:
        scene: Of both sequences.
        target: From `new_segmentation_sequence`.
        sequence_node: The segmented sequence.
        n: Which frame.
        label_map: On the frame's grid.
        provenance: Goes with the frame.

    Raises:
        InvalidInputError: The labels are not on the frame's grid, or a sequence was removed.
    """
    import slicer

    for sequence in (sequence_node, target):
        check_present(scene, sequence)
    frame = frame_node(sequence_node, n)
    geometry = local_geometry(frame)
    if label_map.geometry.shape != geometry.shape:
        raise InvalidInputError(f"the labels have shape {label_map.geometry.shape}, frame {n} has {geometry.shape}")
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(target.GetName())
    for layer, labels in enumerate(label_map.layers):
        nouns = [segment for segment in label_map.segments if segment.layer == layer]
        add_segments(node, labels, geometry, nouns, Origin(dict(provenance)))
    keep_provenance(node, provenance)
    target.SetDataNodeAtValue(node, sequence_node.GetNthIndexValue(n))
    _play_together(scene, target, sequence_node, node)


def _play_together(scene: Any, target: Any, sequence_node: Any, node: Any) -> None:
    """Let every browser that plays one sequence play the other in the same place; nothing where none plays it."""
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(n, "vtkMRMLSequenceBrowserNode")
        known = browser.IsSynchronizedSequenceNodeID(sequence_node.GetID(), True)
        if known and not browser.IsSynchronizedSequenceNodeID(target.GetID(), True):
            browser.AddSynchronizedSequenceNodeID(target.GetID())
            _move_together(browser, target, sequence_node, node)


def _move_together(browser: Any, target: Any, sequence_node: Any, node: Any) -> None:
    """Frames have no transform; the node that shows them may have one, and then its segmentation needs it too."""
    movie = browser.GetProxyNode(sequence_node)
    if movie is not None and movie.GetTransformNodeID():
        shown = browser.GetProxyNode(target) or browser.AddProxyNode(node, target, True)
        shown.SetAndObserveTransformNodeID(movie.GetTransformNodeID())
