"""A picture of a result: three orthogonal slices with contours, and a legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage
from skimage.measure import find_contours

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.opening import open_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume

_PANEL_PX = 520  # height of the slice pictures
_NARROWEST_PX, _WIDEST_PX = 160, 1040  # width of the slice pictures; longer slices are shown less high
_LINE_PX = 24  # height of a line of the legend
_COLUMN_PX = 340
_MOST_LINES = 120  # of the legend: the largest models we know of have 117 structures
_MOST_OUTLINES = 150  # in a slice picture, the largest segments first
_MOST_LETTERS = 100  # of the title; of a name, what its column holds
_MOST_SAMPLES = 1 << 22  # voxels that the window of grey values is taken from
_FILL = 0.28  # opacity of the segments
INK, PAPER = (235, 235, 235), (16, 18, 22)
_ORIGIN = ("Software", "DeepSegment")
_VIEWS = (("axial", 0, "RLAP"), ("coronal", 1, "RLSI"), ("sagittal", 2, "APSI"))


def draw_preview(
    volume: Volume, label_map: LabelMap, *, title: str, centre_ras: tuple[float, float, float] | None = None
) -> Image.Image:
    """Draw the slices through a place, or through the middle of the segments.

    Shown as radiologists look at them: the patient's right is on the left, front or head is up.

    Args:
        volume: The first channel is shown.
        label_map: Segments on the same grid.
        title: One line of text above.
        centre_ras: The place, in RAS millimetres; None for the middle of the segments.
    """
    seen = _Seen(volume, label_map, centre_ras)
    panels = []
    for name, axis, letters in _VIEWS:
        panels.append(_framed(seen.slice(axis, _PANEL_PX, _WIDEST_PX)))
        _annotate(panels[-1], name, letters)
    return _sheet(panels, _legend(label_map), _plain(title, _MOST_LETTERS))


def draw_middle(volume: Volume, label_map: LabelMap, edge_px: int) -> Image.Image:
    """Draw the axial slice through the middle of the segments alone.

    Args:
        volume: The first channel is shown.
        label_map: Segments on the same grid.
        edge_px: Of the picture's longer edge.
    """
    return _Seen(volume, label_map).slice(0, edge_px, edge_px)


class _Seen:
    """A volume and its segments, turned to RAS, at a place.

    Args:
        volume: The first channel is shown.
        label_map: Segments on the same grid.
        centre_ras: The place, in RAS millimetres; None for the middle of the segments.
    """

    def __init__(
        self, volume: Volume, label_map: LabelMap, centre_ras: tuple[float, float, float] | None = None
    ) -> None:
        gray = volume.oriented("RAS")
        self._voxels, self._spacing, self._segments = gray.voxels[0], gray.geometry.spacing_mm, label_map.segments
        self._layers = list(label_map.geometry.view(label_map.layers, "RAS"))
        self._middle = _middle(self._layers) if centre_ras is None else _nearest(gray.geometry, centre_ras)
        self._window = np.percentile(_sampled(self._voxels), [0.5, 99.5])

    def slice(self, axis: int, highest: int, widest: int) -> Image.Image:
        """The slice across an axis in its true proportions, no larger than so many pixels."""
        plane = _seen(np.take(self._voxels, self._middle[axis], axis))
        labels = [_seen(np.take(layer, self._middle[axis], axis)) for layer in self._layers]
        down, right = (step for a, step in enumerate(self._spacing) if a != axis)
        height_mm, width_mm = plane.shape[0] * down, plane.shape[1] * right
        scale = min(highest / height_mm, widest / width_mm)
        size = max(1, round(scale * height_mm)), max(1, round(scale * width_mm))
        return _panel(to_bytes(plane, self._window), labels, self._segments, size)


def outline(
    picture: Image.Image,
    mask: NDArray[np.bool_],
    colour: tuple[int, int, int],
    *,
    size: tuple[int, int],
    corner: tuple[int, int] = (0, 0),
    width: int = 1,
) -> None:
    """Draw the outline of a mask, inside it.

    Args:
        picture: To draw on.
        mask: Of a slice (down, right), as coarse as its voxels.
        colour: Of the line.
        size: Width and height of the slice in the picture, in pixels.
        corner: Where it begins there (right, down).
        width: Of the line, in pixels.
    """
    large = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    edge = large & ~ndimage.binary_erosion(large, iterations=width)
    picture.paste(colour, corner, Image.fromarray(edge))


def mark_of_origin() -> PngInfo:
    """Says in a picture's file what made it, and nothing of what it shows; see `is_preview`."""
    info = PngInfo()
    info.add_text(*_ORIGIN)
    return info


