"""Clean up segments after prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import LabelMap
from DeepSegmentLib.data.progress import check_stop, unwatched
from DeepSegmentLib.imaging.components import fill_holes, remove_small

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Segment
    from DeepSegmentLib.networks.model_spec import Cleanup


def clean_up(label_map: LabelMap, cleanups: Sequence[Cleanup], on_step: Callable[[], None] = unwatched) -> LabelMap:
    """Apply the clean-ups in order.

    Removed voxels become background of their segments; filled holes take background only, never another segment's
    voxels. Segments are worked on within the box around them.

    Args:
        label_map: The segments.
        cleanups: What to do.
        on_step: Called between the steps; may raise `Cancelled`.

    Raises:
        InvalidInputError: A clean-up names a segment that is not there.
    """
    layers = label_map.layers.copy()
    segments = [[label_map.segment(name) for name in cleanup.segments] for cleanup in cleanups]
    boxes = {n: ndimage.find_objects(layers[n]) for n in {segment.layer for each in segments for segment in each}}
    for cleanup, together in zip(cleanups, segments, strict=True):
        on_step()
        found = [box for each in together for box in boxes[each.layer][each.value - 1 : each.value] if box is not None]
        if found:
            minimum = cleanup.minimum_ml * 1000 / label_map.geometry.voxel_volume_mm3
            _clean_up_block(layers[(slice(None), *_around(found))], together, cleanup, minimum, on_step)
    return LabelMap(layers, label_map.geometry, label_map.segments)


def _around(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The box around boxes."""
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))


def _clean_up_block(
    layers: NDArray[Any],
    together: Sequence[Segment],
    cleanup: Cleanup,
    minimum_voxels: float,
    on_step: Callable[[], None],
) -> None:
    """Clean up, in place, segments that are taken together in a block of all layers."""
    mask = np.zeros(layers.shape[1:], dtype=bool)
    for each in together:  # one at a time: there may be a hundred
        check_stop()
        mask |= layers[each.layer] == each.value
    kept = remove_small(
        mask, keep_largest=cleanup.keep_largest, minimum_voxels=minimum_voxels, neighbours=cleanup.neighbours
    )
    for each in together:
        check_stop()
        labels = layers[each.layer]
        labels[(labels == each.value) & ~kept] = 0
    if cleanup.everywhere:
        layers[:, mask & ~kept] = 0
    if cleanup.fill_holes:
        on_step()
        labels = layers[together[0].layer]
        labels[fill_holes(kept, neighbours=cleanup.neighbours) & (labels == 0)] = together[0].value
