"""One writer at a time for a folder, also between processes."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = ".deepsegment.lock"
"""Stays in the folder, empty; the operating system holds the lock and frees it when the process ends, however."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only one who writes to a folder, or be refused at once.

    Raises:
        VolumeFileError: Another process or thread is writing there, or the folder is write-protected.
    """
    path = folder / LOCK_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise VolumeFileError(f"{folder} cannot be written: {error.strerror or error}; check its rights") from error
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise VolumeFileError(f"somebody else is writing to {folder}; try again when they are done") from error
