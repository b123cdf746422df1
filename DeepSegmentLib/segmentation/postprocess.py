"""Clean up segments after prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scipy import ndimage

from DeepSegmentLib.data import LabelMap
from DeepSegmentLib.data.progress import unwatched
from DeepSegmentLib.imaging.components import fill_holes, remove_small

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.model_spec import Cleanup


def clean_up(label_map: LabelMap, cleanups: Sequence[Cleanup], on_step: Callable[[], None] = unwatched) -> LabelMap:
    """Apply the clean-ups in order.

    Removed voxels become background; filled holes take background only, never another segment's voxels. Each segment
    is worked on within the box around it.

    Args:
        label_map: The segments.
        cleanups: What to do.
        on_step: Called between the steps; may raise `Cancelled`.

    Raises:
        InvalidInputError: A clean-up names a segment that is not there.
    """
    layers = label_map.layers.copy()
    segments = [label_map.segment(cleanup.segment) for cleanup in cleanups]
    boxes = {n: ndimage.find_objects(layers[n]) for n in {segment.layer for segment in segments}}
    for cleanup, segment in zip(cleanups, segments, strict=True):
        on_step()
        found = boxes[segment.layer][segment.value - 1 : segment.value]
        if found and found[0] is not None:
            minimum = cleanup.minimum_ml * 1000 / label_map.geometry.voxel_volume_mm3
            _clean_up_one(layers[segment.layer][found[0]], segment.value, cleanup, minimum, on_step)
    return LabelMap(layers, label_map.geometry, label_map.segments)


def _clean_up_one(
    labels: NDArray[Any], value: int, cleanup: Cleanup, minimum_voxels: float, on_step: Callable[[], None]
) -> None:
    """Clean up one segment of a block of labels in place."""
    mask = labels == value
    kept = remove_small(mask, keep_largest=cleanup.keep_largest, minimum_voxels=minimum_voxels)
    labels[mask & ~kept] = 0
    if cleanup.fill_holes:
        on_step()
        labels[fill_holes(kept) & (labels == 0)] = value
