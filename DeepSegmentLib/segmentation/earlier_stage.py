"""Cascades: the labels of one stage as further channels of the next.

References:
    Isensee et al., nnU-Net, Nat Methods 2021, "3D U-Net cascade".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data.progress import unwatched
from DeepSegmentLib.imaging.intensity import filled_nonzero

from .regrid import labels_to_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec, Part
    from DeepSegmentLib.networks.stage_spec import StageSpec

    from .prepare import Prepared


def flattened_regions(spec: ModelSpec, part: Part, regions: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Labels of a plane of regions (region, ...): the later one wins; numbered in the order of their values."""
    values = {segment.name: segment.value for segment in spec.segments}
    ranked = sorted(part.segments, key=values.__getitem__)
    labels = np.zeros(regions.shape[1:], dtype=np.uint16)
    for name, region in zip(part.segments, regions, strict=True):
        labels[region] = ranked.index(name) + 1
    return labels


def with_earlier_labels(
    prepared: Prepared,
    volume: Volume,
    stage: StageSpec,
    labels: NDArray[Any],
    *,
    count: int,
    on_step: Callable[[], None] = unwatched,
) -> Prepared:
    """What was prepared, with a channel of 0 and 1 for each label of the stage before.

    Args:
        prepared: The volume's own channels.
        volume: The volume.
        stage: The stage that is prepared.
        labels: Array (k, j, i) on the volume's grid of 0, for background, and 1 to `count`.
        count: How many labels there are.
        on_step: Called between the steps; may raise `Cancelled`.
    """
    orientation = stage.orientation_of(volume.geometry.orientation)
    part = volume.geometry.view(labels, orientation)[prepared.box.to_slices()]
    if stage.crop == "nonzero":  # what nothing is known of is a label of its own, as in nnU-Net
        known = filled_nonzero(volume.oriented(orientation).voxels)[prepared.box.to_slices()]
        part = np.where((part == 0) & ~known, count + 1, part)
    own = prepared.volume
    on_grid = labels_to_network(part, prepared.oriented.crop(prepared.box), own.geometry, stage, on_step)
    voxels = np.empty((own.channels + count, *own.geometry.shape), dtype=np.float32)
    voxels[: own.channels] = own.voxels
    for n in range(count):
        voxels[own.channels + n] = on_grid == n + 1
    return replace(prepared, volume=replace(own, voxels=voxels))
