"""Numbers that are written out, as text or in hexadecimal digits."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .header_text import real_number
from .unpacking import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_CHUNK = 1 << 16
_LONGEST_NUMBER = 64
_SEPARATORS = b" \t\r\n\v\f,"


class TextNumbers:
    """Numbers with white space or commas between them, as the bytes of their type.

    Args:
        file: At the first number; not closed here.
        dtype: What the numbers become; for whole numbers, what lies behind the point is dropped, as in ITK.
    """

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any]) -> None:
        self._file = file
        self._dtype = dtype
        self._words: list[bytes] = []

    def readinto(self, view: memoryview) -> int:
        """Fill as much of a buffer as there is; its length is a multiple of the type's.

        Raises:
            DamagedError: Something is no number of the type.
        """
        numbers = np.frombuffer(view, self._dtype)
        done = 0
        while done < len(numbers) and (self._words or self._read_words()):
            words, self._words = self._words[: len(numbers) - done], self._words[len(numbers) - done :]
            numbers[done : done + len(words)] = self._parse(words)
            done += len(words)
        return done * self._dtype.itemsize

    def finish(self) -> None:
        """Nothing: text has no checksum."""

    def _read_words(self) -> bool:
        """Read some more words, the last of them whole; False at the end."""
        text = self._file.read(_CHUNK)
        while len(text) >= _CHUNK and text[-1] not in _SEPARATORS:
            more = self._file.read(1)
            text += more
            if not more or len(text) > _CHUNK + _LONGEST_NUMBER:
                break
        self._words = text.translate(bytes.maketrans(b",", b" ")).split()
        return bool(self._words) or (bool(text) and self._read_words())

    def _parse(self, words: list[bytes]) -> NDArray[Any]:
        try:
            return _exact(words, self._dtype)
        except (ValueError, OverflowError) as error:
            raise DamagedError(f"one of its numbers is none of type {self._dtype.name}: {error}") from error


def _exact(words: list[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of a type; whole ones without a detour by floats, which 64 bits do not fit into."""
    if max(map(len, words)) > _LONGEST_NUMBER:
        raise ValueError(f"{max(words, key=len)[:40]!r} is no number")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is not finite is refused later
            return np.array([real_number(word.decode("ascii")) for word in words], dtype)
    whole = [int(word) if word.lstrip(b"+-").isdigit() else int(real_number(word.decode("ascii"))) for word in words]
    limits = np.iinfo(dtype)
    if min(whole) < limits.min or max(whole) > limits.max:
        raise ValueError(f"they reach from {min(whole)} to {max(whole)}")
    return np.array(whole, dtype)


class HexBytes:
    """Bytes of two hexadecimal digits each, with or without white space between them.

    Args:
        file: At the first digit; not closed here.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._digits = _digits(file)
        self._rest = b""

    def readinto(self, view: memoryview) -> int:
        """Fill as much of a buffer as there is.

        Raises:
            DamagedError: There are other characters.
        """
        done = 0
        while done < len(view):
            self._rest = self._rest if len(self._rest) > 1 else self._rest + next(self._digits, b"")
            count = min(len(self._rest) // 2, len(view) - done)
            if not count:
                break
            view[done : done + count] = self._unpack(self._rest[: 2 * count])
            self._rest = self._rest[2 * count :]
            done += count
        return done

    def finish(self) -> None:
        """Nothing: digits have no checksum."""

    def _unpack(self, digits: bytes) -> bytes:
        try:
            return bytes.fromhex(digits.decode("ascii"))
        except ValueError as error:
            raise DamagedError("it holds other characters than hexadecimal digits") from error


def _digits(file: IO[bytes]) -> Iterator[bytes]:
    while text := file.read(_CHUNK):
        yield b"".join(text.split())
