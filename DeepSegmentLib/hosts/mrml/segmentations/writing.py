"""Results into segmentation nodes, by an explicit merge policy; nothing that is there is lost without asking.

vtkSlicerSegmentEditorLogic saves the state of an existing node before it is changed: one Undo takes a whole result
back, segments that it added included. The merged shapes are put into the node all at once, as Undo itself does; the
logic's own way takes seconds for each segment of a large volume, and heeds the masks of the user's next brush stroke.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.geometry import check_same_transform, local_geometry, world_geometry
from DeepSegmentLib.hosts.mrml.scene_folders import check_present
from DeepSegmentLib.segmentation.prepare import region_box

from .label_images import check_source, clear_shapes, has_surfaces, put_shapes, read_shapes
from .merge_policies import Merge, MergePolicy
from .nodes import add_segments, keep_provenance, new_segmentation, provenance_of
from .segments import BACKUP_TAG, Origin, back_up, find_by_name, is_protected, segment_ids, stamp
from .shapes import difference, same_voxels, shapes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Geometry, LabelMap, Segment

    from .shapes import Shape


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes:
        node: The segmentation node.
        added: IDs of new segments.
        changed: IDs of segments with a new shape.
        skipped: Names of results that were not written because their segment is locked or completed.
        backups: IDs of the hidden segments that hold the former shapes.
        provenance: What the node said of itself before.
    """

    node: Any
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Plan:
    """What to add and what to change, before anything is done.

    Attributes:
        layers: The allowed part of the result.
        additions: Its segments that are new.
        before: Shapes of the segments to change, by ID.
        after: Their new shapes.
        skipped: Names of results that must not be written.
    """

    layers: NDArray[Any]
    additions: list[Segment] = field(default_factory=list)
    before: dict[str, Shape] = field(default_factory=dict)
    after: dict[str, Shape] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def make_editor(scene: Any) -> Any:
    """A vtkSlicerSegmentEditorLogic with a hidden, unsaved parameter node that masks nothing and overwrites nobody."""
    import slicer

    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("DeepSegment")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node = scene.AddNode(node)
    node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
    node.SetOverwriteMode(node.OverwriteNone)
    node.SetSourceVolumeIntensityMask(False)
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLScene(scene)
    editor.SetSegmentEditorNode(node)
    return editor


def write_label_map(
    scene: Any,
    label_map: LabelMap,
    volume_node: Any,
    *,
    policy: MergePolicy = MergePolicy.NEW,
    target: Any = None,
    segments: Collection[str] = (),
    region_ras: NDArray[np.float64] | None = None,
    provenance: Mapping[str, str] | None = None,
    algorithm: str = "AUTOMATIC",
    editor: Any = None,
    before_change: Callable[[Any], object] | None = None,
) -> Written:
    """Write a labelmap as segments.

    Locked and completed segments never change; where the policy would change one, the result of that name is left out
    and named in `skipped`. What is replaced is kept in a hidden backup segment.

    Args:
        scene: The scene of the nodes.
        label_map: On the grid of the volume.
        volume_node: What was segmented; gives the grid, the transform and the place of a new node.
        policy: What happens to existing segments.
        target: vtkMRMLSegmentationNode; needed by every policy but NEW.
        segments: REPLACE: names of the segments to replace.
        region_ras: ROI: two opposite corners (2, 3), in the space of `volume_from_nodes`.
        provenance: Goes with the node and with each written segment.
        algorithm: DICOM's type of algorithm: AUTOMATIC, SEMIAUTOMATIC or MANUAL.
        editor: From `make_editor`; the one to call Undo on. None: the write cannot be taken back.
        before_change: Called once with the node before it is changed, so that others can save its state too.

    Raises:
        InvalidInputError: The labelmap is not on the volume's grid, a policy lacks what it needs, or the target is
            under another transform than the volume.
    """
    check_present(scene, volume_node)
    geometry, origin = local_geometry(volume_node), Origin(dict(provenance or {}), algorithm)
    if label_map.geometry.shape != geometry.shape:
        raise InvalidInputError(f"the labels have shape {label_map.geometry.shape}, the volume {geometry.shape}")
    if policy is MergePolicy.NEW:
        return _write_new(scene, label_map, volume_node, origin)
    _check_target(scene, target, volume_node)
    merge = Merge(policy, frozenset(segments), _region(policy, volume_node, region_ras))
    plan = _plan(label_map, target, geometry, merge)
    editor = editor or make_editor(scene)
    editor.SetSegmentationNode(target)
    if target.GetDisplayNode() is None:
        target.CreateDefaultDisplayNodes()
    if before_change is not None:
        before_change(target)
    editor.SaveStateForUndo()
    try:
        written = _carry_out(plan, target, geometry, origin)
    except BaseException:
        editor.Undo()
        raise
    former = provenance_of(target)
    keep_provenance(target, origin.provenance)
    return replace(written, provenance=former)


def take_back(scene: Any, written: Written, editor: Any = None) -> None:
    """Undo a write: a node that it made goes, an older one gets its former segments.

    Slicer goes through a shared image once for each segment that leaves it, which takes many seconds for a large one;
    so the voxels of what the write added are dropped first. There is no way forward again.

    Args:
        scene: The scene of the nodes.
        written: What the write did.
        editor: The editor of the write; None where the write made the node.
    """
    if editor is not None and not editor.CanUndo():
        return
    for segment_id in (*written.added, *written.backups):
        segment = written.node.GetSegmentation().GetSegment(segment_id)
        if segment is not None:
            segment.RemoveAllRepresentations()
    if editor is not None:
        editor.Undo()
        keep_provenance(written.node, written.provenance)
    else:
        scene.RemoveNode(written.node)


