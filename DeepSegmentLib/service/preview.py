"""A picture of a result: three orthogonal slices with contours, and a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.measure import find_contours

from DeepSegmentLib.data.geometry import bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap, Segment, Volume

_PANEL_PX = 520  # height of the slice pictures
_LINE_PX = 24  # height of a line of the legend
_FILL = 0.28  # opacity of the segments
_INK, _PAPER = (235, 235, 235), (16, 18, 22)
_VIEWS = (("axial", 0, "RLAP"), ("coronal", 1, "RLSI"), ("sagittal", 2, "APSI"))


def draw_preview(volume: Volume, label_map: LabelMap, *, title: str) -> Image.Image:
    """Draw the slices through the middle of the segments.

    Shown as radiologists look at them: the patient's right is on the left, front or head is up.

    Args:
        volume: The first channel is shown.
        label_map: Segments on the same grid.
        title: One line of text above.
    """
    gray = volume.oriented("RAS")
    layers = list(label_map.geometry.view(label_map.layers, "RAS"))
    spacing = gray.geometry.spacing_mm
    middle = _middle(layers)
    window = np.percentile(gray.voxels[0], [0.5, 99.5])
    panels = []
    for name, axis, letters in _VIEWS:
        plane = _seen(np.take(gray.voxels[0], middle[axis], axis))
        labels = [_seen(np.take(layer, middle[axis], axis)) for layer in layers]
        height_mm, width_mm = (step for a, step in enumerate(spacing) if a != axis)
        size = (_PANEL_PX, max(1, round(_PANEL_PX * plane.shape[1] * width_mm / (plane.shape[0] * height_mm))))
        panels.append(_panel(_to_bytes(plane, window), labels, label_map.segments, size))
        _annotate(panels[-1], name, letters)
    return _sheet(panels, _legend(label_map), title)


def _middle(layers: list[NDArray[Any]]) -> tuple[int, int, int]:
    """The middle of the segments; of the volume where there are none."""
    mask = np.any([layer > 0 for layer in layers], axis=0)
    box = bounding_box(mask)
    if box.size == 0:
        k, j, i = (n // 2 for n in mask.shape)
    else:
        k, j, i = ((a + b) // 2 for a, b in zip(box.start, box.stop, strict=True))
    return k, j, i


def _seen(plane: NDArray[Any]) -> NDArray[Any]:
    """A plane with axes (up, right) as a picture (down, left): head or front up, right or front at the left."""
    return plane[::-1, ::-1]


def _to_bytes(plane: NDArray[Any], window: NDArray[np.float64]) -> NDArray[np.uint8]:
    low, high = window
    scaled = (np.asarray(plane, np.float32) - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0, 1) * 255, dtype=np.uint8)


def _panel(
    gray: NDArray[np.uint8],
    labels: list[NDArray[Any]],
    segments: tuple[Segment, ...],
    size: tuple[int, int],
) -> Image.Image:
    """One slice, enlarged, with filled and outlined segments."""
    height, width = size
    picture = Image.fromarray(gray).resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
    outlines = ImageDraw.Draw(picture)
    for segment in segments:
        mask = labels[segment.layer] == segment.value
        if mask.any():
            smooth = _enlarged(mask, size)
            tint = Image.new("RGB", picture.size, segment.color)
            opacity = Image.fromarray(((smooth > 0.5) * (_FILL * 255)).astype(np.uint8))
            picture.paste(tint, mask=opacity)
            for contour in find_contours(np.pad(smooth, 1), 0.5):
                points = [(x - 1, y - 1) for y, x in contour]
                outlines.line(points, fill=segment.color, width=2)
    return picture


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    zoom = [new / old for new, old in zip(size, mask.shape, strict=True)]
    grown = ndimage.zoom(mask.astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest")
    return np.asarray(ndimage.gaussian_filter(grown, [0.35 * factor for factor in zoom]))


def _annotate(panel: Image.Image, name: str, letters: str) -> None:
    """The view's name, and the patient's directions at the four borders (left, right, up, down)."""
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(16)
    width, height = panel.size
    draw.text((8, 6), name, fill=_INK, font=font)
    left, right, up, down = tuple(letters)
    draw.text((6, height // 2), left, fill=_INK, font=font)
    draw.text((width - 18, height // 2), right, fill=_INK, font=font)
    draw.text((width // 2, 4), up, fill=_INK, font=font)
    draw.text((width // 2, height - 22), down, fill=_INK, font=font)


def _legend(label_map: LabelMap) -> list[tuple[tuple[int, int, int], str]]:
    volumes = label_map.volumes_ml()
    return [(segment.color, f"{segment.name}  {volumes[segment.name]:.1f} ml") for segment in label_map.segments]


def _sheet(panels: list[Image.Image], legend: list[tuple[tuple[int, int, int], str]], title: str) -> Image.Image:
    """Panels side by side, the legend in columns below."""
    gap, top = 8, 36
    width = sum(panel.width for panel in panels) + gap * (len(panels) + 1)
    columns = max(1, width // 340)
    rows = -(-len(legend) // columns)
    sheet = Image.new("RGB", (width, top + _PANEL_PX + 2 * gap + rows * _LINE_PX + gap), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    draw.text((gap, gap), title, fill=_INK, font=font)
    left = gap
    for panel in panels:
        sheet.paste(panel, (left, top))
        left += panel.width + gap
    for n, (color, text) in enumerate(legend):
        x, y = gap + (n // rows) * (width // columns), top + _PANEL_PX + 2 * gap + (n % rows) * _LINE_PX
        draw.rectangle((x, y + 2, x + 16, y + 18), fill=color)
        draw.text((x + 24, y), text, fill=_INK, font=font)
    return sheet
