"""The curves of a training as a picture: loss, Dice of each segment, learning rate."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.service.preview import INK, PAPER, mark_of_origin
from DeepSegmentLib.service.training.train_request import CURVES

from .progress_file import PROGRESS, read_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.training.fitting.fit import StepFinished

    from .progress_file import ProgressLine

    Points = Sequence[tuple[float, float]]

_EVERY_S = 5.0
_WIDTH, _HEIGHT, _RATE_HEIGHT = 640, 210, 110
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 130, 24, 22
_GRID, _FAINT = (52, 56, 64), (150, 155, 165)
_COLOURS = (
    (90, 160, 255), (255, 140, 60), (90, 210, 120), (240, 90, 110), (190, 140, 255), (240, 210, 80), (100, 220, 220),
    (230, 150, 200),
)  # fmt: skip
_MOST_NAMED = len(_COLOURS)


class CurvesPicture:
    """Keeps the picture of a training's curves up to date.

    Args:
        folder: Of the training.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drawn = -_EVERY_S

    def step(self, step: StepFinished) -> None:
        """Draw what was told so far: at once where the network was tried out, else once in a while.

        Raises:
            VolumeFileError: The progress cannot be read, or the picture cannot be written.
        """
        if step.check is None and time.monotonic() - self._drawn < _EVERY_S:
            return
        self._drawn = time.monotonic()
        with atomic_path(self._folder / CURVES) as fresh:
            picture = draw_curves(read_progress(self._folder / PROGRESS))
            picture.save(fresh, format="PNG", pnginfo=mark_of_origin())


def draw_curves(lines: Sequence[ProgressLine]) -> Image.Image:
    """Three plots over the steps: loss, Dice on held-out cases (where the network was tried out), learning rate."""
    last = max((line.iteration for line in lines), default=1)
    losses = {"loss": [(line.iteration, line.loss) for line in lines if math.isfinite(line.loss)]}
    rates = {"rate": [(line.iteration, line.rate) for line in lines]}
    sheet = Image.new("RGB", (_WIDTH, 2 * _HEIGHT + _RATE_HEIGHT), PAPER)
    for top, height, title, curves, limits in (
        (0, _HEIGHT, "loss", losses, _limits(losses)),
        (_HEIGHT, _HEIGHT, "Dice on held-out cases", _dice(lines), (0.0, 1.0)),
        (2 * _HEIGHT, _RATE_HEIGHT, "learning rate", rates, (0.0, _limits(rates)[1])),
    ):
        plot = _Plot(sheet, top, height, last, limits)
        plot.frame(title)
        for colour, (name, points) in zip(_colours(len(curves)), curves.items(), strict=True):
            plot.curve(points, colour)
            if len(curves) > 1:
                plot.name(name, points, colour)
    return sheet


def _colours(count: int) -> list[tuple[int, int, int]]:
    return [_COLOURS[n % len(_COLOURS)] for n in range(count)]


def _dice(lines: Sequence[ProgressLine]) -> Mapping[str, Points]:
    """Of the segments that the picture has room for: those that are worst at the end; and the mean of all."""
    tried = [line for line in lines if line.dice]
    if not tried:
        return {}
    mean = [(line.iteration, sum(line.dice.values()) / len(line.dice)) for line in tried]
    worst = sorted(tried[-1].dice, key=lambda name: tried[-1].dice[name])[: _MOST_NAMED - 1]
    each = {name: [(line.iteration, line.dice[name]) for line in tried if name in line.dice] for name in worst}
    return {"mean": mean, **each} if len(tried[-1].dice) > 1 else each


def _limits(curves: Mapping[str, Points]) -> tuple[float, float]:
    values = [y for points in curves.values() for _, y in points]
    low, high = min(values, default=0.0), max(values, default=1.0)
    least = max(1e-6, 1e-3 * abs(low), 1e-3 * abs(high))
    return (low, high) if high - low > least else (low - least, high + least)


class _Plot:
    """One plot of the sheet.

    Args:
        sheet: To draw on.
        top: Of the plot, in pixels.
        height: Likewise.
        last: Step at the right border.
        limits: Values at the lower and the upper border.
    """

    def __init__(self, sheet: Image.Image, top: int, height: int, last: int, limits: tuple[float, float]) -> None:
        self._draw, self._font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
        self._box = (_LEFT, top + _TOP, _WIDTH - _RIGHT, top + height - _BOTTOM)
        self._last, self._limits = last, limits
        self._named: list[float] = []

    def _place(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self._box
        low, high = self._limits
        return left + (right - left) * x / self._last, bottom - (bottom - top) * (y - low) / (high - low)

    def frame(self, title: str) -> None:
        """Title, border, and a few lines with their values."""
        left, top, right, bottom = self._box
        self._draw.text((left, top - 20), title, fill=INK, font=self._font)
        low, high = self._limits
        for n in range(5):
            value = low + (high - low) * n / 4
            y = self._place(0, value)[1]
            self._draw.line((left, y, right, y), fill=_GRID)
            if n % 2 == 0:
                self._draw.text((left - 6, y), f"{value:.2g}", fill=_FAINT, font=self._font, anchor="rm")
        self._draw.text((right, bottom + 4), f"{self._last} steps", fill=_FAINT, font=self._font, anchor="ra")

    def curve(self, points: Points, colour: tuple[int, int, int]) -> None:
        """A line through points; a dot where there is only one."""
        places = [self._place(x, y) for x, y in points]
        if len(places) > 1:
            self._draw.line(places, fill=colour, width=2, joint="curve")
        for x, y in places if len(places) < 40 else []:
            self._draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)

    def name(self, name: str, points: Points, colour: tuple[int, int, int]) -> None:
        """What a curve is, at its end, where no other name stands."""
        _, top, right, bottom = self._box
        y = _free(self._place(*points[-1])[1], self._named, top, bottom)
        self._named.append(y)
        shown = name if len(name) <= 16 else f"{name[:15]}…"
        self._draw.text((right + 8, y), shown, fill=colour, font=self._font, anchor="lm")


def _free(wanted: float, taken: Sequence[float], top: float, bottom: float, step: float = 15.0) -> float:
    """The height nearest to the wanted one that is not within a step of those taken; the wanted one where all are."""
    heights = [top + n for n in range(int(bottom - top) + 1)]
    free = [y for y in heights if all(abs(y - other) >= step for other in taken)]
    nearest: Callable[[float], float] = lambda y: abs(y - wanted)  # noqa: E731 - the key of one line
    return min(free, key=nearest, default=wanted)
