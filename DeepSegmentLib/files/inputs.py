"""What a user names as input: a volume file, or a DICOM folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dicom import read_series
from .volumes import read_volume

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.data import Volume


def read_input(path: Path, series_uid: str | None = None) -> Volume:
    """Read a volume file, or a DICOM series of a folder.

    Args:
        path: File or folder.
        series_uid: Which series, where the folder holds several.

    Raises:
        VolumeFileError: See `read_volume` and `read_series`.
    """
    return read_series(path, series_uid) if path.is_dir() else read_volume(path)
