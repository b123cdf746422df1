"""What tells an input from others: a stamp that costs no reading, and checksums."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

from DeepSegmentLib.data.progress import check_stop
from DeepSegmentLib.errors import VolumeFileError

from .opening import is_folder, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DETACHED = (".mhd", ".nhdr")  # their voxels are in other files of the folder


def input_stamp(paths: Sequence[Path], series: str | None = None) -> str:
    """A short text that changes with the sizes and times of an input's files; tells neither names nor times.

    Of DICOM folders, and of headers whose voxels are beside them, all files of the folder count.

    Args:
        paths: The channels: files or DICOM folders.
        series: Which DICOM series.

    Raises:
        VolumeFileError: A path is missing or cannot be read.
    """
    try:
        states = [sorted(_states(path)) for path in paths]
    except FileNotFoundError as error:
        raise VolumeFileError(f"{error.filename} does not exist; check the name and the folder") from error
    except (OSError, ValueError) as error:
        raise VolumeFileError(f"{paths[0]} cannot be read: {error}; check its rights") from error
    return hashlib.sha256(f"{states} {series or ''}".encode(errors="surrogatepass")).hexdigest()[:16]


def file_checksums(paths: Sequence[Path]) -> tuple[str, ...]:
    """What records tell of the files that something was made from, without names; folders are left out.

    Raises:
        VolumeFileError: A file cannot be read.
    """
    return tuple(_checksum(path) for path in paths if not is_folder(path))


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            check_stop()
    return f"sha256:{digest.hexdigest()}"


def _states(path: Path) -> Iterator[tuple[int, int]]:
    """Size in bytes and time of change in nanoseconds of each file."""
    if path.is_dir():
        folder = path
    elif path.name.lower().endswith(_DETACHED):
        folder = path.parent
    else:
        state = path.stat()
        yield state.st_size, state.st_mtime_ns
        return
    for each in folder.iterdir():
        if not each.name.startswith("."):
            state = each.stat() if each.exists() else each.lstat()
            if stat.S_ISREG(state.st_mode):
                yield state.st_size, state.st_mtime_ns
