"""What the command line shows: a progress bar and tables of plain text."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from argparse import OPTIONAL, ArgumentParser
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from DeepSegmentLib.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from DeepSegmentLib.data import Progress

TABLE_SUFFIXES = (".csv", ".json")  # as in service.maps_and_tables, which costs an import
_BAR = 28
_COLUMNS = 200  # where the terminal does not say how wide it is


_SHOWN = "\u200c\u200d"  # joiners, which some scripts need; they move nothing


def plain(text: str) -> str:
    r"""A text that somebody gave, in one line and without anything that acts on a terminal.

    Escape codes, other controls, line breaks, turns of the direction of writing and half characters become visible.

    Example:
        >>> plain("liver\x1b[31m\n")
        'liver\\x1b[31m\\n'
    """
    return "".join(each if _is_harmless(each) else each.encode("unicode_escape").decode() for each in text)


def _is_harmless(letter: str) -> bool:
    return letter in _SHOWN or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def say(text: str) -> None:
    """Print lines; what acts on a terminal becomes visible, see `plain`, and so do letters that the terminal lacks.

    Everything that DeepSegment prints goes through `say` and `complain`, but for progress, which does the same.
    """
    _write(text, sys.stdout)


def complain(text: str) -> None:
    """As `say`, to the standard error stream; that nobody can read it stops nothing, the exit code tells it too."""
    with suppress(OSError, ResourceError):
        _write(text, sys.stderr)


def finish() -> None:
    """See that all that was said has left.

    Raises:
        ResourceError: It cannot be printed, as when it goes to a file on a full disk.
    """
    if sys.stdout is not None:
        with _told():
            sys.stdout.flush()


def _write(text: str, stream: TextIO | None) -> None:
    if stream is not None:  # it is not closed
        with _told():
            stream.write("\n".join(_printable(line, stream) for line in text.split("\n")))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ResourceError(f"the output cannot be printed: {error.strerror or error}") from error


def _printable(line: str, stream: TextIO) -> str:
    encoding = stream.encoding or "utf-8"
    return plain(line.replace("\t", "    ")).encode(encoding, "backslashreplace").decode(encoding)


class Parser(ArgumentParser):
    """A parser whose messages are printed like everything else: they repeat what was typed.

    Files may stand anywhere among the options, also where some of them are left out.
    """

    _mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of the base class."""
        if self._mixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(list(self._unswallowed(args)), namespace)
        finally:
            self._mixing = False

    def _unswallowed(self, words: Sequence[str]) -> Iterator[str]:
        """The words, where options whose file may be left out take only a table, and no file behind it."""
        hungry = {flag for action in self._actions if action.nargs == OPTIONAL for flag in action.option_strings}
        for word, after in zip(words, [*words, ""][1:], strict=True):
            yield f"{word}=" if word in hungry and not after.lower().endswith(TABLE_SUFFIXES) else word

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (complain if file in (None, sys.stderr) else say)(message)


class ProgressBar:
    """One line that is rewritten on a terminal; one line a stage elsewhere.

    Usable as a progress callback; a stream that cannot be written stops no work. `close` ends the line.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write to `stream`; None where it is closed."""
        self._stream, self._terminal = stream, stream is not None and stream.isatty()
        self._stage, self._drawn_at, self._width = "", 0.0, 0

    def __call__(self, event: Progress) -> None:
        """Show an event, at most ten times a second."""
        new_stage = event.stage != self._stage
        self._stage = event.stage
        if self._terminal and (new_stage or event.fraction == 1 or time.monotonic() - self._drawn_at > 0.1):
            self._drawn_at = time.monotonic()
            self._draw(progress_line(event))
        elif new_stage and not self._terminal:
            self._write(f"{plain(event.stage)} ...\n")

    def _draw(self, line: str) -> None:
        line = line[: self._columns() - 1]  # one that goes on in the next row could not be rewritten
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)

    def _columns(self) -> int:
        try:
            return max(2, os.get_terminal_size(self._stream.fileno()).columns) if self._stream else _COLUMNS
        except (OSError, ValueError, AttributeError):  # a stream that only says that it is a terminal
            return _COLUMNS

    def _write(self, text: str) -> None:
        if self._stream is not None:
            encoding = self._stream.encoding or "utf-8"
            try:
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
                self._stream.flush()
            except OSError:
                self._stream = None

    def clear(self) -> None:
        """Wipe the line, to write others in its place."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def close(self) -> None:
        """End the line that was being rewritten."""
        if self._width:
            self._write("\n")
            self._width = 0


def progress_line(event: Progress) -> str:
    """One line for an event: bar, percentage, stage, time to go, memory.

    Example:
        >>> from DeepSegmentLib.data import Progress
        >>> progress_line(Progress("predict", 0.5, 12.4, 2 << 30))
        '[##############..............]  50% predict, 12 s to go, 2.0 GB'
    """
    done = round(_BAR * event.fraction)
    text = f"[{'#' * done}{'.' * (_BAR - done)}] {event.fraction:4.0%} {plain(event.stage)}"
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
    """Rows in columns, aligned at the left; each cell in one line, see `plain`.

    Example:
        >>> print(table(("name", "ml"), [("Thalamus", "12.1"), ("Brain stem", "20.3")]))
        name        ml
        Thalamus    12.1
        Brain stem  20.3
    """
    lines = [tuple(plain(str(cell)) for cell in row) for row in (header, *rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
