"""The label images of a segmentation node, which Slicer calls layers: which segment has its voxels in which."""

from __future__ import annotations

from typing import Any

from .segments import segment_ids


def image_of(segmentation: Any, segment_id: str) -> Any:
    """The label image of a segment, or None where it has no voxels."""
    image = segmentation.GetBinaryLabelmapInternalRepresentation(segment_id)
    return None if image is None or image.IsEmpty() else image


def value_of(segmentation: Any, segment_id: str) -> int:
    """The label of a segment in its image."""
    return int(segmentation.GetSegmentation().GetSegment(segment_id).GetLabelValue())


def sharing(segmentation: Any, image: Any) -> tuple[tuple[str, int], ...]:
    """ID and label of every segment of an image."""
    names = [
        name
        for name in segment_ids(segmentation)
        if segmentation.GetBinaryLabelmapInternalRepresentation(name) is image
    ]
    return tuple((name, value_of(segmentation, name)) for name in names)


def home_of(segmentation: Any, segment_id: str) -> tuple[Any, int]:
    """The image that a segment's voxels are in, or shall be in, and its label there.

    A segment without voxels goes into the first image of others on the reference grid, so that what is drawn for it
    cannot cover them; where there is none, the image is None.
    """
    image = image_of(segmentation, segment_id)
    if image is not None:
        return image, value_of(segmentation, segment_id)
    for name in segment_ids(segmentation):
        other = image_of(segmentation, name)
        if other is not None:
            taken = [value for _name, value in sharing(segmentation, other)]
            return other, max(taken) + 1
    return None, value_of(segmentation, segment_id)
