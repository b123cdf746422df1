"""Arrays of numbers as labels."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# 16 bits, scaled to the 2,035 labels of FreeSurfer, are off by at most 0.0156.
_ALMOST = 0.02
_GOLDEN_RATIO = 0.6180339887  # steps of it around the color circle never come close to an earlier one


def as_labels(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    """Voxels as uint8 or uint16, the smallest that holds them; uint16 stays. Floats that are whole numbers count.

    So do floats that are almost whole: NIfTI writers that store labels as scaled integers leave 5.99985 of a 6.

    Raises:
        VolumeFileError: There is a fraction, a negative number or one above 65535.
    """
    low, high = voxels.min(), voxels.max()
    if low < -_ALMOST or high > 65535 + _ALMOST:
        raise VolumeFileError(f"{path} holds values from {low} to {high}; labels are whole numbers from 0 to 65535")
    kind = np.uint8 if high < 255.5 and voxels.dtype != np.uint16 else np.uint16
    if voxels.dtype.kind != "f":
        return voxels.astype(kind, copy=False)
    labels: NDArray[Any] = np.rint(voxels).astype(kind)
    odd = np.abs(voxels - labels) > _ALMOST
    if odd.any():
        raise VolumeFileError(
            f"{path} holds fractions such as {voxels[odd][0]}; labels are whole numbers (are these probabilities?)"
        )
    return labels


def wide_enough(layers: NDArray[Any], segments: tuple[Segment, ...]) -> NDArray[Any]:
    """The labels in a type that holds the values of all segments, also of those without voxels."""
    return layers.astype(np.uint16) if any(segment.value > 255 for segment in segments) else layers


def unnamed_segments(layers: NDArray[Any]) -> tuple[Segment, ...]:
    """A segment "label 3" for each value found, in colors that differ."""
    return tuple(
        Segment(f"label {value}", int(value), _color(int(value)), layer=n)
        for n, layer in enumerate(layers)
        for value in np.unique(layer)
        if value
    )


def _color(value: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(value * _GOLDEN_RATIO % 1, 0.6, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)
