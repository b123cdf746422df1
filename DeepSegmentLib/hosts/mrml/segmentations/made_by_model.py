"""What a segment says of itself: which model made it, as what, and whether anybody has changed it since.

All of it is in the segment's tags, which go with it through undo, copies, saved scenes and `.seg.nrrd` files.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.files.segmentations.terminology import PROVENANCE_TAG

from .segments import tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .shapes import Shape

OUTPUT_TAG = "DeepSegmentOutput"
"""Tag of the name that the model gave the segment; quoted, as tags cannot hold everything."""

VOXELS_TAG = "DeepSegmentVoxels"
"""Tag of the `fingerprint` that the segment had when the model's result was written."""

_SAME_PLACE_MM = 0.05  # far above the rounding of files, far below a voxel


def sign(segment: Any, output: str, shape: Shape) -> None:
    """Say on a segment what of a model it is and which voxels that made."""
    segment.SetTag(OUTPUT_TAG, quote(output, safe=" "))
    segment.SetTag(VOXELS_TAG, fingerprint(shape))


def maker_of(segment: Any) -> str:
    """The model that made a segment; empty where none did."""
    return tag(segment, f"{PROVENANCE_TAG}model")


def output_of(segment: Any) -> str:
    """What the segment is to the model that made it, whatever the user calls it; empty where that is not known."""
    return unquote(tag(segment, OUTPUT_TAG))


def is_untouched(segment: Any, shape: Shape) -> bool:
    """Whether a segment has exactly the voxels that a model gave it.

    Args:
        segment: The vtkSegment.
        shape: Its voxels as they are now.

    Returns:
        False also where it is not known what the model gave it.
    """
    then, now = tag(segment, VOXELS_TAG).split(), fingerprint(shape).split()
    if not then or then[0] != now[0]:
        return False
    moved = np.abs(np.subtract(_numbers(then), _numbers(now)))
    return bool(len(then) == len(now) and (moved < _SAME_PLACE_MM).all())


def fingerprint(shape: Shape) -> str:
    """A short text that tells a shape from others: a digest of its voxels, and where the first of them is in mm.

    It does not depend on the image that holds the voxels, so saving and loading keep it.
    """
    box = Box.of_shape(shape.mask.shape) if _is_tight(shape.mask) else bounding_box(shape.mask)
    if not box.size:
        return "empty"
    voxels = hashlib.blake2b(repr(box.shape).encode(), digest_size=12)
    voxels.update(np.packbits(shape.mask[box.to_slices()]).tobytes())
    place = shape.geometry.index_to_ras(box.start)
    return " ".join([voxels.hexdigest(), *[f"{part:.3f}" for part in place.tolist()]])


def _is_tight(mask: NDArray[np.bool_]) -> bool:
    """Whether each face of an array has a true voxel: mostly so, and quicker to see than to find the box."""
    return bool(mask.size) and all(mask.take(n, axis).any() for axis in range(3) for n in (0, -1))


def _numbers(words: list[str]) -> list[float]:
    try:
        return [float(word) for word in words[1:4]] or [0.0]
    except ValueError:
        return [np.inf]
