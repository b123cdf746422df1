"""Draw the steps of one correction, computed by the library on a small phantom.

python scripts/draw_correction.py docs/pictures/correction.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from DeepSegmentLib.correction.correct import correct
from DeepSegmentLib.correction.evidence.energy import gains
from DeepSegmentLib.correction.evidence.features import gather
from DeepSegmentLib.correction.rules.constraints import look
from DeepSegmentLib.correction.session import LabelCanvas
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Geometry, Point, Volume

_SHAPE, _CLICK = (24, 64, 64), (12, 26, 41)
_SETTINGS = CorrectionSettings(radius_mm=14)
_SCALE, _GAP, _HEAD = 6, 12, 30
_YELLOW, _GREEN, _BLUE, _RED = (250, 204, 21), (34, 197, 94), (59, 130, 246), (220, 60, 60)
_TITLES = ("segment and click", "what may change", "log-odds: red against, blue for", "after the cut: what was added")
Mask = NDArray[np.bool_]


def phantom() -> tuple[LabelCanvas, Point]:
    """An organ beside a brighter one, a segment that lacks a part of it, and a click there."""
    k, j, i = np.ogrid[: _SHAPE[0], : _SHAPE[1], : _SHAPE[2]]
    organ = ((k - 12) / 10) ** 2 + ((j - 32) / 19) ** 2 + ((i - 30) / 19) ** 2 < 1
    neighbour = (((k - 12) / 9) ** 2 + ((j - 32) / 14) ** 2 + ((i - 57) / 10) ** 2 < 1) & ~organ
    missing = ((k - 12) / 7) ** 2 + ((j - 24) / 11) ** 2 + ((i - 44) / 12) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 9, _SHAPE)
    intensities = ndimage.gaussian_filter(40.0 + 60 * organ + 95 * neighbour, 0.8) + noise
    grid = Geometry.from_spacing(_SHAPE, (1, 1, 1))
    labels = (organ & ~missing).astype(np.uint8) + 2 * neighbour.astype(np.uint8)
    canvas = LabelCanvas(Volume(intensities[None].astype(np.float32), grid), labels, value=1, taken=(2,))
    return canvas, Point("Organ", True, grid.index_to_ras(_CLICK))


def panels(canvas: LabelCanvas, prompt: Point) -> list[NDArray[np.uint8]]:
    """The slice of the click four times, as (j, i, colour)."""
    task, middle = look(canvas, prompt, _SETTINGS), _CLICK[0]
    place = task.box.to_slices()[1:]
    inner = middle - task.box.start[0]
    gray = np.clip(canvas.volume.voxels[0, middle], 0, 180) / 180 * 255
    base = np.repeat(gray[..., None], 3, axis=-1)
    domain, evidence = task.domain, gather(task.domain)
    worth = np.zeros(domain.free.shape, np.float32)
    worth.ravel()[evidence.grid.voxels] = np.clip(gains(evidence, domain, _SETTINGS), -4, 4) / 4
    change = correct(canvas, prompt, _SETTINGS)
    before = canvas.labels[middle] == 1
    free, value, added = (np.zeros(before.shape, kind) for kind in (bool, np.float32, bool))
    free[place], value[place] = domain.open_to_change[inner], worth[inner]
    added[tuple(change.box.to_slices()[1:])] = change.changed[middle - change.box.start[0]]
    shown = [base, _tinted(base, free, _BLUE), _odds(base, free, value), _tinted(base, added, _GREEN)]
    return [_outlined(each, before) for each in shown]


def _tinted(base: NDArray[Any], mask: Mask, color: tuple[int, int, int]) -> NDArray[Any]:
    out = base.copy()
    out[mask] = 0.45 * out[mask] + 0.55 * np.array(color)
    return out


def _odds(base: NDArray[Any], mask: Mask, value: NDArray[np.float32]) -> NDArray[Any]:
    strength = np.abs(value)[..., None]
    color = np.where(value[..., None] > 0, np.array(_BLUE), np.array(_RED))
    return np.where(mask[..., None], (1 - strength) * 255 + strength * color, base)


def _outlined(base: NDArray[Any], mask: Mask) -> NDArray[np.uint8]:
    """Enlarged, with the border of a mask in yellow."""
    large = base.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1).astype(np.uint8)
    wide = mask.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
    large[wide & ~ndimage.binary_erosion(wide, iterations=2)] = _YELLOW
    return large


def picture() -> Image.Image:
    """The four panels, two by two, each with its title and the click."""
    edge = _SHAPE[1] * _SCALE
    image = Image.new("RGB", (2 * edge + _GAP, 2 * (edge + _HEAD) + _GAP), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(18)
    for n, (panel, title) in enumerate(zip(panels(*phantom()), _TITLES, strict=True)):
        left, top = n % 2 * (edge + _GAP), n // 2 * (edge + _HEAD + _GAP) + _HEAD
        image.paste(Image.fromarray(panel), (left, top))
        draw.text((left, top - _HEAD + 3), title, fill="black", font=font)
        x, y = left + (_CLICK[2] + 0.5) * _SCALE, top + (_CLICK[1] + 0.5) * _SCALE
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=_GREEN, outline="black", width=2)
    return image


if __name__ == "__main__":
    picture().save(Path(sys.argv[1]), optimize=True)
