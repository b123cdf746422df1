"""What the command line shows: progress, results as text or JSON, tables; nothing that acts on a terminal."""

from __future__ import annotations

import json
import os
import sys
from argparse import OPTIONAL, ArgumentParser
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.files.safe_names import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tqdm import tqdm

    from DeepSegmentLib.data import Progress

TABLE_SUFFIXES = (".csv", ".json")  # as in service.maps_and_statistics, which costs an import
_UNTOLD = 80  # columns, where the terminal does not say how wide it is; tqdm itself would hang there
_PADDED = 40  # letters of what is done, before the bar


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


def say_json(document: object) -> None:
    """Print a result for programs."""
    # One line, and ASCII but for the one control that JSON lets through.
    say(json.dumps(document, allow_nan=False).replace("\x7f", "\\u007f") + "\n")


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
            options, rest = self.parse_known_intermixed_args(list(self._unswallowed(_only_files(args))), namespace)
        finally:
            self._mixing = False
        if rest:  # told here, where the usage is that of the command
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return options, rest

    def _unswallowed(self, words: Sequence[str]) -> Iterator[str]:
        """The words, where options whose file may be left out take only a table, and no file behind it."""
        hungry = {flag for action in self._actions if action.nargs == OPTIONAL for flag in action.option_strings}
        for word, after in zip(words, [*words, ""][1:], strict=True):
            yield f"{word}=" if word in hungry and not after.lower().endswith(TABLE_SUFFIXES) else word

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (complain if file in (None, sys.stderr) else say)(message)


def _only_files(words: Sequence[str]) -> list[str]:
    """The words, where a file behind `--` that looks like an option is spelled in another way."""
    if "--" not in words:
        return list(words)
    end = list(words).index("--")
    return [*words[:end], *(f".{os.sep}{word}" if word.startswith("-") else word for word in words[end + 1 :])]


class ProgressBar:
    """One line that is rewritten on a terminal, by tqdm; one plain line a stage elsewhere.

    Usable as a progress callback; a stream that cannot be written stops no work. `close` wipes the line.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write to `stream`; None where it is closed, or nothing is to be shown."""
        self._stream, self._stage = stream, ""
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, event: Progress) -> None:
        """Show an event, at most ten times a second; a new stage and the end at once."""
        new_stage = event.stage != self._stage
        self._stage = event.stage
        with self._forgiving():
            if self._stream is not None and self._stream.isatty():
                self._draw(self._stream, event, at_once=new_stage or event.fraction == 1)
            elif self._stream is not None and new_stage:
                self._stream.write(_printable(f"{event.stage} ...", self._stream) + "\n")
                self._stream.flush()

    def _draw(self, stream: TextIO, event: Progress, *, at_once: bool) -> None:
        text = _printable(progress_text(event), stream)
        bar = self._bar = self._bar or _new_bar(stream, text)
        bar.ncols = _columns(stream)  # it may have been resized
        bar.set_description_str(text, refresh=False)
        if not bar.update(event.fraction - bar.n) and at_once:
            bar.refresh()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # full, gone, or closed
            self._stream = self._bar = None

    def clear(self) -> None:
        """Wipe the line, to write others in its place."""
        with self._forgiving():
            if self._bar is not None:
                self._bar.clear()

    def close(self) -> None:
        """Wipe the line, for good."""
        with self._forgiving():
            if self._bar is not None:
                self._bar.close()
        self._bar = None


def _new_bar(stream: TextIO, text: str) -> tqdm[NoReturn]:
    """A line of tqdm's that fits the terminal, also while that is resized; see `docs/decisions/0023-progress.md`."""
    from threading import RLock

    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of its own
    tqdm.set_lock(RLock())  # nor a semaphore that processes share
    # What matters most comes first: the end of a line that is too long is left out.
    form = "{percentage:3.0f}% {desc} |{bar}|"
    columns = _columns(stream)
    return tqdm(desc=text, total=1.0, file=stream, ncols=columns, leave=False, miniters=0, bar_format=form)


def _columns(stream: TextIO) -> int:
    """How long a line may be: one that filled the last column would go on in the next row."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):  # a stream that only says that it is a terminal
        columns = 0
    return max(1, (columns or _UNTOLD) - 1)


def progress_text(event: Progress) -> str:
    """Stage, time to go and memory of an event; padded, so that what follows stays where it is.

    Example:
        >>> from DeepSegmentLib.data import Progress
        >>> progress_text(Progress("predict", 0.5, 12.4, 2 << 30))
        'predict, 12 s to go, 2.0 GB             '
    """
    text = plain(event.stage)
    if event.eta_s is not None and event.fraction < 1:
        text += f", {duration(event.eta_s)} to go"
    return (text + (f", {gigabytes(event.memory_bytes)}" if event.memory_bytes else "")).ljust(_PADDED)


def duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> duration(12.4), duration(754), duration(36_610)
        ('12 s', '12 min 34 s', '10 h 10 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def gigabytes(size: int) -> str:
    """A size for people.

    Example:
        >>> gigabytes(1_500_000_000)
        '1.4 GB'
    """
    return f"{size / (1 << 30):.1f} GB"


def size_on_disk(size: int) -> str:
    """A size of files for people, in thousands as disks are sold.

    Example:
        >>> size_on_disk(812), size_on_disk(23_400_000), size_on_disk(1_530_000_000)
        ('0.0008 MB', '23 MB', '1.5 GB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1g} MB"


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
