"""What the command line shows: a progress bar and tables of plain text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.data import Progress

_BAR = 28


class ProgressBar:
    """One line that is rewritten on a terminal; one line a stage elsewhere.

    Usable as a progress callback. `close` ends the line.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream, self._terminal = stream, stream.isatty()
        self._stage, self._drawn_at, self._width = "", 0.0, 0

    def __call__(self, event: Progress) -> None:
        """Show an event, at most ten times a second."""
        new_stage = event.stage != self._stage
        self._stage = event.stage
        if self._terminal and (new_stage or event.fraction == 1 or time.monotonic() - self._drawn_at > 0.1):
            self._drawn_at = time.monotonic()
            self._draw(progress_line(event))
        elif new_stage and not self._terminal:
            self._stream.write(f"{event.stage} ...\n")

    def _draw(self, line: str) -> None:
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def clear(self) -> None:
        """Wipe the line, to write others in its place."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    def close(self) -> None:
        """End the line that was being rewritten."""
        if self._width:
            self._stream.write("\n")
            self._width = 0


def progress_line(event: Progress) -> str:
    """One line for an event: bar, percentage, stage, time to go, memory.

    Example:
        >>> from DeepSegmentLib.data import Progress
        >>> progress_line(Progress("predict", 0.5, 12.4, 2 << 30))
        '[##############..............]  50% predict, 12 s to go, 2.0 GB'
    """
    done = round(_BAR * event.fraction)
    text = f"[{'#' * done}{'.' * (_BAR - done)}] {event.fraction:4.0%} {event.stage}"
    if event.eta_s is not None and event.fraction < 1:
        text += f", {event.eta_s:.0f} s to go"
    return text + (f", {gigabytes(event.memory_bytes)}" if event.memory_bytes else "")


def gigabytes(size: int) -> str:
    """A size for people.

    Example:
        >>> gigabytes(1_500_000_000)
        '1.4 GB'
    """
    return f"{size / (1 << 30):.1f} GB"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, aligned at the left.

    Example:
        >>> print(table(("name", "ml"), [("Thalamus", "12.1"), ("Brain stem", "20.3")]))
        name        ml
        Thalamus    12.1
        Brain stem  20.3
    """
    lines = [tuple(map(str, row)) for row in (header, *rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