def is_preview(path: Path) -> bool:
    """Whether a file is a picture that was written with `mark_of_origin`."""
    try:
        with open_file(path) as file, Image.open(file, formats=["PNG"]) as picture:
            return picture.info.get(_ORIGIN[0]) == _ORIGIN[1]
    except (OSError, ValueError, SyntaxError, DeepSegmentError):  # Pillow raises all of them for damaged files
        return False


def _sampled(voxels: NDArray[Any]) -> NDArray[Any]:
    """Every n-th voxel along each axis: few enough to sort at once."""
    step = math.ceil((voxels.size / _MOST_SAMPLES) ** (1 / 3))
    return voxels[::step, ::step, ::step]


def _framed(picture: Image.Image) -> Image.Image:
    """A slice picture in the middle of a panel, which is never narrower or less high than its letters need."""
    panel = Image.new("RGB", (max(_NARROWEST_PX, picture.width), _PANEL_PX), PAPER)
    panel.paste(picture, ((panel.width - picture.width) // 2, (_PANEL_PX - picture.height) // 2))
    return panel


def _plain(text: str, longest: int) -> str:
    """A text on one line, of characters that can be drawn."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def _middle(layers: list[NDArray[Any]]) -> tuple[int, int, int]:
    """The middle of the segments; of the volume where there are none."""
    mask = layers[0] > 0
    for layer in layers[1:]:
        mask |= layer > 0
    box = bounding_box(mask)
    if box.size == 0:
        k, j, i = (n // 2 for n in mask.shape)
    else:
        k, j, i = ((a + b) // 2 for a, b in zip(box.start, box.stop, strict=True))
    return k, j, i


def _nearest(geometry: Geometry, place_ras: tuple[float, float, float]) -> tuple[int, int, int]:
    """The voxel nearest to a place."""
    index = np.round(geometry.ras_to_index(place_ras))
    k, j, i = np.clip(index, 0, np.asarray(geometry.shape) - 1).astype(int).tolist()
    return k, j, i


def _seen(plane: NDArray[Any]) -> NDArray[Any]:
    """A plane with axes (up, right) as a picture (down, left): head or front up, right or front at the left."""
    return plane[::-1, ::-1]


def to_bytes(plane: NDArray[Any], window: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Intensities of a slice as grey values; those of the window (lowest, highest) become black and white."""
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
    for segment, box in _largest_in(labels, segments):
        _draw(picture, labels[segment.layer], segment, box)
    return picture


def _largest_in(labels: list[NDArray[Any]], segments: tuple[Segment, ...]) -> list[tuple[Segment, tuple[slice, slice]]]:
    """The segments that a slice shows, the largest boxes first and no more than can be told apart; and their boxes."""
    boxes = [ndimage.find_objects(plane) for plane in labels]
    found = [
        (segment, box)
        for segment in segments
        if (box := next(iter(boxes[segment.layer][segment.value - 1 : segment.value]), None)) is not None
    ]
    order = {id(segment): n for n, (segment, _) in enumerate(found)}
    largest = sorted(found, key=lambda pair: -_area(pair[1]))[:_MOST_OUTLINES]
    return sorted(largest, key=lambda pair: order[id(pair[0])])


def _area(box: tuple[slice, slice]) -> int:
    return math.prod(int(span.stop - span.start) for span in box)


def _draw(picture: Image.Image, labels: NDArray[Any], segment: Segment, box: tuple[slice, slice]) -> None:
    """Fill and outline a segment of a slice (down, right); only the part around it is enlarged."""
    zoom = (picture.height / labels.shape[0], picture.width / labels.shape[1])
    part = tuple(slice(max(0, s.start - 2), min(n, s.stop + 2)) for s, n in zip(box, labels.shape, strict=True))
    top, left = (round(span.start * factor) for span, factor in zip(part, zoom, strict=True))
    bottom, right = (
        min(limit, max(first + 1, round(span.stop * factor)))
        for span, factor, first, limit in zip(part, zoom, (top, left), (picture.height, picture.width), strict=True)
    )
    if bottom <= top or right <= left:
        return
    smooth = _enlarged(labels[part] == segment.value, (bottom - top, right - left))
    opacity = Image.fromarray(((smooth > 0.5) * (_FILL * 255)).astype(np.uint8))
    picture.paste(Image.new("RGB", opacity.size, segment.color), (left, top), opacity)
    outlines = ImageDraw.Draw(picture)
    for contour in find_contours(np.pad(smooth, 1), 0.5):
        outlines.line([(x - 1 + left, y - 1 + top) for y, x in contour], fill=segment.color, width=2)


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """A mask at the size of its place in the picture, its steps smoothed; a finer one is made coarser."""
    zoom = [new / old for new, old in zip(size, mask.shape, strict=True)]
    grown = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR))
    return np.asarray(ndimage.gaussian_filter(grown, [min(0.35 * factor, _WIDEST_PX / 8) for factor in zoom]))


