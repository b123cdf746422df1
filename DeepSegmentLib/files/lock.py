"""One writer at a time for a folder, also between processes."""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = ".deepsegment.lock"
"""Stays in the folder, empty; the operating system holds the lock and frees it when the process ends, however."""

_LOOK_EVERY_S = 0.02


@contextmanager
def exclusive(folder: Path, name: str = LOCK_FILE, *, wait_s: float = 0.0) -> Iterator[None]:
    """Be the only one who writes to a folder, or be refused.

    Args:
        folder: Which.
        name: Of the lock; work that is shared has one for each part.
        wait_s: How long to wait for another writer; 0 to be refused at once.

    Raises:
        VolumeFileError: Another process or thread is writing there, the folder is write-protected, or the lock file is
            a link or no plain file.
    """
    path = folder / name
    handle = _open(path)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _no_lock(path)
        _lock(handle, folder, time.monotonic() + wait_s)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    """Open the lock file, or make it; a link would make a file elsewhere, a pipe would wait."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if path.is_symlink():
        raise _no_lock(path)
    try:
        return os.open(path, flags, 0o666)
    except OSError as error:
        raise VolumeFileError(
            f"{path.parent} cannot be written: {error.strerror or error}; check its rights"
        ) from error


def _no_lock(path: Path) -> VolumeFileError:
    return VolumeFileError(f"{path} is a link or no plain file, a lock is one; remove it")


def _lock(handle: int, folder: Path, latest: float) -> None:
    while True:
        try:
            return _lock_now(handle)
        except OSError as error:
            if time.monotonic() >= latest:
                raise VolumeFileError(f"somebody else is writing to {folder}; try again when they are done") from error
            time.sleep(_LOOK_EVERY_S)


def _lock_now(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
