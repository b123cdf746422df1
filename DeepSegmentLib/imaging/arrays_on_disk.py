"""Arrays that are too large for memory, in files that nobody has to remove."""

from __future__ import annotations

import math
import os
import tempfile
from typing import IO, TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import ResourceError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK = 1 << 20


def zeros_on_disk(folder: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array of float32 zeros in a file without a name, which is gone with the array or the process.

    Its room is taken at once: a disk that is full later would end the process without a word (SIGBUS, see mmap(2)).

    Args:
        folder: On the disk that has room.
        shape: Of the array.

    Raises:
        ResourceError: The file cannot be made, or the disk has too little room.
    """
    size = max(1, 4 * math.prod(shape))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file, size)
            return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))
    except OSError as error:
        raise ResourceError(
            f"{folder} has no room for a map of {size / 1e6:.0f} MB: {error.strerror or error}; make room"
        ) from error


def _reserve(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for begun in range(0, size, _BLOCK):
        file.write(bytes(min(_BLOCK, size - begun)))
    file.flush()
