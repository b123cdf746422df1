"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError

from .leftovers import forget, hidden_beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, beside `path` and with its suffix; renamed to it when the block ends well, else deleted.

    The file is forced to the disk before the renaming, so that a full disk shows here and not after the old file is
    gone.

    Raises:
        VolumeFileError: There is no such folder, `path` is a folder or write-protected, or writing fails.
    """
    check_target(path)
    fresh = hidden_beside(path, "".join(path.suffixes[-2:]))
    try:
        fresh.touch(exist_ok=False)
        yield fresh
        _flush(fresh)
        os.replace(fresh, path)
    except OSError as error:
        raise VolumeFileError(
            f"{path} cannot be written: {error.strerror or error}; check the free space and the rights of the folder"
        ) from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        forget(fresh)


def check_target(path: Path) -> None:
    """Check what can be known before writing.

    Raises:
        VolumeFileError: There is no such folder, or `path` is a folder or write-protected.
    """
    if path.is_dir():
        raise VolumeFileError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise VolumeFileError(f"{path} cannot be written: the folder {path.parent} does not exist; make it first")
    if path.exists() and not os.access(path, os.W_OK):
        raise VolumeFileError(f"{path} is write-protected; remove it or choose another name")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with plain newlines.

    Raises:
        VolumeFileError: The file cannot be written, or the text is no Unicode text.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise VolumeFileError(f"{path} cannot be written: {text[error.start]!r} is half a character") from error
    with atomic_path(path) as fresh:
        fresh.write_bytes(content)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
