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

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MEMORY_FOLDER = Path("/dev/shm")
_LEAST_FREE = 4 << 30
_SLAB_BYTES = 16 << 20
_PREFIX = "deepsegment-"

START_FILE = "start.json"
"""In the folder: how the worker finds its owner; read once and removed."""


def make_folder() -> Path:
    """A new folder that only this user can enter; in memory if there is room for large volumes."""
    _sweep()
    roomy = _MEMORY_FOLDER.is_dir() and shutil.disk_usage(_MEMORY_FOLDER).free >= _LEAST_FREE
    root = _MEMORY_FOLDER if roomy and os.access(_MEMORY_FOLDER, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))


def write_array(folder: Path, array: NDArray[Any]) -> dict[str, Any]:
    """Write an array of numbers of any layout.

    Returns:
        What `read_array` needs, as JSON.

    Raises:
        ResourceError: There is no room for it.
    """
    path = folder / f"{uuid4().hex}.array"
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
    """Map an array; its file goes when the array does, or when the folder is removed.

    Raises:
        InvalidInputError: The description is not one of `write_array`, or the file is not as it says.
    """
    name, kind, shape = str(description["file"]), np.dtype(description["dtype"]), tuple(description["shape"])
    path = folder / name
    if Path(name).name != name or kind.kind not in "biuf" or not all(type(n) is int and n >= 0 for n in shape):
        raise InvalidInputError(f"{description} describes no array of numbers")
    if not path.is_file() or path.stat().st_size != kind.itemsize * prod(shape):
        raise InvalidInputError(f"{path} does not hold an array of shape {shape}, {kind}")
    if prod(shape) == 0:
        path.unlink()
        return np.zeros(shape, kind)
    array = np.memmap(path, dtype=kind, mode="r", shape=shape)
    with contextlib.suppress(OSError):  # Windows keeps the name of a mapped file; the folder's removal takes it
        path.unlink()
    return np.asarray(array)


def remove_folder(folder: Path) -> None:
    """Remove the folder and all that is in it, as far as the system lets."""
    shutil.rmtree(folder, ignore_errors=True)


def _slabs(array: NDArray[Any]) -> list[NDArray[Any]]:
    """The array in parts along its first axis, so that no second copy of a large one is made."""
    if array.ndim == 0 or array.nbytes <= _SLAB_BYTES:
        return [array]
    if array.shape[0] == 1:
        return _slabs(array[0])
    return np.array_split(array, min(array.shape[0], -(-array.nbytes // _SLAB_BYTES)))


def _sweep() -> None:
    """Remove folders whose owner is gone without having done so itself."""
    for root in {_MEMORY_FOLDER, Path(tempfile.gettempdir())}:
        for folder in root.glob(f"{_PREFIX}*-*") if root.is_dir() else ():
            owner = folder.name.removeprefix(_PREFIX).split("-")[0]
            if owner.isdecimal() and not is_running(int(owner)):
                remove_folder(folder)


def is_running(process_id: int) -> bool:
    """Whether there is a process of this number; True where that cannot be asked."""
    if os.name != "posix":
        return True  # os.kill(pid, 0) would end the process on Windows
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
