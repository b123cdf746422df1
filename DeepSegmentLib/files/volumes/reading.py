"""Volumes on disk: NIfTI, NRRD, MetaImage, and DICOM folders as input."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.dicom import read_series
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.volume_checks import check_file, check_finite

from . import voxels as stored
from .metaimage import read_metaimage_header
from .nifti import read_nifti_header
from .nrrd import read_nrrd_header
from .writing import write_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .header import VolumeHeader

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Lower-case endings of the files that can be read."""

# A header beside its data (.nhdr, .mhd) cannot be replaced in one step.
WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Lower-case endings of the files that can be written."""


def read_volume(path: Path) -> Volume:
    """Read a 3D volume; vector images give channels, integers stay integers.

    Raises:
        VolumeFileError: The file is missing, damaged, of another kind, 2D or 4D, or holds NaN or infinity.
        ResourceError: It does not fit into memory.
    """
    header = read_header(path)
    if header.frames > 1:
        raise VolumeFileError(
            f"{path} is a sequence of {header.frames} frames, a volume has one; save the frame you need as a file"
        )
    (voxels,) = _voxels(path, header)
    return Volume(voxels, header.geometry, volume_stem(path), (*header.notes, *_notes(path, header)))


def read_frames(path: Path) -> Iterator[Volume]:
    """The frames of a 4D sequence, one at a time; a 3D volume gives one.

    Raises:
        VolumeFileError: See `read_volume`.
        ResourceError: It does not fit into memory.
    """
    header = read_header(path)
    for n, voxels in enumerate(_voxels(path, header)):
        yield Volume(voxels, header.geometry, f"{volume_stem(path)} {n}")


def read_input(path: Path, series: str | None = None) -> Volume:
    """Read a volume file, or the DICOM series of a folder.

    Args:
        path: File or folder.
        series: Which series, where the folder holds several; see `read_series`.

    Raises:
        VolumeFileError: See `read_volume` and `read_series`.
        ResourceError: It does not fit into memory.
    """
    return read_series(path, series) if is_folder(path) else read_volume(path)


def read_channels(first: Path, further: Sequence[Path], series: str | None = None) -> Volume:
    """Read a volume or DICOM series, and further channels of it from files of their own.

    Raises:
        InvalidInputError: A channel is on another grid.
        VolumeFileError: See `read_input`.
        ResourceError: It does not fit into memory.
    """
    volume = read_input(first, series)
    voxels, modalities, notes = [volume.voxels], {volume.modality}, volume.notes
    for path in further:
        channel = read_input(path)
        if not channel.geometry.is_close(volume.geometry):
            raise InvalidInputError(f"{path} is not on the grid of {first}; resample it onto that grid first")
        voxels.append(channel.voxels)
        modalities.add(channel.modality)
        notes += channel.notes
    if not further:
        return volume
    modality = volume.modality if len(modalities) == 1 else ""
    return replace(volume, voxels=np.concatenate(voxels), modality=modality, notes=notes)


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume, compressed; numbers keep their type (float16 becomes float32), channels become vectors.

    Raises:
        VolumeFileError: The suffix is unknown, or the file cannot be written.
    """
    check_suffix(path, WRITABLE_SUFFIXES)
    write_image(volume.voxels, volume.geometry, path)


def volume_stem(path: Path) -> str:
    """The file name without its suffix, `.nii.gz` and `.seg.nrrd` as one.

    Example:
        >>> from pathlib import Path
        >>> volume_stem(Path("scan.2.nii.gz")), volume_stem(Path("scan.seg.nrrd"))
        ('scan.2', 'scan')
    """
    name = path.name
    for suffix in (".seg.nrrd", *VOLUME_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


def check_suffix(path: Path, known: tuple[str, ...]) -> None:
    """Check that a file is of a known format by its name.

    Raises:
        VolumeFileError: It is not.
    """
    if not path.name.lower().endswith(known):
        hint = "; of a DICOM series, name the folder" if path.suffix.lower() in (".dcm", ".ima", "") else ""
        raise VolumeFileError(f"{path}: unknown suffix; known: {', '.join(known)}{hint}")


def read_header(path: Path) -> VolumeHeader:
    """Read and check a header; no voxel is loaded.

    Raises:
        VolumeFileError: See `read_volume`.
        ResourceError: The voxels do not fit into memory.
    """
    check_file(path)
    check_suffix(path, VOLUME_SUFFIXES)
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return read_nifti_header(path)
    return read_nrrd_header(path) if name.endswith((".nrrd", ".nhdr")) else read_metaimage_header(path)


def _notes(path: Path, header: VolumeHeader) -> Iterator[str]:
    left = stored.bytes_left(header)
    if left:
        yield f"{path.name}: {left} bytes follow the voxels; if slices are missing, its header claims too few."


def _voxels(path: Path, header: VolumeHeader) -> Iterator[NDArray[Any]]:
    for voxels in stored.read_frames(path, header):
        check_finite(path, voxels)
        yield voxels
