"""The volumes that files and folders hold, and reading one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError, ResourceError, VolumeFileError
from DeepSegmentLib.files.datasets.channel_files import further_channels
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.volumes import read_channels, volume_stem

from .find_inputs import Found, find_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback, Volume

OF_ONE_VOLUME = (VolumeFileError, InvalidInputError, ResourceError)
"""What may be wrong with one of several volumes; work with the others goes on all the same."""

_NO_RESULTS = ".no-results"
"""A folder that is not there: the search for inputs passes over that of results, and here there are none."""


def find_volumes(paths: Sequence[Path], on_progress: ProgressCallback = silent) -> tuple[Found, ...]:
    """The volumes that files and folders hold, each once; folders are searched with all below them.

    Their names are the paths as they were given, and below folders what was found there.

    Raises:
        VolumeFileError: A path does not exist.
    """
    found: dict[str, Found] = {}
    for path in paths:
        for each in _in_folder(path, on_progress) if is_folder(path) else [_file(path)]:
            found.setdefault(each.name, each)
    return tuple(found.values())


def _file(path: Path) -> Found:
    if not path.exists():
        raise VolumeFileError(f"{path} does not exist; check the name and the folder")
    return Found(path, str(path), volume_stem(path))


def _in_folder(folder: Path, on_progress: ProgressCallback) -> list[Found]:
    findings = find_inputs(folder, folder / _NO_RESULTS, on_progress=on_progress)
    return [
        Found(each.path, str(folder / each.name), each.stem, each.series, each.error, each.channels, each.numbered)
        for each in findings.inputs
    ]


def channel_files(found: Found, names: Sequence[str]) -> tuple[Path, ...]:
    """The files of a volume's further channels.

    Args:
        found: The volume.
        names: Of all channels.
    """
    return tuple(found.channels or further_channels(found.path, names))


def read_found(found: Found, names: Sequence[str]) -> Volume:
    """Read a volume, all channels.

    Args:
        found: Which one.
        names: Of all channels.

    Raises:
        VolumeFileError: A file cannot be read.
    """
    return read_channels(found.path, channel_files(found, names), found.series)
