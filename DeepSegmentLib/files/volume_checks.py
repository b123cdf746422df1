"""What is checked of every volume that is read, whatever its format."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from DeepSegmentLib.errors import InvalidInputError, ResourceError, VolumeFileError
from DeepSegmentLib.imaging.memory import available_memory_bytes

from .opening import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_PART = 1 << 18  # numbers looked at together
_LONGEST_MESSAGE = 400  # letters; a header may hold names of a million
_MOST_VOXELS = 4096**3  # ten times the largest scans we know of (micro-CT), far below what a damaged header can claim


def check_file(path: Path) -> None:
    """Check that there is something to read.

    Raises:
        VolumeFileError: The path is missing, a folder, empty, no plain file or not readable.
    """
    with open_file(path) as file:
        if not file.read(1):
            raise VolumeFileError(f"{path} is empty (0 bytes); copy it again from its source")


def check_extent(path: Path, shape: Sequence[int], voxel_bytes: int) -> None:
    """Check a header's extent before any voxel is loaded.

    Args:
        path: For messages.
        shape: All extents, channels and frames included.
        voxel_bytes: Size of one number.

    Raises:
        VolumeFileError: There is no voxel, or more than any scan has.
        ResourceError: The voxels do not fit into memory.
    """
    count = math.prod(shape)
    if min(shape) < 1:
        raise VolumeFileError(f"{path} has no voxels: its header says {_times(shape)}; export it again")
    if count > _MOST_VOXELS:
        raise VolumeFileError(f"{path} claims {_times(shape)} voxels, more than {_MOST_VOXELS}; the header is damaged")
    available = available_memory_bytes()
    needed = count * voxel_bytes
    if available is not None and needed > available:
        raise ResourceError(
            f"{path} has {_times(shape)} voxels and needs {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB "
            "are free; close other programs, or crop or downsample the volume"
        )


def check_finite(path: Path, voxels: NDArray[Any]) -> None:
    """Check voxels (channel, k, j, i) for NaN and infinity, without a second array of their size.

    Raises:
        VolumeFileError: Some are not finite; the message says how many and where the first is.
    """
    if voxels.dtype.kind != "f" or all(np.isfinite(part).all() for part in _parts(voxels, "K")):
        return
    count, first, done = 0, -1, 0
    for part in _parts(voxels, "C"):
        wrong = ~np.isfinite(part)
        if first < 0 and wrong.any():
            first = done + int(wrong.argmax())
        count, done = count + int(wrong.sum()), done + part.size
    channel, *index = (int(n) for n in np.unravel_index(first, voxels.shape))
    raise VolumeFileError(
        f"{path} has {count} voxels that are NaN or infinite, the first ({voxels[channel, *index]}) at index (k, j, i) "
        f"= {tuple(index)} of channel {channel}; replace them by the background's value and save it again"
    )


def _parts(voxels: NDArray[Any], order: Literal["C", "K"]) -> Iterator[NDArray[Any]]:
    """All numbers in flat parts, by index or as they lie in memory; planes may be of one voxel, and very many."""
    flags: Any = ["external_loop", "buffered", "zerosize_ok"]
    return iter(np.nditer(voxels, flags, order=order, buffersize=_PART))


@contextmanager
def refused_as_file(path: Path) -> Iterator[None]:
    """Let a noun's refusal of what a file holds name the file; numbers may overflow until it refuses them."""
    try:
        with np.errstate(all="ignore"):
            yield
    except InvalidInputError as error:
        message = shortened(" ".join(str(error).split()))
        raise VolumeFileError(f"{path}: {message}; export it again from its source") from error


def shortened(message: str, longest: int = _LONGEST_MESSAGE) -> str:
    """A message without its middle, where a file filled it with a text of any length."""
    half = longest // 2
    return message if len(message) <= longest else f"{message[:half]} ... {message[-half:]}"


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(extent) for extent in shape)
