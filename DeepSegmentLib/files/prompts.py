"""Prompts as JSON: one object each, coordinates as numbers that come back to the last bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from DeepSegmentLib.data import BoxPrompt, Lasso, Point, Scribble
from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError, VolumeFileError

from .atomic import write_text
from .opening import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from DeepSegmentLib.data import Prompt

    Corner = tuple[float, float, float]

_MOST_BYTES = 1 << 24
"""Larger files of prompts are refused unread: a prompt of as many corners as one may have takes less."""

_MOST_PROMPTS = 10_000
"""More in one file are hours of work; several files can follow each other."""


@dataclass(frozen=True)
class StoredPrompt:
    """A prompt as the JSON object that is stored.

    Attributes:
        type: What it is.
        segment: Name of the segment meant.
        positive: Whether what is pointed at belongs to it.
        points_ras: The click, the corners of the line or outline, or two corners of the box, in RAS mm.
        size_mm: Half the width of a scribble, half the depth of a lasso; 0 for the others.
    """

    type: Literal["point", "scribble", "box", "lasso"]
    segment: str
    positive: bool
    points_ras: tuple[tuple[float, float, float], ...]
    size_mm: float = 0.0

    @classmethod
    def of(cls, prompt: Prompt) -> StoredPrompt:
        """What is stored of a prompt."""
        named = prompt.segment, prompt.positive
        match prompt:
            case Point():
                return cls("point", *named, _corners(prompt.point_ras[None]))
            case BoxPrompt():
                return cls("box", *named, _corners(prompt.corners_ras))
            case Scribble():
                return cls("scribble", *named, _corners(prompt.points_ras), prompt.radius_mm)
            case Lasso():
                return cls("lasso", *named, _corners(prompt.points_ras), prompt.depth_mm)

    def prompt(self) -> Prompt:
        """The prompt that was stored.

        Raises:
            InvalidInputError: Points are missing or too many, or a size is negative.
        """
        points = np.reshape(np.array(self.points_ras, dtype=np.float64), (-1, 3))
        if self.size_mm and self.type in ("point", "box"):
            raise InvalidInputError(f"a {self.type} has no size_mm, got {self.size_mm}")
        if self.type == "scribble":
            return Scribble(self.segment, self.positive, points, self.size_mm)
        if self.type == "lasso":
            return Lasso(self.segment, self.positive, points, self.size_mm)
        if self.type == "box":
            return BoxPrompt(self.segment, self.positive, points)
        if len(points) != 1:
            raise InvalidInputError(f"a point has one place, got {len(points)}")
        return Point(self.segment, self.positive, points[0])


def _corners(points: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Corner, ...]:
    return tuple((float(r), float(a), float(s)) for r, a, s in points)


def write_prompts(prompts: Iterable[Prompt], path: Path) -> None:
    """Write prompts to a file that `read_prompts` reads.

    Raises:
        VolumeFileError: The file cannot be written.
    """
    write_text(path, json.dumps([to_json(StoredPrompt.of(prompt)) for prompt in prompts], indent=1) + "\n")


def read_prompts(path: Path, segment: str | None = None) -> tuple[Prompt, ...]:
    """Read a list of prompts.

    Args:
        path: JSON file: a list of objects with the keys of `StoredPrompt`; `size_mm` may be left out.
        segment: The segment of prompts that name none.

    Raises:
        VolumeFileError: The file is missing, or is no list of prompts; the message says which entry is wrong.
    """
    entries = read_json(path, largest=_MOST_BYTES)
    if not isinstance(entries, list):
        raise VolumeFileError(f"{path} is no list of prompts; put [ and ] around them")
    if len(entries) > _MOST_PROMPTS:
        raise VolumeFileError(
            f"{path} has {len(entries)} prompts, more than {_MOST_PROMPTS}; split them over several files"
        )
    defaults = {"size_mm": 0.0} if segment is None else {"size_mm": 0.0, "segment": segment}
    try:
        return tuple(_prompt(entry, defaults, f"prompt {n}") for n, entry in enumerate(entries, start=1))
    except ModelError as error:
        raise VolumeFileError(f"{path}: {error}") from error


def _prompt(entry: Any, defaults: dict[str, Any], where: str) -> Prompt:
    stored: StoredPrompt = from_json(StoredPrompt, {**defaults, **entry} if isinstance(entry, dict) else entry, where)
    try:
        return stored.prompt()
    except InvalidInputError as error:
        raise ModelError(f"{where}: {error}") from error