def _annotate(panel: Image.Image, name: str, letters: str) -> None:
    """The view's name, and the patient's directions at the four borders (left, right, up, down)."""
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(16)
    width, height = panel.size
    draw.text((8, 6), name, fill=INK, font=font)
    left, right, up, down = tuple(letters)
    draw.text((6, height // 2), left, fill=INK, font=font)
    draw.text((width - 18, height // 2), right, fill=INK, font=font)
    draw.text((width // 2, 4), up, fill=INK, font=font)
    draw.text((width // 2, height - 22), down, fill=INK, font=font)


def _legend(label_map: LabelMap) -> list[tuple[tuple[int, int, int], str]]:
    volumes = label_map.volumes_ml()
    letters = _COLUMN_PX // 11
    shown = [
        (segment.color, f"{_plain(segment.name, letters)}  {volumes[segment.name]:.1f} ml")
        for segment in label_map.segments[:_MOST_LINES]
    ]
    more = len(label_map.segments) - len(shown)
    return [*shown, (PAPER, f"and {more} more")] if more else shown


def _sheet(panels: list[Image.Image], legend: list[tuple[tuple[int, int, int], str]], title: str) -> Image.Image:
    """Panels side by side, the legend in columns below."""
    gap, top = 8, 36
    width = sum(panel.width for panel in panels) + gap * (len(panels) + 1)
    columns = max(1, width // _COLUMN_PX)
    rows = -(-len(legend) // columns)
    sheet = Image.new("RGB", (width, top + _PANEL_PX + 2 * gap + rows * _LINE_PX + gap), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    draw.text((gap, gap), title, fill=INK, font=font)
    left = gap
    for panel in panels:
        sheet.paste(panel, (left, top))
        left += panel.width + gap
    for n, (color, text) in enumerate(legend):
        x, y = gap + (n // rows) * (width // columns), top + _PANEL_PX + 2 * gap + (n % rows) * _LINE_PX
        draw.rectangle((x, y + 2, x + 16, y + 18), fill=color)
        draw.text((x + 24, y), text, fill=INK, font=font)
    return sheet
