"""The picture of a case on which two models were tried: the slice where the new one is most wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.service.preview import outline, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.training.cases.labelled_case import LabelledCase

    Masks = Mapping[str, NDArray[np.bool_]]

_EDGE_PX = 420
_TRUTH, _OLD, _NEW = (80, 220, 100), (90, 160, 255), (255, 120, 40)
_MARGIN = 0.35
_LEAST_MM = 30.0


def draw_case(case: LabelledCase, truth: Masks, found: Sequence[Masks], folder: Path) -> str:
    """Draw a case: outlines of the reference (green), of the old model (blue) and of the new one (orange).

    The slice is the axial one with most voxels in which the new model and the reference differ, cut to the segments.

    Args:
        case: Its first channel is shown.
        truth: Masks by name without capitals, on its grid.
        found: Of the old model and of the new one, likewise.
        folder: Where the picture is written.

    Returns:
        Name of the file.
    """
    names = [name.casefold() for name in case.drawn]
    geometry = case.volume.geometry
    gray = geometry.view(case.volume.voxels[0], "RAS")
    spacing = geometry.oriented("RAS")[0].spacing_mm
    turned = [[geometry.view(masks[name], "RAS") for name in names if name in masks] for masks in (truth, *found)]
    k = _worst_slice(turned, gray.shape)
    window = _window([mask[k] for masks in turned for mask in masks], spacing, gray.shape[1:])
    size = _size(window, spacing)
    picture = (
        Image.fromarray(to_bytes(gray[k][window], np.percentile(gray[::2, ::2, ::2], [1, 99])))
        .resize(size, Image.Resampling.BICUBIC)
        .convert("RGB")
    )
    # Up is front, left is the patient's right: both axes of RAS run the other way.
    picture = picture.transpose(Image.Transpose.ROTATE_180)
    reference, *answers = turned
    for masks, colour in zip((*answers, reference), (_OLD, _NEW, _TRUTH), strict=True):  # the last one is on top
        for mask in masks:
            outline(picture, mask[k][window][::-1, ::-1], colour, size=size, width=2)
    ImageDraw.Draw(picture).text((6, 4), case.name, fill=(255, 255, 255))
    name = f"{case.name}.png"
    with atomic_path(folder / name) as fresh:
        picture.save(fresh, format="PNG")
    return name


def _worst_slice(turned: Sequence[Sequence[NDArray[np.bool_]]], shape: tuple[int, ...]) -> int:
    wrong = np.zeros(shape[0])
    for right, ours in zip(turned[0], turned[-1], strict=False):
        wrong += np.count_nonzero(right ^ ours, axis=(1, 2))
    if not wrong.any():
        for masks in turned[0]:
            wrong += np.count_nonzero(masks, axis=(1, 2))
    return int(wrong.argmax()) if wrong.any() else shape[0] // 2


def _window(
    masks: Sequence[NDArray[np.bool_]], spacing: tuple[float, float, float], shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """The part of a slice that shows all masks, and some of what is round them."""
    together = np.logical_or.reduce(masks) if masks else np.zeros(shape, np.bool_)
    if not together.any():
        return slice(0, shape[0]), slice(0, shape[1])
    parts = []
    for axis, step in ((0, spacing[1]), (1, spacing[2])):
        hits = np.flatnonzero(together.any(axis=1 - axis))
        extent = max((hits[-1] - hits[0] + 1) * (1 + 2 * _MARGIN), _LEAST_MM / step)
        middle = (hits[0] + hits[-1] + 1) / 2
        parts.append(slice(max(0, int(middle - extent / 2)), min(shape[axis], int(middle + extent / 2) + 1)))
    return parts[0], parts[1]


def _size(window: tuple[slice, slice], spacing: tuple[float, float, float]) -> tuple[int, int]:
    """Width and height in pixels, in true proportions."""
    height, width = ((part.stop - part.start) * step for part, step in zip(window, spacing[1:], strict=True))
    scale = _EDGE_PX / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))
