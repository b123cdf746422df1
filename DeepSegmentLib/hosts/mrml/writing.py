"""Results into segmentation nodes, by an explicit merge policy; nothing that is there is lost without asking.

An existing node is changed through vtkSlicerSegmentEditorLogic, after one saved state: one Undo takes a whole result
back, segments that it added included.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.segmentation.prepare import region_box

from .geometry import local_geometry, world_geometry
from .segmentations import add_segments, keep_provenance, new_segmentation
from .segments import (
    BACKUP_TAG,
    Origin,
    describe,
    find_by_name,
    is_protected,
    make_image,
    mask_of,
    segment_ids,
    stamp,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, LabelMap, Segment


class MergePolicy(Enum):
    """What happens to the segments that are there already.

    Attributes:
        NEW: Nothing; the result becomes a segmentation of its own.
        ADD: Nothing; the result's segments come beside them and may overlap them.
        REPLACE: The chosen ones get the result's shape.
        EMPTY: They may grow, into voxels that no segment has; nothing is taken away.
        ROI: Inside the region they get the result's shape, outside they stay.
    """

    NEW = "new"
    ADD = "add"
    REPLACE = "replace"
    EMPTY = "empty"
    ROI = "roi"


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes:
        node: The segmentation node.
        added: IDs of new segments.
        changed: IDs of segments with a new shape.
        skipped: Names of results that were not written because their segment is locked or completed.
        backups: IDs of the hidden segments that hold the former shapes.
    """

    node: Any
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Merge:
    """A policy with what it needs."""

    policy: MergePolicy
    chosen: frozenset[str]
    inside: NDArray[np.bool_] | None

    def shape(self, old: NDArray[np.bool_], new: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The shape of an existing segment after the merge."""
        if self.policy is MergePolicy.EMPTY:
            return old | new
        return new if self.inside is None else (old & ~self.inside) | new


@dataclass
class _Plan:
    """What to add and what to change, before anything is done."""

    layers: NDArray[Any]
    additions: list[Segment] = field(default_factory=list)
    changes: list[tuple[str, Segment, NDArray[np.bool_], NDArray[np.bool_]]] = field(default_factory=list)
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
    geometry, origin = local_geometry(volume_node), Origin(dict(provenance or {}), algorithm)
    if label_map.geometry.shape != geometry.shape:
        raise InvalidInputError(f"the labels have shape {label_map.geometry.shape}, the volume {geometry.shape}")
    if policy is MergePolicy.NEW:
        return _write_new(scene, label_map, volume_node, origin)
    _check_target(target, volume_node)
    merge = _Merge(policy, frozenset(segments), _region(policy, volume_node, region_ras))
    plan = _plan(label_map, target, geometry, merge)
    editor = editor or make_editor(scene)
    editor.SetSegmentationNode(target)
    if before_change is not None:
        before_change(target)
    editor.SaveStateForUndo()
    try:
        written = _carry_out(plan, target, geometry, editor, origin)
    except BaseException:
        editor.Undo()
        raise
    keep_provenance(target, origin.provenance)
    return written


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


def _check_target(target: Any, volume_node: Any) -> None:
    if target is None:
        raise InvalidInputError("this way of merging needs an existing segmentation; choose one, or make a new one")
    if target.GetTransformNodeID() != volume_node.GetTransformNodeID():
        raise InvalidInputError(
            f"segmentation {target.GetName()!r} and volume {volume_node.GetName()!r} are under different transforms; "
            "put both under the same one (module Transforms) or write a new segmentation"
        )


def _region(policy: MergePolicy, volume_node: Any, region_ras: NDArray[np.float64] | None) -> NDArray[np.bool_] | None:
    """Mask (k, j, i) of the region's voxels."""
    if policy is not MergePolicy.ROI:
        return None
    if region_ras is None:
        raise InvalidInputError("to write only inside a region, choose the region first")
    geometry = world_geometry(volume_node)
    inside = np.zeros(geometry.shape, dtype=bool)
    inside[region_box(geometry, region_ras).to_slices()] = True
    return inside


def _plan(label_map: LabelMap, node: Any, geometry: Geometry, merge: _Merge) -> _Plan:
    plan = _Plan(_allowed(label_map.layers, node, geometry, merge))
    for noun in label_map.segments:
        if merge.policy is MergePolicy.REPLACE and noun.name not in merge.chosen:
            continue
        there = None if merge.policy is MergePolicy.ADD else find_by_name(node, noun.name)
        if there is None:
            plan.additions.append(replace(noun, name=_free_name(node, noun.name)))
        elif is_protected(node.GetSegmentation().GetSegment(there)):
            plan.skipped.append(noun.name)
        else:
            old, new = mask_of(node, there, geometry), plan.layers[noun.layer] == noun.value
            plan.changes.append((there, noun, old, merge.shape(old, new)))
    return plan


def _allowed(layers: NDArray[Any], node: Any, geometry: Geometry, merge: _Merge) -> NDArray[Any]:
    """The labels where the policy lets them be."""
    if merge.policy is MergePolicy.EMPTY:
        return np.where(_occupied(node, geometry), layers.dtype.type(0), layers)
    return layers if merge.inside is None else np.where(merge.inside, layers, layers.dtype.type(0))


def _occupied(node: Any, geometry: Geometry) -> NDArray[np.bool_]:
    """Voxels that some segment has; backups do not count."""
    occupied = np.zeros(geometry.shape, dtype=bool)
    for segment_id in segment_ids(node):
        if not node.GetSegmentation().GetSegment(segment_id).HasTag(BACKUP_TAG):
            occupied |= mask_of(node, segment_id, geometry)
    return occupied


def _free_name(node: Any, name: str) -> str:
    """The name, with a number where a segment has it already."""
    candidate, n = name, 2
    while find_by_name(node, candidate) is not None:
        candidate, n = f"{name} ({n})", n + 1
    return candidate


def _carry_out(plan: _Plan, node: Any, geometry: Geometry, editor: Any, origin: Origin) -> Written:
    added = _add(node, geometry, plan.layers, plan.additions, origin)
    changed, backups = [], []
    for segment_id, noun, old, new in plan.changes:
        if np.array_equal(old, new):
            continue
        if (old & ~new).any():
            backups.append(_back_up(node, segment_id, noun, old, geometry))
        box = bounding_box(old | new)
        image = make_image(new[box.to_slices()].astype(np.uint8), geometry, box)
        editor.ModifySegmentByLabelmap(node, segment_id, image, editor.ModificationModeSet, False, True)
        stamp(node.GetSegmentation().GetSegment(segment_id), origin)
        changed.append(segment_id)
    return Written(node, added, tuple(changed), tuple(plan.skipped), tuple(backups))


def _back_up(node: Any, segment_id: str, noun: Segment, old: NDArray[np.bool_], geometry: Geometry) -> str:
    """Keep the former shape of a segment in a hidden segment of its own; its ID."""
    import slicer

    segment = node.GetSegmentation().GetSegment(segment_id)
    copy, box = slicer.vtkSegment(), bounding_box(old)
    describe(copy, replace(noun, name=f"{segment.GetName()} (before DeepSegment)"), Origin(algorithm="MANUAL"))
    copy.SetTag(BACKUP_TAG, segment_id)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    copy.AddRepresentation(name, make_image(old[box.to_slices()].astype(np.uint8), geometry, box))
    copy.SetLabelValue(1)
    backup_id = node.GetSegmentation().GenerateUniqueSegmentID(f"{segment_id} backup")
    node.GetSegmentation().AddSegment(copy, backup_id)
    node.GetDisplayNode().SetSegmentVisibility(backup_id, False)
    return str(backup_id)
