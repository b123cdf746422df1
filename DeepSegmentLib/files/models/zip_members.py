"""Zip files of strangers, read in bounded steps."""

from __future__ import annotations

from typing import IO, Any
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812 - a class, whatever zlib calls it

# What zipfile lets through for damaged archives, found by changing bytes at random.
ZIP_ERRORS = (
    OSError, BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, IndexError, MemoryError, ZlibError,
)  # fmt: skip

LARGEST_READ = 1 << 20
"""Bytes at once. The list of an archive's files is read at once, so this bounds it: some ten thousand files."""


class ShortReads:
    """A file of which no more is read at once than `LARGEST_READ`, whatever its content asks for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes, or all that is left."""
        if size > LARGEST_READ:
            raise BadZipFile(f"it asks for {size} bytes at once, more than {LARGEST_READ}: too many files in it")
        content = self._file.read(LARGEST_READ + 1 if size < 0 else size)
        if len(content) > LARGEST_READ:
            raise BadZipFile("too much follows its list of files")
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
