"""TotalSegmentator's own steps round nnU-Net's, as far as a stage can say them.

It turns volumes to RAS, resamples them itself (linearly, without averaging) to the spacing that the network was trained
on, so that nnU-Net has nothing left to resample, and brings labels back by the nearest voxel.

References:
    Wasserthal et al., TotalSegmentator, Radiology: Artificial Intelligence 2023; TotalSegmentator 2.18.0
    `nnUNet_predict_image`, `change_spacing`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from DeepSegmentLib.networks.stage_spec import Resampling

if TYPE_CHECKING:
    from DeepSegmentLib.networks.stage_spec import StageSpec

    from .tasks import Task

OWN_RESAMPLING = Resampling(volume_order=1, logits_order=0, antialias=False, keep_extent=True, keep_corners=True)


def stage_of(nnunet: StageSpec, task: Task) -> StageSpec:
    """A stage of nnU-Net as TotalSegmentator runs it."""
    turned = replace(nnunet, orientation="RAS", tiling=replace(nnunet.tiling, overlap=task.overlap))
    if task.spacing_mm is None:
        return turned
    return replace(turned, resampling=OWN_RESAMPLING, normalize="after")
