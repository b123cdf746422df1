"""Text headers, line by line: bounded before anything is made of them, and always characters that can be shown."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Slicer's segmentations are the longest we know of: 10 lines a segment, and its terms and provenance in some of them.
_MOST_BYTES = 1 << 25
_LONGEST_LINE = 1 << 20
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(
    r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,5})?|[+-]?(nan|inf|infinity)", re.I
)


def header_lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    """The lines of a header without their ends, as long as they are asked for.

    What is no UTF-8 becomes replacement characters, and so do zero bytes.

    Raises:
        VolumeFileError: A line, or all of them, are longer than those of any header.
    """
    left = _MOST_BYTES
    while line := file.readline(min(_LONGEST_LINE, left) + 1):
        left -= len(line)
        if len(line) > _LONGEST_LINE or left < 0:
            raise VolumeFileError(
                f"{path} is not a volume that can be read: its header has more than {_LONGEST_LINE} letters in a line "
                f"or {_MOST_BYTES} in all; copy it again from its source"
            )
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "replace")
        yield text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def whole_number(text: str) -> int:
    """A whole number of at most 18 digits.

    Raises:
        ValueError: It is none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no whole number")
    return int(text)


def real_number(text: str) -> float:
    """A number; NaN and infinity count.

    Raises:
        ValueError: It is none.
    """
    if not _REAL.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no number")
    return float(text)
