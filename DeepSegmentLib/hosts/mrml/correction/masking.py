"""Which voxels the Segment Editor lets change, block by block: mask modes, the intensity range, locks, other segments.

Slicer's own logic masks whole volumes at every edit. The rules here are the same; tests hold them to Slicer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected, segment_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class EditRules:
    """What may be edited.

    Attributes:
        inside: IDs of segments; only what lies in one of them may change. None: no such limit.
        outside: IDs of segments; what lies in one of them may not change.
        intensity_range: Only voxels of intensities in it may change; None: all.
        takes_from: IDs of segments that may lose voxels to the edited one.
    """

    inside: tuple[str, ...] | None = None
    outside: tuple[str, ...] = ()
    intensity_range: tuple[float, float] | None = None
    takes_from: tuple[str, ...] = ()

    def allowed(self, intensities: NDArray[np.float32], mask_of: Callable[[str], Mask]) -> Mask:
        """The voxels (k, j, i) of a block that masks and range let change.

        Args:
            intensities: Of the block (channel, k, j, i); the first channel is the source volume.
            mask_of: Gives the voxels of a segment in the block by its ID.
        """
        allowed = np.full(intensities.shape[1:], self.inside is None)
        for segment_id in self.inside or ():
            allowed |= mask_of(segment_id)
        for segment_id in self.outside:
            allowed &= ~mask_of(segment_id)
        if self.intensity_range is not None:
            low, high = self.intensity_range
            allowed &= (intensities[0] >= low) & (intensities[0] <= high)
        return allowed


def rules_of(segmentation: Any, editor: Any = None, *, overwrite: bool = False) -> EditRules:
    """The rules of a Segment Editor.

    Args:
        segmentation: vtkMRMLSegmentationNode.
        editor: vtkMRMLSegmentEditorNode with the user's masks, or None where no Segment Editor is used.
        overwrite: Whether voxels may be taken from other segments; locked and finished ones never lose any, and the
            editor may say to spare hidden ones or all.
    """
    takes_from = tuple(_unprotected(segmentation)) if overwrite else ()
    if editor is None:
        return EditRules(takes_from=takes_from)
    visible = visible_ids(segmentation)
    if editor.GetOverwriteMode() == editor.OverwriteNone:
        takes_from = ()
    elif editor.GetOverwriteMode() == editor.OverwriteVisibleSegments:
        takes_from = tuple(name for name in takes_from if name in visible)
    inside, outside = _masks(segmentation, editor, visible)
    span = editor.GetSourceVolumeIntensityMaskRange() if editor.GetSourceVolumeIntensityMask() else None
    return EditRules(inside, outside, span and (float(span[0]), float(span[1])), takes_from)


def _masks(segmentation: Any, editor: Any, visible: tuple[str, ...]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    everywhere: tuple[tuple[str, ...] | None, tuple[str, ...]] = (None, ())
    masks = {
        segmentation.EditAllowedInsideAllSegments: (segment_ids(segmentation), ()),
        segmentation.EditAllowedInsideVisibleSegments: (visible, ()),
        segmentation.EditAllowedOutsideAllSegments: (None, segment_ids(segmentation)),
        segmentation.EditAllowedOutsideVisibleSegments: (None, visible),
    }
    if editor.GetMaskMode() == segmentation.EditAllowedInsideSingleSegment:
        chosen = editor.GetMaskSegmentID()
        return ((chosen,) if segmentation.GetSegmentation().GetSegment(chosen or "") else (), ())
    return masks.get(editor.GetMaskMode(), everywhere)


def visible_ids(segmentation: Any) -> tuple[str, ...]:
    """IDs of the segments that are shown."""
    display = segmentation.GetDisplayNode()
    if display is None:
        return ()
    return tuple(name for name in segment_ids(segmentation) if display.GetSegmentVisibility(name))


def _unprotected(segmentation: Any) -> list[str]:
    segments = segmentation.GetSegmentation()
    return [name for name in segment_ids(segmentation) if not is_protected(segments.GetSegment(name))]
