"""Read a journal as far as it is good: a line that was cut off at the end is dropped, other damage is refused."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.opening import open_file

from .lines import checksum_of, read_entry, read_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from DeepSegmentLib.data import Prompt

    from .lines import Entry, Header

_HEADER_BYTES = 1 << 24
"""Longer headers are refused: sixty thousand segments take less."""

Stack = tuple[()] | tuple["Prompt | None", "Stack"]
"""The newest prompt and those before it: one more costs the same however many there are."""


@dataclass(frozen=True, eq=False)
class State:
    """Where a journal stands after some entries.

    Attributes:
        end: Bytes up to here are good.
        crc: Checksum of the last line.
        number: How many entries there were.
        done: The prompts of changes that can be undone, None for edits, see `newest_first`.
        undone: Of changes that can be done again, the one that was undone last first.
    """

    end: int
    crc: int
    number: int = 0
    done: Stack = ()
    undone: Stack = ()

    def after(self, entry: Entry, line: bytes) -> State:
        """Where it stands after one more.

        Raises:
            InvalidInputError: There is nothing to undo or to do again.
        """
        ahead = State(self.end + len(line), checksum_of(line), entry.number)
        if entry.kind in ("correction", "edit"):
            return replace(ahead, done=(entry.prompt, self.done))
        if entry.kind == "undo" and self.done:
            return replace(ahead, done=self.done[1], undone=(self.done[0], self.undone))
        if entry.kind == "redo" and self.undone:
            return replace(ahead, done=(self.undone[0], self.done), undone=self.undone[1])
        raise InvalidInputError(f"there is nothing to {entry.kind}")


def newest_first(stack: Stack) -> Iterator[Prompt | None]:
    """What was put on a stack."""
    while stack:
        prompt, stack = stack
        yield prompt


def read_state(path: Path) -> tuple[Header, State]:
    """What a journal is about, and where it stands after its last good line.

    Raises:
        VolumeFileError: It is of another format, or damaged before its end.
    """
    with open_file(path) as file:
        line = file.readline(_HEADER_BYTES)
    try:
        header = read_header(line)
    except InvalidInputError as error:
        raise VolumeFileError(f"{path} is no journal that can be read: line 1: {error}") from error
    last = deque(read_entries(path, header), maxlen=1)
    return header, last[0][1] if last else State(len(line), checksum_of(line))


def read_entries(path: Path, header: Header, end: int | None = None) -> Iterator[tuple[Entry, State]]:
    """The entries of a journal up to a byte, or as far as it goes, and where it stands after each.

    Raises:
        VolumeFileError: A line is damaged and was not merely cut off; the message tells which, and what is good.
    """
    with open_file(path) as file:
        first = file.readline(_HEADER_BYTES)
        state = State(len(first), checksum_of(first))
        while state.end != end and (line := file.readline(header.longest_line)):
            if _is_torn(line) and not file.read(1):
                return
            try:
                entry = read_entry(line, state.crc, state.number + 1, header)
                state = state.after(entry, line)
            except InvalidInputError as error:
                raise _damaged(path, state.number, error) from error
            yield entry, state


def _is_torn(line: bytes) -> bool:
    """Whether writing a line may have stopped halfway; a machine that loses its power can leave zeros behind."""
    return not line.endswith(b"\n") or b"\0" in line


def _damaged(path: Path, good: int, error: InvalidInputError) -> VolumeFileError:
    return VolumeFileError(
        f"{path} is damaged in line {good + 2}: {error}. The {good} entries before it are good: keep a copy of the "
        f"file, then delete line {good + 2} and all lines after it, to go on from them"
    )
