"""Clean up segments after prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.data import LabelMap
from DeepSegmentLib.imaging.components import Cleanup, fill_holes, remove_small

if TYPE_CHECKING:
    from collections.abc import Iterable


def clean_up(label_map: LabelMap, cleanups: Iterable[Cleanup]) -> LabelMap:
    """Apply the clean-ups in order.

    Removed voxels become background; filled holes take background only, never another segment's voxels.

    Raises:
        InvalidInputError: A clean-up names a segment that is not there.
    """
    layers = label_map.layers.copy()
    for cleanup in cleanups:
        segment = label_map.segment(cleanup.segment)
        layer = layers[segment.layer]
        mask = layer == segment.value
        minimum = cleanup.minimum_ml * 1000 / label_map.geometry.voxel_volume_mm3
        kept = remove_small(mask, keep_largest=cleanup.keep_largest, minimum_voxels=minimum)
        layer[mask & ~kept] = 0
        if cleanup.fill_holes:
            layer[fill_holes(kept) & (layer == 0)] = segment.value
    return LabelMap(layers, label_map.geometry, label_map.segments)
