"""How far long work is: on the screen, or told to a function."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.command.terminal import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from DeepSegmentLib.data import ProgressCallback


@contextmanager
def shown(progress: bool | ProgressCallback | None) -> Iterator[ProgressCallback]:
    """A callback for long work.

    Args:
        progress: True for a bar on the standard error stream, in notebooks below the cell; a function that receives
            `Progress`; None or False for nothing.

    Raises:
        InvalidInputError: It is none of these.
    """
    if progress is None or progress is False:
        yield silent
    elif progress is True:
        bar = ProgressBar(_stream())
        try:
            yield bar
        finally:
            bar.close()
    elif callable(progress):
        yield progress
    else:
        raise InvalidInputError(f"progress must be True, None or a function that takes a Progress, got {progress!r}")


class _Notebook:
    """The stream of a notebook's cell: a line of it can be rewritten, although it does not say so."""

    def __init__(self, stream: TextIO) -> None:
        self.encoding, self.write, self.flush = stream.encoding, stream.write, stream.flush

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("a cell has no width")


def _stream() -> TextIO | None:
    in_notebook = type(sys.stderr).__module__.startswith("ipykernel.")
    return _Notebook(sys.stderr) if in_notebook else sys.stderr  # type: ignore[return-value]
