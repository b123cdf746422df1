"""Bytes of packed files, unpacked in small parts: checksums are checked, and nothing grows beyond what is asked for.

References:
    RFC 1950 (zlib), 1952 (gzip: members one after the other); python-zlib-ng, whose functions are those of `zlib`.
"""

from __future__ import annotations

import bz2
import zlib
from typing import IO, TYPE_CHECKING, Any, Protocol

from DeepSegmentLib.data.progress import check_stop

if TYPE_CHECKING:
    from collections.abc import Callable

_inflate: Callable[[int], Any] = zlib.decompressobj
_DAMAGED: tuple[type[Exception], ...] = (zlib.error, OSError, EOFError)
try:  # half as fast again, and three times as fast on labels; ITK has it too
    from zlib_ng import zlib_ng

    _inflate = zlib_ng.decompressobj
    _DAMAGED = (*_DAMAGED, zlib_ng.error)  # type: ignore[arg-type] # its stub takes the class for an instance
except ModuleNotFoundError:  # 3D Slicer before its packages are installed
    pass

_PLAIN = 1 << 24
_PACKED = 1 << 18
_UNPACKED = 1 << 20
_MOST_IDLE = 1 << 21  # packed bytes that give nothing: names, comments and empty members


class DamagedError(Exception):
    """Packed bytes that cannot be unpacked, or are cut off."""


class ByteSource(Protocol):
    """Where the bytes of voxels come from."""

    def readinto(self, view: memoryview) -> int:
        """Fill as much of a buffer as there is."""

    def finish(self) -> None:
        """Check what comes behind the last byte that was read."""


class PlainBytes:
    """Bytes as they are.

    Args:
        file: At its first byte; not closed here.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readinto(self, view: memoryview) -> int:
        """Fill as much of a buffer as there is."""
        done = 0
        while done < len(view):
            check_stop()
            count = self._file.readinto(view[done : done + _PLAIN])  # type: ignore[attr-defined] # all files have it
            if not count:
                break
            done += count
        return done

    def finish(self) -> None:
        """Nothing: what follows has no checksum."""


class UnpackedBytes:
    """The bytes of gzip or bzip2 members, or of one zlib stream.

    Args:
        file: At the first packed byte; not closed here.
        packing: `gzip`, `bzip2`, or `zlib`, which may be gzip too and of which nothing may be left.
        packed_bytes: Length of the packed bytes, where it is known.
        spare: Unpacked bytes that may be left at most.
    """

    def __init__(self, file: IO[bytes], packing: str, packed_bytes: int | None = None, spare: int = 0) -> None:
        self._file = file
        self._packing = packing
        self._left = packed_bytes
        self._most_spare = spare
        self._member = self._new_member()
        self._rest = b""
        self._idle = 0

    def readinto(self, view: memoryview) -> int:
        """Fill as much of a buffer as there is.

        Raises:
            DamagedError: The bytes cannot be unpacked, or a checksum is wrong.
        """
        done = 0
        while done < len(view):
            check_stop()
            part = self._next(min(_UNPACKED, len(view) - done))
            if not part:
                break
            view[done : done + len(part)] = part
            done += len(part)
        return done

    def finish(self) -> None:
        """Unpack what is left, which may be little, so that the checksums are checked.

        Raises:
            DamagedError: A checksum is wrong, or there is more than a little.
        """
        spare = 0
        while part := self._next(_PACKED):
            spare += len(part)
            if spare > self._most_spare or self._packing == "zlib":
                raise DamagedError("more bytes follow than its voxels need")
        if self._packing == "zlib" and (self._rest or self._left or self._file.read(1)):
            raise DamagedError("more bytes follow than its voxels need")

    def _next(self, most: int) -> bytes:
        """Some bytes, at most so many; none at the end."""
        try:
            while not self._member.eof or self._starts_again():
                wanted = self._member.needs_input
                packed = self._read() if wanted else b""
                part = self._member.decompress(packed, most)
                if part:
                    self._idle = 0
                    return bytes(part)
                self._check_progress(packed, ended=wanted and not packed)
        except _DAMAGED as error:
            raise DamagedError("it cannot be unpacked") from error
        return b""

    def _check_progress(self, packed: bytes, *, ended: bool) -> None:
        if ended and not self._member.eof:
            raise EOFError
        self._idle += len(packed)
        if self._idle > _MOST_IDLE:
            raise DamagedError(f"{_MOST_IDLE} packed bytes hold nothing")

    def _new_member(self) -> Any:
        return bz2.BZ2Decompressor() if self._packing == "bzip2" else _Inflater(31 if self._packing == "gzip" else 47)

    def _starts_again(self) -> bool:
        """Whether another member follows; zeros may stand before it and at the end."""
        if self._packing == "zlib":
            self._rest = self._rest or self._member.unused_data
            return False
        rest = self._member.unused_data or self._read()
        while rest and not rest.strip(b"\0"):
            self._check_progress(rest, ended=False)
            rest = self._read()
        if rest:
            self._rest = rest.lstrip(b"\0")
            self._member = self._new_member()
        return bool(rest)

    def _read(self) -> bytes:
        rest, self._rest = self._rest, b""
        if rest:
            return rest
        most = _PACKED if self._left is None else min(_PACKED, self._left)
        packed = self._file.read(most)
        if self._left is not None:
            self._left -= len(packed)
        return packed


class _Inflater:
    """An inflater with the manners of `bz2.BZ2Decompressor`."""

    def __init__(self, window: int) -> None:
        self._stream = _inflate(window)

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    def decompress(self, packed: bytes, most: int) -> bytes:
        return bytes(self._stream.decompress(packed or self._stream.unconsumed_tail, most))
