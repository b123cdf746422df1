"""Volumes on disk: NIfTI, NRRD, MetaImage, and DICOM folders as input."""

from .reading import (
    VOLUME_SUFFIXES,
    WRITABLE_SUFFIXES,
    check_suffix,
    read_channels,
    read_frames,
    read_input,
    read_volume,
    volume_stem,
    write_volume,
)

__all__ = [
    "VOLUME_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "check_suffix",
    "read_channels",
    "read_frames",
    "read_input",
    "read_volume",
    "volume_stem",
    "write_volume",
]
