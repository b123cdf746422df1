"""Zip files of strangers, read in bounded steps."""

from __future__ import annotations

import os
from struct import Struct
from typing import IO, Any
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812 - a class, whatever zlib calls it

# What zipfile lets through for damaged archives, found by changing bytes at random.
ZIP_ERRORS = (
    OSError, BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, IndexError, MemoryError, ZlibError,
)  # fmt: skip

LARGEST_READ = 1 << 20
"""Bytes at once. The list of an archive's files is read at once, so this bounds it: some ten thousand files."""

# The records at the end (APPNOTE 4.3.14 to 4.3.16).
_END, _LOCATOR, _END_64 = Struct("<4s4H2LH"), Struct("<4sLQL"), Struct("<4sQ2H2L4Q")
_END_SIGN, _LOCATOR_SIGN, _END_64_SIGN = b"PK\5\6", b"PK\6\7", b"PK\6\6"
_TOLD_IN_64 = 0xFFFFFFFF


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


def open_zip_of_one_reading(file: IO[bytes]) -> ZipFile:
    """A zip file in which other programs find the same members as Python.

    Its list of files stands where its end says, right before that end, and nothing follows: Python would look for the
    list right before the end, torch where the end says. Names are the same for those that know no extensions.

    Raises:
        BadZipFile: It is none.
    """
    start, count = _list_of_files(file)
    archive = ZipFile(ShortReads(file))
    infos = archive.infolist()
    if archive.start_dir != start or len(infos) != count or any(i.filename != i.orig_filename for i in infos):
        raise BadZipFile("programs may read its list of files in different ways")
    return archive


def _list_of_files(file: IO[bytes]) -> tuple[int, int]:
    """Where the list of files begins, and how many there are."""
    place = os.fstat(file.fileno()).st_size - _END.size
    sign, _, _, _, count, length, start, comment = _END.unpack(_read_at(file, place, _END.size))
    if sign != _END_SIGN or comment:
        raise BadZipFile("it has no end, or something follows it")
    locator = _read_at(file, place - _LOCATOR.size, _LOCATOR.size)
    if locator[:4] == _LOCATOR_SIGN:
        place -= _LOCATOR.size + _END_64.size
        sign, *_, count, length_64, start_64 = _END_64.unpack(_read_at(file, place, _END_64.size))
        same = start in (start_64, _TOLD_IN_64) and length in (length_64, _TOLD_IN_64)
        if sign != _END_64_SIGN or _LOCATOR.unpack(locator)[2] != place or not same:
            raise BadZipFile("its two ends differ")
        start, length = start_64, length_64
    if start + length != place:
        raise BadZipFile("its list of files is not where its end says")
    return start, count


def _read_at(file: IO[bytes], place: int, size: int) -> bytes:
    if place < 0:
        raise BadZipFile("it is too short")
    file.seek(place)
    content = file.read(size)
    file.seek(0)
    return content
