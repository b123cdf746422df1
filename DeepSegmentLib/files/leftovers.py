"""Hidden names of files and folders that are not finished, and their removal when their writer is gone."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HIDDEN = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}(\..*)?")
_made: set[Path] = set()  # by this process


def hidden_beside(path: Path, ending: str) -> Path:
    """A new name in the folder of `path` that tells which process of which machine writes the file."""
    fresh = path.with_name(f".{place()}-{os.getpid()}-{uuid4().hex[:8]}{ending}")
    _made.add(fresh)
    return fresh


@contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` for a folder, to fill and rename; what has the name at the end is removed."""
    fresh = hidden_beside(path, "")
    try:
        yield fresh
    finally:
        _remove(fresh)
        forget(fresh)


def forget(path: Path) -> None:
    """A hidden name of this process is no more."""
    _made.discard(path)


def discard() -> None:
    """Remove what this process left half-written, before it ends in the middle of its work."""
    for path in tuple(_made):
        _remove(path)


def sweep(folder: Path) -> None:
    """Remove what writers that are gone left half-written in a folder (not below it)."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _HIDDEN.fullmatch(entry.name)
            if found and found[1] == place() and not is_running(int(found[2])):
                _remove(folder / entry.name)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a link alone."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def place() -> str:
    """Where process numbers mean what they say: machine and container, as folders may be shared between these."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - names a thing that is no file
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def is_running(process_id: int) -> bool:
    """Whether there is a process of this number, of any user."""
    if sys.platform == "win32":
        return _is_running_on_windows(process_id)
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_running_on_windows(process_id: int) -> bool:
    """By the process's handle; `os.kill(pid, 0)` would end the process there."""
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    synchronize, access_denied, timeout = 0x00100000, 5, 0x102
    handle = kernel.OpenProcess(synchronize, False, process_id)
    if not handle:
        return bool(ctypes.get_last_error() == access_denied)  # type: ignore[attr-defined, unused-ignore]
    running = kernel.WaitForSingleObject(ctypes.c_void_p(handle), 0) == timeout
    kernel.CloseHandle(ctypes.c_void_p(handle))
    return bool(running)
