"""Whether a volume can be what a model takes, before anything is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.imaging.looks import AIR_HU, look_at
from DeepSegmentLib.segmentation.prepare import content_box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from DeepSegmentLib.data import Geometry, Volume
    from DeepSegmentLib.imaging.looks import Looks
    from DeepSegmentLib.networks.expectations import Expectations
    from DeepSegmentLib.networks.model_spec import Channel, ModelSpec

# Limits from `Testing/benchmarks/doubts.py`; in brackets what heads and nonsense had there.
_OTHER = 0.002  # [0.02 and more; 0.0001]
_NOISE = 0.6  # [up to 0.12; 0.95 and more]
_OUT_OF_ORDER, _IN_PLANE = 0.3, 0.25  # [up to 0.12, and in plane half of it; 0.59, and a twentieth]
_LABELS, _MOST_LABELS = 0.75, 1000  # [up to 0.61 for heads of 16 grey values; 0.81 and more]
_SOFT = 0.55  # [up to 0.36; 0.70 and more]
_FAT_HU = -50  # fat is -120 to -60; MR that was resampled with splines goes a little below 0
_FEW = 8
"""Neighbours along a shorter axis tell nothing."""

_IN_VIEW = 0.35  # of the block around the segments of the smallest case
_LARGEST_EXTENT = 4.0
_COARSER = 1.5
_SIDES = ("from left to right", "from back to front", "from bottom to top")
_IMAGES = ("MR", "CT", "PT")
"""Modalities (DICOM PS3.3 C.7.3.1.1.1) whose images vary from voxel to voxel."""
_OTHER_IMAGES = ("NM", "US", "XA", "RF", "CR", "DX", "MG", "OCT", "OPT", "RTDOSE", "SEG")


def doubts_of_volume(volume: Volume, spec: ModelSpec) -> tuple[str, ...]:
    """What speaks against giving a volume to a model, a sentence each; empty where nothing does.

    Args:
        volume: Finite voxels, as many channels as the model has.
        spec: The model.
    """
    doubts: list[str] = []
    for voxels, channel in zip(volume.voxels, spec.channels, strict=False):
        looks = look_at(voxels)
        subject = "The volume" if len(spec.channels) == 1 else f"Channel {channel.name!r}"
        texts = [_modality_doubt(volume, looks, channel), *_image_doubts(looks, channel, volume.geometry)]
        doubts += [f"{subject} {text}" for text in texts if text]
    if spec.expectations is not None:
        doubts += _grid_doubts(volume, spec.expectations)
    return tuple(doubts)


def _modality_doubt(volume: Volume, looks: Looks, channel: Channel) -> str:
    wanted, told = channel.modality, volume.modality
    if wanted in _IMAGES and told in (*_IMAGES, *_OTHER_IMAGES):
        return f"is {told} by its DICOM header, but the model was made for {wanted}." if told != wanted else ""
    if wanted == "MR" and looks.corner <= AIR_HU and looks.soft > _SOFT:
        return (
            f"looks like CT in Hounsfield units ({looks.air:.0%} of it is -900 or less, {looks.soft:.0%} of the rest "
            "is -150 to 150), but the model was made for MR."
        )
    if wanted == "CT" and looks.low > _FAT_HU:
        return (
            f"is not in Hounsfield units, where fat and air are {_FAT_HU} or less (it has {looks.low:.4g} to "
            f"{looks.high:.4g}), but the model was made for CT."
        )
    return ""


def _image_doubts(looks: Looks, channel: Channel, geometry: Geometry) -> Iterator[str]:
    """At most one sentence on what the voxels are instead of an image."""
    if channel.modality not in _IMAGES:
        return
    told = [step for step, n in zip(looks.steps, geometry.shape, strict=True) if n >= _FEW]
    if looks.other < _OTHER:
        yield f"holds hardly anything: {1 - looks.other:.2%} of its voxels are {looks.usual:g}."
    elif looks.equal >= _LABELS and looks.distinct <= _MOST_LABELS:
        yield f"looks like labels or a mask: {looks.distinct} values, {looks.equal:.0%} of the neighbours are equal."
    elif len(told) == 3 and min(told) > _NOISE:
        yield "looks like noise: neighbours differ about as much as voxels far apart."
    elif len(told) == 3 and min(told) == 0:
        yield "is the same all along one axis, as a picture that was stacked."
    elif len(told) == 3 and _out_of_order(told, geometry):
        yield "has slices that do not fit each other; are they in their order?"


def _out_of_order(steps: list[float], geometry: Geometry) -> bool:
    """Whether neighbours differ along one axis and not along the others, and not because slices are thick."""
    odd = int(np.argmax(steps))
    others = max(step for axis, step in enumerate(steps) if axis != odd)
    thick = geometry.spacing_mm[odd] > _COARSER * min(geometry.spacing_mm)
    return steps[odd] > _OUT_OF_ORDER and others < _IN_PLANE * steps[odd] and not thick


def _grid_doubts(volume: Volume, expectations: Expectations) -> Iterator[str]:
    """On the field of view, which may not be much smaller than the segments, and on what is in it, not much larger."""
    view, content = _sides_mm(volume.geometry), _sides_mm(volume.geometry.crop(content_box(volume)))
    extents = list(zip(_SIDES, view, content, expectations.extent_mm, strict=True))
    in_view = float(np.prod([min(1.0, size / low) for _, size, _, (low, _) in extents]))
    small = [(side, size, usual) for side, size, _, usual in extents if in_view < _IN_VIEW and size < usual[0]]
    large = [(side, size, usual) for side, _, size, usual in extents if size > _LARGEST_EXTENT * usual[1]]
    odd = [f"{size:.0f} mm {side} ({low:.0f} to {high:.0f} mm)" for side, size, (low, high) in (*small, *large)]
    if odd:
        question = "Is the organ in view" if small else "Is it the right part of the body"
        yield (
            f"The volume measures {', '.join(odd)}; in brackets what the model finds. {question}, "
            "and is the spacing in the file right?"
        )
    coarsest = max(sides := _spacing_mm(volume.geometry))
    if coarsest > _COARSER * expectations.coarsest_mm:
        yield (
            f"The voxels are {coarsest:.1f} mm apart {_SIDES[sides.index(coarsest)]}; "
            f"the model was trained with at most {expectations.coarsest_mm:g} mm."
        )


def _spacing_mm(geometry: Geometry) -> list[float]:
    """Distance of voxels along the axes nearest to R, A and S."""
    return list(geometry.oriented("RAS")[0].spacing_mm[::-1])


def _sides_mm(geometry: Geometry) -> list[float]:
    """Size of the grid along the axes nearest to R, A and S."""
    shape = geometry.oriented("RAS")[0].shape[::-1]
    return [step * n for step, n in zip(_spacing_mm(geometry), shape, strict=True)]
