"""Open what a user or a file names: plain files only, no more bytes than asked for, inside the folder they belong to.

A name can stand for a pipe that never answers, a device without end, or a link that leads elsewhere; none of them is
read here.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FULL_DISK = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What the system says where there is no room left: on the disk, for one file, for the user."""

_DEEPEST_JSON = 100
# Escapes of JSON: two halves of a character, one half of one, any other.
_ESCAPE = re.compile(r"\\(?:(u[dD][89abAB]..\\u[dD][c-fC-F]..)|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def open_file(path: Path) -> IO[bytes]:
    """Open a plain file for reading; nothing waits, whatever the name stands for.

    Raises:
        VolumeFileError: The path is missing, a folder, a pipe, a socket or a device, or not readable.
    """
    # A pipe blocks whoever opens it until there is a writer, unless told otherwise (open(2)).
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
    try:
        if is_folder(path):  # Windows cannot open folders, and says that rights are missing
            raise VolumeFileError(f"{path} is a folder; name a file in it")
        handle = os.open(path, flags)
    except FileNotFoundError as error:
        raise VolumeFileError(f"{path} does not exist; check the name and the folder") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise VolumeFileError(f"{path} cannot be read: {reason(error)}; check its rights") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise VolumeFileError(f"{path} is no plain file but a pipe, socket or device; name a file")
    return io.BufferedReader(_NamedFile(handle, path))


def is_folder(path: Path) -> bool:
    """Whether a name is that of a folder; names that cannot be asked about are none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


class _NamedFile(io.FileIO):
    """A file whose failing disk or network drive is told with its name."""

    def __init__(self, handle: int, path: Path) -> None:
        super().__init__(handle, "rb")
        self._path = path

    def readinto(self, buffer: Any) -> int | None:
        with _told(self._path):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _told(self._path):
            return super().readall()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VolumeFileError(f"{path} cannot be read: {reason(error)}; copy it again") from error


def read_bytes(path: Path, *, largest: int) -> bytes:
    """The whole content of a file that may not be large.

    Args:
        path: A plain file.
        largest: Bytes; files above are refused unread.

    Raises:
        VolumeFileError: See `open_file`, or the file is larger.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise VolumeFileError(f"{path} has {size} bytes, more than the {largest} that are read of such a file")
        return file.read(largest + 1)[:largest]


def read_json(path: Path, *, largest: int, nan: bool = False) -> Any:
    """The document of a JSON file: UTF-8, each key once in its object, nested no deeper than 100.

    Args:
        path: The file.
        largest: See `read_bytes`.
        nan: Whether it may hold NaN and infinite numbers, which Python and NumPy write and JSON does not know.

    Raises:
        VolumeFileError: See `read_bytes`, or it is not such a document.
    """
    try:
        return parse_json(read_bytes(path, largest=largest), nan=nan)
    except ValueError as error:
        raise VolumeFileError(f"{path} is no JSON that can be read: {error}; mend it") from error


def parse_json(content: bytes | str, *, nan: bool = False) -> Any:
    """The document of a JSON text: UTF-8, each key once in its object, NaN only with `nan`, nested no deeper than 100.

    A mark of the byte order, which editors of Windows leave, is passed over. Halves of characters, which JSON can hold
    and nothing can show, become replacement characters.

    Raises:
        ValueError: It is not such a document; the message tells why.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        constant = float if nan else _no_number
        document = json.loads(_ESCAPE.sub(_whole, text), object_pairs_hook=_distinct_keys, parse_constant=constant)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {_DEEPEST_JSON}") from error
    _check_depth(document)
    return document


def inside(folder: Path, name: str) -> Path:
    """A file that another file names, in the folder of that file or below it.

    Args:
        folder: Where the file lies that holds the name.
        name: Relative, with slashes or backslashes between its parts.

    Raises:
        VolumeFileError: The name is absolute, or leads out of the folder by `..` or by a link, or
            nowhere by links in a circle.
    """
    parts = Path(name.replace("\\", "/"))
    if not parts.parts or "\0" in name or ":" in name or parts.is_absolute() or ".." in parts.parts:
        raise VolumeFileError(f"{name!r} leads out of the folder {folder}; data must lie beside the file that names it")
    path = folder / parts
    if not _leads_inside(folder, path):
        raise VolumeFileError(
            f"{path} is a link out of the folder {folder}, or in a circle; copy the data beside the file that names it"
        )
    return path


def _leads_inside(folder: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return False


def reason(error: Exception) -> str:
    """What the system says is wrong, without its number and file name."""
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape[2] else escape[0]


def _distinct_keys(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return entries


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(_DEEPEST_JSON + 1):
        level = [entry for value in level for entry in _entries(value)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {_DEEPEST_JSON}")


def _entries(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
