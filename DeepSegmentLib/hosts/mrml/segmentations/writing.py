"""Results into segmentation nodes, by an explicit merge policy; nothing that is there is lost.

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

from .backups import back_up
from .label_images import check_source, clear_shapes, put_shapes, read_shapes
from .made_by_model import is_untouched, maker_of, sign
from .merge_policies import Merge, MergePolicy
from .nodes import add_segments, keep_provenance, new_segmentation, provenance_of, volume_of
from .second_result import pair
from .segments import Origin, find_by_name, is_protected, name_of, segment_ids, tag_origin
from .shapes import difference, same_voxels, shapes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, LabelMap, Segment

    from .shapes import Shape


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes:
        node: The segmentation node.
        added: IDs of new segments.
        changed: IDs of segments that were brought up to date, also where their shape is the same.
        skipped: Names of segments that were not written to because they are locked or completed.
        backup: The segmentation node that keeps the former shapes; None where nothing was lost.
        provenance: What the node said of itself before.
    """

    node: Any
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    backup: Any = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Plan:
    """What to add and what to change, before anything is done.

    Attributes:
        layers: The allowed part of the result.
        additions: Its segments that are new, with what the model calls them.
        outputs: What the model calls the segments to change, by ID.
        before: Their shapes.
        after: Their new shapes.
        skipped: Names of segments that must not be written to.
    """

    layers: NDArray[Any]
    additions: list[tuple[Segment, str]] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
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
    region_ras: NDArray[np.float64] | None = None,
    provenance: Mapping[str, str] | None = None,
    algorithm: str = "AUTOMATIC",
    editor: Any = None,
    before_change: Callable[[Any], object] | None = None,
) -> Written:
    """Write a labelmap as segments.

    Locked and completed segments never change; where the policy would change one, it is named in `skipped`. What is
    lost is kept in a backup (`back_up`), except what the same model made of the same volume and nobody changed since,
    where all of it is replaced.

    Args:
        scene: The scene of the nodes.
        label_map: On the grid of the volume.
        volume_node: What was segmented; gives the grid, the transform and the place of a new node.
        policy: What happens to existing segments.
        target: vtkMRMLSegmentationNode; needed by every policy but NEW.
        region_ras: What may change: two opposite corners (2, 3), in the space of `volume_from_nodes`; None for all.
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
    check_target(scene, target, volume_node)
    region = None if region_ras is None else region_box(world_geometry(volume_node), region_ras)
    merge = Merge(policy, region)
    plan = _plan(label_map, target, geometry, merge, origin)
    editor = editor or make_editor(scene)
    editor.SetSegmentationNode(target)
    if target.GetDisplayNode() is None:
        target.CreateDefaultDisplayNodes()
    if before_change is not None:
        before_change(target)
    editor.SaveStateForUndo()
    lost, signed = _lost(plan, target, volume_node, merge, origin), _to_sign(plan, target, merge)
    former = provenance_of(target)
    try:
        written = _carry_out(plan, target, geometry, origin, signed)
    except BaseException:
        editor.Undo()
        raise
    keep_provenance(target, origin.provenance)
    return replace(written, backup=back_up(scene, target, volume_node, lost), provenance=former)


def take_back(scene: Any, written: Written, editor: Any = None) -> None:
    """Undo a write: nodes that it made go, an older one gets its former segments.

    Slicer goes through a shared image once for each segment that leaves it, which takes many seconds for a large one;
    so the voxels of what the write added are dropped first. There is no way forward again.

    Args:
        scene: The scene of the nodes.
        written: What the write did.
        editor: The editor of the write; None where the write made the node.
    """
    if editor is not None and not editor.CanUndo():
        return
    for segment_id in written.added:
        segment = written.node.GetSegmentation().GetSegment(segment_id)
        if segment is not None:
            segment.RemoveAllRepresentations()
    if editor is not None:
        editor.Undo()
        keep_provenance(written.node, written.provenance)
    else:
        scene.RemoveNode(written.node)
    if written.backup is not None:
        scene.RemoveNode(written.backup)


def _write_new(scene: Any, label_map: LabelMap, volume_node: Any, origin: Origin) -> Written:
    node = new_segmentation(scene, volume_node, f"{volume_node.GetName()} segmentation")
    keep_provenance(node, origin.provenance)
    additions = [(noun, noun.name) for noun in label_map.segments]
    return Written(node, _add(node, local_geometry(volume_node), label_map.layers, additions, origin))


def _add(
    node: Any, geometry: Geometry, layers: NDArray[Any], additions: Sequence[tuple[Segment, str]], origin: Origin
) -> tuple[str, ...]:
    added: tuple[str, ...] = ()
    shapes = _shapes(layers, geometry, [noun for noun, _output in additions])
    for n, labels in enumerate(layers):
        here = [
            (noun, output, shape) for (noun, output), shape in zip(additions, shapes, strict=True) if noun.layer == n
        ]
        if here:
            nouns = [noun for noun, _output, _shape in here]
            ids = add_segments(node, _only(labels, nouns), geometry, nouns, origin)
            for segment_id, (_noun, output, shape) in zip(ids, here, strict=True):
                sign(node.GetSegmentation().GetSegment(segment_id), output, shape)
            added += ids
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


def check_target(scene: Any, target: Any, volume_node: Any) -> None:
    """Raises InvalidInputError where results of a volume cannot be written into a segmentation node."""
    if target is None:
        raise InvalidInputError("this way of merging needs an existing segmentation; choose one, or make a new one")
    check_present(scene, target)
    check_same_transform(target, volume_node)
    check_source(target)


def _plan(label_map: LabelMap, node: Any, geometry: Geometry, merge: Merge, origin: Origin) -> _Plan:
    there = read_shapes(node, segment_ids(node), geometry)
    plan = _Plan(merge.allowed(label_map.layers, geometry, there.values()))
    outputs = [noun.name for noun in label_map.segments]
    partners: Sequence[str | None] = [None] * len(outputs)
    if merge.policy is not MergePolicy.ADD:
        partners = pair(node, origin.provenance.get("model", ""), outputs)
    nouns = []
    for noun, segment_id in zip(label_map.segments, partners, strict=True):
        if segment_id is None:
            plan.additions.append((replace(noun, name=_free_name(node, noun.name, plan.additions)), noun.name))
        elif is_protected(node.GetSegmentation().GetSegment(segment_id)):
            plan.skipped.append(name_of(node, segment_id))
        else:
            plan.outputs[segment_id], plan.before[segment_id] = noun.name, there[segment_id]
            nouns.append(noun)
    for segment_id, new in zip(plan.outputs, _shapes(plan.layers, geometry, nouns), strict=True):
        plan.after[segment_id] = merge.merged(there[segment_id], new)
    return plan


def _lost(plan: _Plan, node: Any, volume_node: Any, merge: Merge, origin: Origin) -> dict[str, Shape]:
    """The former shapes to keep: those that lose voxels, but for what can be had again by the same click."""
    same_volume = volume_of(node) in (None, volume_node)

    def can_be_had_again(segment_id: str) -> bool:
        segment = node.GetSegmentation().GetSegment(segment_id)
        same_model = maker_of(segment) == origin.provenance.get("model", "") != ""
        return merge.is_whole and same_volume and same_model and is_untouched(segment, plan.before[segment_id])

    losing = [name for name, old in plan.before.items() if not difference(old, plan.after[name]).is_empty]
    return {name: plan.before[name] for name in losing if not can_be_had_again(name)}


def _to_sign(plan: _Plan, node: Any, merge: Merge) -> set[str]:
    """IDs of the segments that will be nothing but a model's results: work by hand in them is not forgotten."""
    segmentation = node.GetSegmentation()
    return {
        name
        for name, old in plan.before.items()
        if merge.is_whole or old.is_empty or is_untouched(segmentation.GetSegment(name), old)
    }


