"""The bytes of a DICOM file by place: read in windows, inflated only as far as they are asked for."""

from __future__ import annotations

import os
import zlib
from typing import IO, TYPE_CHECKING, Protocol

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from pathlib import Path

_WINDOW = 1 << 14  # holds the header of a usual slice
_MOST_INFLATED = 1 << 29  # a deflated file of 500 slices of 512 x 512; a bomb of 1 MB would give 1 GB


class DamagedError(ValueError):
    """What is wrong with the content of a file; caught where its name is known."""


class ForeignError(DamagedError):
    """What is sound but of a kind that is not read, with the remedy."""


def refusal(path: Path, error: DamagedError) -> VolumeFileError:
    """What to tell of a file whose content is refused."""
    if isinstance(error, ForeignError):
        return VolumeFileError(f"{path} cannot be read: {error}")
    return VolumeFileError(f"{path} is cut off or damaged: {error}; copy it again from its source, or remove it")


class Content(Protocol):
    """Bytes by place."""

    def at(self, start: int, length: int) -> bytes:
        """The bytes there, fewer where the content ends."""

    def holds(self, end: int) -> bool:
        """Whether the content reaches to a place."""


class Stored:
    """A file as it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._start, self._window = 0, b""

    def at(self, start: int, length: int) -> bytes:
        """The bytes there, fewer where the file ends."""
        begin = start - self._start
        if begin < 0 or begin + length > len(self._window):
            self._load(start, length)
            begin = 0
        return self._window[begin : begin + length]

    def holds(self, end: int) -> bool:
        """Whether the file reaches to a place."""
        return end <= self._size

    def _load(self, start: int, length: int) -> None:
        self._file.seek(start)
        self._start, self._window = start, self._file.read(min(max(length, _WINDOW), max(self._size - start, 0)))


class Inflated:
    """A deflated part of a file; places count from the start of the file, as if the part were stored."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        file.seek(start)
        self._file, self._start = file, start
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._bytes = bytearray()

    def at(self, start: int, length: int) -> bytes:
        """The bytes there, fewer where the content ends."""
        self.holds(start + length)
        begin = start - self._start
        return bytes(self._bytes[begin : begin + length])

    def holds(self, end: int) -> bool:
        """Whether the content reaches to a place; inflates it so far.

        Raises:
            DamagedError: It is not deflated, or larger than any file of slices.
        """
        wanted = end - self._start
        if wanted > _MOST_INFLATED:
            raise DamagedError(
                f"its deflated content claims {wanted} bytes, more than the {_MOST_INFLATED} that are read"
            )
        while len(self._bytes) < wanted and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(_WINDOW)
            if not packed:
                break
            try:
                self._bytes += self._inflate.decompress(packed, max(wanted - len(self._bytes), _WINDOW))
            except zlib.error as error:
                raise DamagedError(f"its deflated content is damaged ({error})") from error
        return wanted <= len(self._bytes)
