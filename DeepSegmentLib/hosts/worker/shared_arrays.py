"""Arrays from one process to the other: files in a private folder, in memory where the system has such a place.

The reader maps a file and removes its name at once, so that nothing is left when a process dies later. Not
`multiprocessing.shared_memory`: before Python 3.13 it starts a tracker process and removes memory others still use.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.files.leftovers import is_running, place
from DeepSegmentLib.imaging.memory import available_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MEMORY_FOLDER = Path("/dev/shm")
_LEAST_FREE = 4 << 30
_TIMES = 4  # what a job may need beside its volume: labels and maps
_SLAB_BYTES = 16 << 20
_PREFIX = "deepsegment"
_SUFFIX = ".array"
_LONGEST_ROOT = 58  # with a folder and a socket in it, at most 104 bytes: the limit of macOS

START_FILE = "start.json"
"""In the folder: how the worker finds its owner; read once and removed."""


def make_folder(size: int = 0) -> Path:
    """A new folder that only this user can enter; in memory if there is plenty of room for arrays of `size` bytes.

    Raises:
        ResourceError: There is no place for temporary files.
    """
    sweep()
    root = _MEMORY_FOLDER if _memory_has_room(size) else _disk_folder()
    try:
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{place()}-{os.getpid()}-", dir=root))
    except OSError as error:
        raise ResourceError(f"no folder for temporary files: {error}; free some space or set TMPDIR") from error


def has_room(folder: Path, size: int) -> bool:
    """Whether the folder is as good a place for arrays of `size` bytes as a new one would be."""
    return folder.parent != _MEMORY_FOLDER or _memory_has_room(size)


def write_array(folder: Path, array: NDArray[Any]) -> dict[str, Any]:
    """Write an array of numbers of any layout.

    Returns:
        What `read_array` needs, as JSON.

    Raises:
        ResourceError: There is no room for it.
    """
    path = folder / f"{uuid4().hex}{_SUFFIX}"
    try:
        with path.open("wb") as file:
            for slab in _slabs(array):
                file.write(np.ascontiguousarray(slab).data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ResourceError(
            f"no room in {folder} for {array.nbytes / 1e9:.1f} GB of voxels ({error.strerror}); free some space"
        ) from error
    return {"file": path.name, "dtype": array.dtype.str, "shape": list(array.shape)}


def read_array(folder: Path, description: dict[str, Any]) -> NDArray[Any]:
    """Map an array, read-only; its file goes with it.

    Raises:
        InvalidInputError: The description is not one of `write_array`, or the file is not as it says.
    """
    name, kind, shape = str(description["file"]), np.dtype(description["dtype"]), tuple(description["shape"])
    path = folder / name
    if Path(name).name != name or kind.kind not in "biuf" or not all(type(n) is int and n >= 0 for n in shape):
        raise InvalidInputError(f"{description} describes no array of numbers")
    if not path.is_file() or path.stat().st_size != kind.itemsize * prod(shape):
        raise InvalidInputError(f"{path} does not hold an array of shape {shape}, {kind}")
    with open(path, "rb", opener=_open_to_delete) as file:  # `Path.open` has no opener
        array = np.memmap(file, dtype=kind, mode="r", shape=shape) if prod(shape) else np.zeros(shape, kind)
    with contextlib.suppress(OSError):  # Windows keeps the name until the last map is gone
        path.unlink()
    return np.asarray(array)


def remove_arrays(folder: Path) -> None:
    """Remove arrays that nobody is going to read."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            path.unlink()


def remove_folder(folder: Path) -> None:
    """Remove the folder and all that is in it, as far as the system lets, while others may still write to it."""
    doomed = folder.with_name(f"{folder.name}-gone")
    with contextlib.suppress(OSError):
        folder.rename(doomed)  # from here on nothing new gets into it but what was just being created
    for path in (doomed, doomed, folder):
        shutil.rmtree(path, ignore_errors=True)


def sweep() -> None:
    """Remove folders whose owner is gone without having done so itself."""
    for root in {_MEMORY_FOLDER, _disk_folder()}:
        for folder in root.glob(f"{_PREFIX}-{place()}-*") if root.is_dir() else ():
            owner = folder.name.split("-")[2]
            if owner.isdecimal() and not is_running(int(owner)):
                remove_folder(folder)


def _disk_folder() -> Path:
    """Where temporary files go on disk."""
    chosen = tempfile.gettempdir()
    return Path("/tmp") if os.name == "posix" and len(os.fsencode(chosen)) > _LONGEST_ROOT else Path(chosen)


def _memory_has_room(size: int) -> bool:
    """Whether files in memory are there, with room to spare; they count as memory in use."""
    if not _MEMORY_FOLDER.is_dir() or not os.access(_MEMORY_FOLDER, os.W_OK):
        return False
    free = shutil.disk_usage(_MEMORY_FOLDER).free
    return min(free, available_memory_bytes() or free) >= max(_LEAST_FREE, _TIMES * size)


def _open_to_delete(path: str, flags: int) -> int:
    """Open so that Windows deletes the file when its last handle, the map's included, is closed."""
    return os.open(path, flags | getattr(os, "O_TEMPORARY", 0))


def _slabs(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The array in parts along its first axes, so that no second copy of a large one is made."""
    if array.ndim == 0 or array.nbytes <= _SLAB_BYTES:
        yield array
        return
    step = _SLAB_BYTES * len(array) // array.nbytes
    if step == 0:
        for part in array:
            yield from _slabs(part)
    else:
        yield from (array[n : n + step] for n in range(0, len(array), step))