def _write_new(scene: Any, label_map: LabelMap, volume_node: Any, origin: Origin) -> Written:
    node = new_segmentation(scene, volume_node, f"{volume_node.GetName()} segmentation")
    keep_provenance(node, origin.provenance)
    return Written(node, _add(node, local_geometry(volume_node), label_map.layers, label_map.segments, origin))


def _add(
    node: Any, geometry: Geometry, layers: NDArray[Any], segments: Collection[Segment], origin: Origin
) -> tuple[str, ...]:
    added: tuple[str, ...] = ()
    for n, labels in enumerate(layers):
        nouns = [segment for segment in segments if segment.layer == n]
        if nouns:
            added += add_segments(node, _only(labels, nouns), geometry, nouns, origin)
    return added


def _only(labels: NDArray[Any], segments: Collection[Segment]) -> NDArray[Any]:
    """The labels without those that belong to none of the segments."""
    values = {segment.value for segment in segments}
    if values.issuperset(range(1, int(labels.max(initial=0)) + 1)):
        return labels
    kept = np.zeros(np.iinfo(labels.dtype).max + 1, labels.dtype)
    for segment in segments:
        kept[segment.value] = segment.value
    return np.asarray(kept[labels])


def _check_target(scene: Any, target: Any, volume_node: Any) -> None:
    if target is None:
        raise InvalidInputError("this way of merging needs an existing segmentation; choose one, or make a new one")
    check_present(scene, target)
    check_same_transform(target, volume_node)
    check_source(target)


def _region(policy: MergePolicy, volume_node: Any, region_ras: NDArray[np.float64] | None) -> Box | None:
    if policy is not MergePolicy.ROI:
        return None
    if region_ras is None:
        raise InvalidInputError("to write only inside a region, choose the region first")
    return region_box(world_geometry(volume_node), region_ras)


def _plan(label_map: LabelMap, node: Any, geometry: Geometry, merge: Merge) -> _Plan:
    there = read_shapes(node, _ids_without_backups(node), geometry)
    plan = _Plan(merge.allowed(label_map.layers, geometry, there.values()))
    changes: dict[str, Segment] = {}
    for noun in label_map.segments:
        if merge.policy is MergePolicy.REPLACE and noun.name not in merge.chosen:
            continue
        segment_id = None if merge.policy is MergePolicy.ADD else find_by_name(node, noun.name)
        if segment_id is None or segment_id in changes:
            plan.additions.append(replace(noun, name=_free_name(node, noun.name)))
        elif is_protected(node.GetSegmentation().GetSegment(segment_id)):
            plan.skipped.append(noun.name)
        else:
            changes[segment_id] = noun
    for segment_id, new in zip(changes, _shapes(plan.layers, geometry, list(changes.values())), strict=True):
        after = merge.merged(there[segment_id], new)
        if not same_voxels(there[segment_id], after):
            plan.before[segment_id], plan.after[segment_id] = there[segment_id], after
    return plan


def _ids_without_backups(node: Any) -> list[str]:
    segmentation = node.GetSegmentation()
    return [name for name in segment_ids(node) if not segmentation.GetSegment(name).HasTag(BACKUP_TAG)]


def _shapes(layers: NDArray[Any], geometry: Geometry, nouns: Sequence[Segment]) -> list[Shape]:
    """The shapes of segments of a result."""
    shapes = {}
    for n in {noun.layer for noun in nouns}:
        values = [noun.value for noun in nouns if noun.layer == n]
        for value, shape in zip(values, shapes_of(layers[n], geometry.affine, values), strict=True):
            shapes[n, value] = shape
    return [shapes[noun.layer, noun.value] for noun in nouns]


def _free_name(node: Any, name: str) -> str:
    """The name, with a number where a segment has it already."""
    candidate, n = name, 2
    while find_by_name(node, candidate) is not None:
        candidate, n = f"{name} ({n})", n + 1
    return candidate


def _carry_out(plan: _Plan, node: Any, geometry: Geometry, origin: Origin) -> Written:
    segments = [node.GetSegmentation().GetSegment(segment_id) for segment_id in plan.after]
    with_surfaces, display = has_surfaces(node), node.GetDisplayNode()  # now: an observer may remove the node
    clear_shapes(node, plan.before)
    put_shapes(segments, list(plan.after.values()))
    backups = _back_up(node, {name: old for name, old in plan.before.items() if _loses(old, plan.after[name])})
    for segment_id in backups:
        display.SetSegmentVisibility(segment_id, False)
    for segment in segments:
        stamp(segment, origin)
    added = _add(node, geometry, plan.layers, plan.additions, origin)
    if with_surfaces:
        node.CreateClosedSurfaceRepresentation()
    return Written(node, added, tuple(plan.after), tuple(plan.skipped), backups)


def _loses(old: Shape, new: Shape) -> bool:
    return not difference(old, new).is_empty


def _back_up(node: Any, shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """Keep former shapes in segments of their own; their IDs."""
    segmentation = node.GetSegmentation()
    copies = [back_up(segmentation.GetSegment(segment_id), segment_id) for segment_id in shapes]
    put_shapes(copies, list(shapes.values()))
    ids = []
    for segment_id, copy in zip(shapes, copies, strict=True):
        ids.append(str(segmentation.GenerateUniqueSegmentID(f"{segment_id} backup")))
        segmentation.AddSegment(copy, ids[-1])
    return tuple(ids)
