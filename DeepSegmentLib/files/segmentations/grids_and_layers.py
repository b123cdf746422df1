"""Labelmaps brought to the form that a file or a comparison needs, without changing a single label."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import LabelMap
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from DeepSegmentLib.data import Geometry, Segment

_TOLERANCE = 0.1  # of the smallest voxel size; NIfTI's float32 and averaged slice distances stay far below


def match_grid(label_map: LabelMap, geometry: Geometry) -> LabelMap:
    """The same labels with the index order of another grid of the same voxels, and exactly at its place.

    Files of one scan often differ in the order and sense of their axes (DICOM and NIfTI do); nothing is resampled.

    Args:
        label_map: Labels.
        geometry: The grid that they shall be on; voxel centres may lie a tenth of a voxel off.

    Raises:
        InvalidInputError: These are other voxels.
    """
    turned, _, _ = label_map.geometry.oriented(geometry.orientation)
    if not turned.is_close(geometry, tolerance_mm=_TOLERANCE * min(geometry.spacing_mm)):
        raise InvalidInputError(
            f"the labels are not on the volume's grid: {_told(label_map.geometry)}, the volume {_told(geometry)}; "
            "resample the labels onto the volume first"
        )
    layers = label_map.geometry.view(label_map.layers, geometry.orientation)
    return LabelMap(np.ascontiguousarray(layers), geometry, label_map.segments)


def flatten(label_map: LabelMap) -> LabelMap:
    """The same segments in one layer; values are 1, 2, ... in the order of the segments where there were several.

    Raises:
        InvalidInputError: Two segments overlap, or there are more than 65535.
    """
    if len(label_map.layers) == 1:
        return label_map
    dtype = np.uint8 if len(label_map.segments) < 256 else np.uint16
    layer = np.zeros(label_map.geometry.shape, dtype)
    segments = tuple(replace(each, value=n, layer=0) for n, each in enumerate(label_map.segments, start=1))
    for before, after in zip(label_map.segments, segments, strict=True):
        mask = label_map.mask(before)
        if layer[mask].any():
            raise InvalidInputError(_overlap(label_map))
        layer[mask] = after.value
    return LabelMap(layer[None], label_map.geometry, segments)


def labels_without_segment(label_map: LabelMap) -> tuple[tuple[int, int], ...]:
    """Layer and value of the labels that belong to no segment, in order."""
    known = {(segment.layer, segment.value) for segment in label_map.segments}
    found = [(n, int(value)) for n, layer in enumerate(label_map.layers) for value in _values(layer)]
    return tuple(place for place in found if place not in known)


def empty_segments(label_map: LabelMap) -> tuple[Segment, ...]:
    """The segments that have no voxel, in order."""
    found = [set(_values(layer)) for layer in label_map.layers]
    return tuple(segment for segment in label_map.segments if segment.value not in found[segment.layer])


def _values(layer: np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]]) -> list[int]:
    """The labels above 0 in a layer."""
    return [value for value, box in enumerate(ndimage.find_objects(layer), start=1) if box is not None]


def _overlap(label_map: LabelMap) -> str:
    pairs = [
        f"{a.name!r} and {b.name!r}"
        for a, b in combinations(label_map.segments, 2)
        if a.layer != b.layer and (label_map.mask(a) & label_map.mask(b)).any()
    ]
    return (
        f"segments overlap ({', '.join(pairs[:3])}), which this format has no place for; "
        "take the overlap from one of them, or write .seg.nrrd or DICOM SEG"
    )


def _told(geometry: Geometry) -> str:
    k, j, i = geometry.spacing_mm
    centre = geometry.index_to_ras((np.asarray(geometry.shape) - 1) / 2)
    place = ", ".join(f"{part:.1f}" for part in centre)
    shape = " x ".join(map(str, reversed(geometry.shape)))
    return f"{shape} voxels of {i:.3g} x {j:.3g} x {k:.3g} mm ({geometry.orientation}) around RAS ({place}) mm"
