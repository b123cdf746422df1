"""What is checked of every volume that is read, whatever its format."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import InvalidInputError, ResourceError, VolumeFileError
from DeepSegmentLib.imaging.memory import available_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_VOXELS = 4096**3  # ten times the largest scans we know of (micro-CT), far below what a damaged header can claim
_MOST_INFLATION = 1032  # bytes that one byte of deflate can hold at most (zlib, "Technical Details")


def check_file(path: Path) -> None:
    """Check that there is something to read.

    Raises:
        VolumeFileError: The path is missing, a folder, empty or not readable.
    """
    if path.is_dir():
        raise VolumeFileError(f"{path} is a folder; name a file in it")
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except FileNotFoundError as error:
        raise VolumeFileError(f"{path} does not exist; check the name and the folder") from error
    except OSError as error:
        raise VolumeFileError(f"{path} cannot be read: {error.strerror or error}; check its rights") from error
    if not first:
        raise VolumeFileError(f"{path} is empty (0 bytes); copy it again from its source")


def check_extent(path: Path, shape: Sequence[int], voxel_bytes: int) -> None:
    """Check a header's extent before any voxel is loaded.

    Args:
        path: For messages.
        shape: All extents, channels and frames included.
        voxel_bytes: Size of one number.

    Raises:
        VolumeFileError: There is no voxel, or more than any scan has.
        ResourceError: The voxels do not fit into memory (twice: as file content and as array).
    """
    count = math.prod(shape)
    if min(shape) < 1:
        raise VolumeFileError(f"{path} has no voxels: its header says {_times(shape)}; export it again")
    if count > _MOST_VOXELS:
        raise VolumeFileError(f"{path} claims {_times(shape)} voxels, more than {_MOST_VOXELS}; the header is damaged")
    available = available_memory_bytes()
    needed = 2 * count * voxel_bytes
    if available is not None and needed > available:
        raise ResourceError(
            f"{path} has {_times(shape)} voxels and needs {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB "
            "are free; close other programs, or crop or downsample the volume"
        )


def check_stored(path: Path, data_bytes: int, *, compressed: bool) -> None:
    """Check that a file is long enough to hold its voxels, as far as its size tells.

    Raises:
        VolumeFileError: It is not.
    """
    size = path.stat().st_size
    if data_bytes > size * (_MOST_INFLATION if compressed else 1):
        raise VolumeFileError(
            f"{path} is cut off: {size} bytes cannot hold the {data_bytes} bytes of voxels that its header claims; "
            "copy it again from its source"
        )


def check_finite(path: Path, voxels: NDArray[Any]) -> None:
    """Check voxels (channel, k, j, i) for NaN and infinity, plane by plane.

    Raises:
        VolumeFileError: Some are not finite; the message says how many and where the first is.
    """
    if voxels.dtype.kind != "f":
        return
    count, first = 0, None
    for channel, k in np.ndindex(voxels.shape[:2]):
        wrong = ~np.isfinite(voxels[channel, k])
        if wrong.any():
            count += int(wrong.sum())
            first = first or (channel, k, *np.argwhere(wrong)[0].tolist())
    if first is not None:
        raise VolumeFileError(
            f"{path} has {count} voxels that are NaN or infinite, the first ({voxels[first]}) at index (k, j, i) = "
            f"{first[1:]} of channel {first[0]}; replace them by the background's value and save it again"
        )


@contextmanager
def refused_as_file(path: Path) -> Iterator[None]:
    """Let a noun's refusal of what a file holds name the file."""
    try:
        yield
    except InvalidInputError as error:
        raise VolumeFileError(f"{path}: {' '.join(str(error).split())}; export it again from its source") from error


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(extent) for extent in shape)
