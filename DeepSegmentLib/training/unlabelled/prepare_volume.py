"""Bring a volume without labels to the network's grid and intensities: a case of which nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.segmentation.prepare import prepare
from DeepSegmentLib.training.cases.prepared_case import Known, PreparedCase

if TYPE_CHECKING:
    from DeepSegmentLib.data import Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec, Part


def prepare_volume(name: str, volume: Volume, spec: ModelSpec, part: Part) -> PreparedCase:
    """A volume as the network of a part sees it.

    Args:
        name: Of the case that it becomes.
        volume: All channels.
        spec: Of the model that is trained.
        part: Which of its parts; its last stage is what is trained.

    Returns:
        A case without labels whose voxels do not count: whoever takes it for a labelled one learns nothing from it.

    Raises:
        InvalidInputError: The volume has another number of channels.
    """
    if volume.channels != len(spec.channels):
        told = ", ".join(channel.name for channel in spec.channels)
        raise InvalidInputError(f"volume {name} has {volume.channels} channels, the model {len(spec.channels)}: {told}")
    seen = prepare(volume, part.stages[-1]).volume
    layers = len(part.segments) if spec.output == "regions" else 1
    background = spec.output == "labels"
    known = Known((True,) * background + (False,) * len(part.segments), 0.0)
    return PreparedCase(
        name,
        name,
        np.asarray(seen.voxels, np.float32),
        np.zeros((layers, *seen.geometry.shape), np.uint8),
        np.zeros(seen.geometry.shape, np.uint8),
        (known,),
        seen.geometry.spacing_mm,
        (np.empty((0, 3), np.int32),) * (background + len(part.segments)),
    )