def _shapes(layers: NDArray[Any], geometry: Geometry, nouns: Sequence[Segment]) -> list[Shape]:
    """The shapes of segments of a result."""
    shapes = {}
    for n in {noun.layer for noun in nouns}:
        values = [noun.value for noun in nouns if noun.layer == n]
        for value, shape in zip(values, shapes_of(layers[n], geometry.affine, values), strict=True):
            shapes[n, value] = shape
    return [shapes[noun.layer, noun.value] for noun in nouns]


def _free_name(node: Any, name: str, others: Sequence[tuple[Segment, str]]) -> str:
    """The name, with a number where a segment has it already or another addition will have."""
    candidate, n, taken = name, 2, {noun.name for noun, _output in others}
    while candidate in taken or find_by_name(node, candidate) is not None:
        candidate, n = f"{name} ({n})", n + 1
    return candidate


def _carry_out(plan: _Plan, node: Any, geometry: Geometry, origin: Origin, signed: Collection[str]) -> Written:
    segmentation = node.GetSegmentation()
    moving = [name for name, old in plan.before.items() if not same_voxels(old, plan.after[name])]
    segments = {name: segmentation.GetSegment(name) for name in plan.outputs}  # now: an observer may remove the node
    clear_shapes(node, {name: plan.before[name] for name in moving})
    put_shapes([segments[name] for name in moving], [plan.after[name] for name in moving])
    for name, segment in segments.items():
        tag_origin(segment, origin)
        if name in signed:
            sign(segment, plan.outputs[name], plan.after[name])
    added = _add(node, geometry, plan.layers, plan.additions, origin)
    return Written(node, added, tuple(plan.outputs), tuple(plan.skipped))
