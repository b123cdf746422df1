"""Changes of one label image, written in place and taken back: the box alone is touched.

Slicer's own way, `ModifySegmentByLabelmap`, goes through the whole image, and moves a segment that touches others into
an image of its own; see docs/decisions/0013-corrections-in-place.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.correction.packed_changes import Change, labels_in, pack, unpack
from DeepSegmentLib.data import Box, Geometry, LabelUpdate
from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.hosts.mrml.geometry import image_to_world
from DeepSegmentLib.hosts.mrml.segmentations.label_images import box_of, labelmap_name
from DeepSegmentLib.hosts.mrml.segmentations.layers import home_of, image_of, sharing

from .blocks import read_labels, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from DeepSegmentLib.correction.correct import Correction

    from .node_canvas import NodeCanvas

_LARGEST_LABEL = 255  # of the images that Slicer makes for new segments


@dataclass(frozen=True)
class Edit:
    """What was changed in one label image.

    Attributes:
        segment_id: The segment that was edited.
        update: Labels before and after; its box counts in the indices of the image's lattice, which may be negative.
        sharing: ID and label of every segment of the image.
    """

    segment_id: str
    update: LabelUpdate
    sharing: tuple[tuple[str, int], ...]

    def inverse(self) -> Edit:
        """The edit that takes this one back."""
        return Edit(self.segment_id, self.update.inverse(), self.sharing)


def write_correction(canvas: NodeCanvas, correction: Correction) -> Edit | None:
    """Put a correction into the node: only voxels that it changes, in one image.

    Args:
        canvas: What the correction was made for.
        correction: What changes.

    Returns:
        What was done; None where nothing changes.
    """
    changed = correction.changed
    if not changed.any():
        return None
    image, value = make_room(canvas, correction)
    part = bounding_box(changed)
    box, inside = _place(canvas, correction), part.to_slices()
    before = read_labels(image, box)
    after = np.where(changed[inside], np.where(correction.after[inside], value, 0), before).astype(before.dtype)
    write_labels(image, box, after, box)
    tell(canvas.segmentation, canvas.segment_id)
    return Edit(canvas.segment_id, LabelUpdate(box, before, after), sharing(canvas.segmentation, image))


def make_room(canvas: NodeCanvas, correction: Correction) -> tuple[Any, int]:
    """Let a correction that changes something have its place in the segment's image; no label changes.

    Returns:
        The image and the segment's label in it; a segment without voxels is given both.
    """
    image, value = _settled(canvas)
    box = _place(canvas, correction)
    if not box_of(image).contains(box):
        write_labels(image, box, read_labels(image, box), Box.of_shape(canvas.geometry.shape).shift(canvas.start))
    return image, value


def _place(canvas: NodeCanvas, correction: Correction) -> Box:
    """The box of what changes, in the indices of the image."""
    return bounding_box(correction.changed).shift(correction.box.start).shift(canvas.start)


def _settled(canvas: NodeCanvas) -> tuple[Any, int]:
    import slicer

    node, segment_id = canvas.segmentation, canvas.segment_id
    image, value = home_of(node, segment_id)
    if image_of(node, segment_id) is image and image is not None:
        return image, value
    segment = node.GetSegmentation().GetSegment(segment_id)
    if image is None or value > _LARGEST_LABEL:
        own = node.GetBinaryLabelmapInternalRepresentation(segment_id)
        image, value = own or slicer.vtkOrientedImageData(), segment.GetLabelValue()
        image.SetImageToWorldMatrix(image_to_world(Geometry((1, 1, 1), canvas.lattice)))
    segment.SetLabelValue(value)
    if node.GetBinaryLabelmapInternalRepresentation(segment_id) is not image:
        segment.AddRepresentation(labelmap_name(), image)
    return image, value


@dataclass(frozen=True)
class KeptEdit:
    """An edit in kilobytes, for undo.

    Attributes:
        segment_id: The segment that was edited.
        change: What changed, where in the lattice of the image.
        sharing: ID and label of every segment of the image.
    """

    segment_id: str
    change: Change
    sharing: tuple[tuple[str, int], ...]


def keep(edit: Edit) -> KeptEdit:
    """The edit for later."""
    return KeptEdit(edit.segment_id, pack(edit.update), edit.sharing)


def retrace(segmentation: Any, kept: KeptEdit, *, backward: bool) -> Edit | None:
    """Undo or redo an edit, in the voxels that it changed and nowhere else.

    Args:
        segmentation: The node.
        kept: What to take back or to do again.
        backward: True to take it back.

    Returns:
        What was done; None, and nothing is done, where other tools have changed these voxels or what they mean since.
    """
    if segmentation.GetSegmentation().GetSegment(kept.segment_id) is None:
        return None
    image = image_of(segmentation, kept.segment_id)
    if image is None:
        return None
    box = kept.change.box
    labels, change = read_labels(image, box), replace(kept.change, box=Box.of_shape(box.shape))
    if unpack(change, labels, backward=not backward).changed.any():
        return None
    update, now = unpack(change, labels, backward=backward), sharing(segmentation, image)
    if not _mean_the_same(labels_in(change, after=False) + labels_in(change, after=True), kept.sharing, now):
        return None
    edit = Edit(kept.segment_id, replace(update, box=box), now)
    _write(segmentation, edit)
    tell(segmentation, edit.segment_id)
    return edit


def _mean_the_same(labels: list[int], before: tuple[tuple[str, int], ...], now: tuple[tuple[str, int], ...]) -> bool:
    """Whether labels stand for the same segments; others may have come or gone."""
    names = [{value: name for name, value in sharing} for sharing in (before, now)]
    return all(names[0].get(label) == names[1].get(label) for label in labels)


def save_state_before(segmentation: Any, edit: Edit, save_state: Callable[[], object]) -> None:
    """Let an undo history save the state that was before an edit; nothing where others have edited there since.

    The history copies whole images. It is called when the user has seen the change and waits for nothing: the labels
    are put back for it and set again. Only then are others told: the history takes a state that nothing followed for
    the present one.
    """
    image = image_of(segmentation, edit.segment_id)
    if image is None or not np.array_equal(read_labels(image, edit.update.box), edit.update.after):
        return
    _write(segmentation, edit.inverse())
    try:
        save_state()
    finally:
        _write(segmentation, edit)
        tell(segmentation, edit.segment_id)


def _write(segmentation: Any, edit: Edit) -> None:
    box = edit.update.box
    write_labels(image_of(segmentation, edit.segment_id), box, edit.update.after, box)


def tell(segmentation: Any, segment_id: str) -> None:
    """Let views and observers know that voxels of a segment changed; surfaces stay until `renew_surface`."""
    segments = segmentation.GetSegmentation()
    segments.InvokeEvent(segments.SourceRepresentationModified, segment_id)
    segments.InvokeEvent(segments.RepresentationModified, segment_id)


def renew_surface(segmentation: Any, segment_id: str) -> None:
    """Make the surface of a segment anew, where the node has surfaces; those of the others stay."""
    import slicer

    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is not None and segment.GetRepresentation(name) is not None:
        segment.RemoveRepresentation(name)
        segmentation.GetSegmentation().CreateRepresentation(name, False)
