"""Volumes on disk: NIfTI, NRRD and MetaImage through SimpleITK, whose LPS becomes RAS here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.imaging.memory import available_memory_bytes

from .atomic import atomic_path
from .nifti import check_nifti

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""What can be read, by the end of the lower-case name."""

_WRITABLE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
# Deflate makes data at most about 1,030 times smaller (zlib's documentation): a header that claims more voxels than
# that lies.
_LARGEST_RATIO = 1100


def volume_stem(path: Path) -> str:
    """The file name without its suffix, `.nii.gz` and `.seg.nrrd` as one.

    Example:
        >>> from pathlib import Path
        >>> volume_stem(Path("scan.2.nii.gz")), volume_stem(Path("scan.seg.nrrd"))
        ('scan.2', 'scan')
    """
    for suffix in (".seg.nrrd", ".nii.gz", *VOLUME_SUFFIXES):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def read_volume(path: Path) -> Volume:
    """Read one volume.

    Several values a voxel become channels. A fourth dimension of one frame is dropped.

    Raises:
        VolumeFileError: The file is missing, not a volume, damaged, 2D, of several frames, or holds NaN or infinity.
    """
    reader = open_image(path)
    size = reader.GetSize()
    if len(size) == 4 and size[3] > 1:
        raise VolumeFileError(f"{path} holds {size[3]} frames; split it into volumes, or read it frame by frame")
    return _frame(reader, path, 0)


def read_frames(path: Path) -> Iterator[Volume]:
    """Read a 4D file frame by frame; a 3D file is one frame.

    Raises:
        VolumeFileError: See `read_volume`.
    """
    reader = open_image(path)
    size = reader.GetSize()
    for n in range(size[3] if len(size) == 4 else 1):
        yield _frame(reader, path, n)


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume; its channels become values of one voxel.

    Raises:
        VolumeFileError: The suffix is unknown, or the file cannot be written.
    """
    if not path.name.lower().endswith(_WRITABLE_SUFFIXES):
        raise VolumeFileError(f"{path}: unknown suffix; use one of {', '.join(_WRITABLE_SUFFIXES)}")
    image = sitk.GetImageFromArray(_itk_voxels(volume), isVector=volume.channels > 1)
    write_image(image, volume.geometry, path)


def write_image(image: sitk.Image, geometry: Geometry, path: Path) -> None:
    """Write a SimpleITK image at a place.

    Raises:
        VolumeFileError: The file cannot be written.
    """
    spacing, origin, direction = geometry.to_itk()
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    with atomic_path(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)


def _itk_voxels(volume: Volume) -> np.ndarray:
    voxels = volume.voxels
    if voxels.dtype == np.float16:
        voxels = voxels.astype(np.float32)  # ITK has no half floats
    array = voxels[0] if volume.channels == 1 else np.moveaxis(voxels, 0, -1)
    return np.ascontiguousarray(array)


def open_image(path: Path) -> sitk.ImageFileReader:
    """A reader that has read the header, and found it sound; the voxels are not in memory yet.

    Raises:
        VolumeFileError: The file is missing, not a volume, 2D or above 4D, or claims an impossible size or spacing.
    """
    _check_path(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise VolumeFileError(f"{path} is not a volume that can be read: {_itk_reason(error)}") from error
    _check_header(reader, path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        check_nifti(path)
    return reader


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise VolumeFileError(f"{path} is a folder; name a file")
    if not path.is_file():
        raise VolumeFileError(f"{path} does not exist; check the name")
    if not path.name.lower().endswith(VOLUME_SUFFIXES):
        raise VolumeFileError(f"{path}: unknown suffix; known: {', '.join(VOLUME_SUFFIXES)}, or a DICOM folder")
    if path.stat().st_size == 0:
        raise VolumeFileError(f"{path} is empty (0 bytes); copy it again")
    if path.suffix.lower() == ".gz" and path.with_suffix("").exists():
        # ITK's NIfTI reader takes the header of x.nii.gz, but the voxels of an x.nii beside it.
        raise VolumeFileError(f"{path} cannot be told from {path.with_suffix('').name} beside it; rename one of them")


def _check_header(reader: sitk.ImageFileReader, path: Path) -> None:
    size, spacing = reader.GetSize(), reader.GetSpacing()
    if len(size) not in (3, 4):
        raise VolumeFileError(f"{path} is {len(size)}D ({'x'.join(map(str, size))}); a volume has three axes")
    if min(size) < 1:
        raise VolumeFileError(f"{path} has no voxels: its size is {'x'.join(map(str, size))}")
    if not all(math.isfinite(step) and step > 0 for step in spacing[:3]):
        raise VolumeFileError(f"{path} has the spacing {spacing[:3]} mm; it must be above 0, mend the header")
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()):
        raise VolumeFileError(f"{path} holds complex numbers; save magnitude or phase instead")
    _check_size(reader, path)


def _check_size(reader: sitk.ImageFileReader, path: Path) -> None:
    needed = math.prod(reader.GetSize()[:3]) * reader.GetNumberOfComponents() * _bytes_of(reader)
    stored = _data_bytes(path)
    if stored is not None and needed > _LARGEST_RATIO * stored:
        raise VolumeFileError(
            f"{path} claims {'x'.join(map(str, reader.GetSize()))} voxels ({needed} bytes), but holds only {stored} "
            "bytes; its header is damaged"
        )
    available = available_memory_bytes()
    if available is not None and needed > available:
        raise VolumeFileError(
            f"{path} needs {needed >> 20} MiB of memory, {available >> 20} MiB are free; crop it or close programs"
        )


def _data_bytes(path: Path) -> int | None:
    """Size of the file that holds the voxels; None where the header names another one."""
    return None if path.suffix.lower() in (".nhdr", ".mhd") else path.stat().st_size


_BYTES = {"8-bit": 1, "16-bit": 2, "32-bit": 4, "64-bit": 8}


def _bytes_of(reader: sitk.ImageFileReader) -> int:
    name = sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())
    return next((size for word, size in _BYTES.items() if word in name), 1)


def _frame(reader: sitk.ImageFileReader, path: Path, n: int) -> Volume:
    size = reader.GetSize()
    if len(size) == 4:
        reader.SetExtractSize((*size[:3], 0))
        reader.SetExtractIndex((0, 0, 0, n))
    volume = volume_from_image(execute(reader, path), name=volume_stem(path))
    check_finite(volume, path)
    return volume


def execute(reader: sitk.ImageFileReader, path: Path) -> sitk.Image:
    """Read the voxels of an opened file.

    Raises:
        VolumeFileError: The file is damaged or cut off.
    """
    try:
        image: sitk.Image = reader.Execute()
    except (RuntimeError, MemoryError) as error:
        raise VolumeFileError(f"{path} is damaged or cut off: {_itk_reason(error)}; copy it again") from error
    return image


def volume_from_image(image: sitk.Image, *, name: str) -> Volume:
    """A SimpleITK image of three dimensions as a volume.

    Raises:
        VolumeFileError: Its directions are not three independent axes.
    """
    array = sitk.GetArrayFromImage(image)
    voxels = np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]
    try:
        geometry = Geometry.from_itk(
            voxels.shape[1:], spacing=image.GetSpacing(), origin=image.GetOrigin(), direction=image.GetDirection()
        )
    except InvalidInputError as error:
        raise VolumeFileError(f"{name}: the header gives no place in space: {error}") from error
    return Volume(np.ascontiguousarray(voxels), geometry, name)


def check_finite(volume: Volume, path: Path) -> None:
    """Refuse NaN and infinity.

    Raises:
        VolumeFileError: With how many there are, and where the first is.
    """
    if volume.voxels.dtype.kind != "f":
        return
    wrong = ~np.isfinite(volume.voxels)
    if wrong.any():
        first = np.argwhere(wrong)[0][1:].tolist()
        raise VolumeFileError(
            f"{path} holds {int(wrong.sum())} NaN or infinite voxels, the first at index (k, j, i) = {tuple(first)}; "
            "replace them first"
        )


def _itk_reason(error: BaseException) -> str:
    """The last sentence of SimpleITK's error, without the name of its source file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return last.split("): ", 1)[-1].removeprefix("sitk::ERROR: ").removeprefix("ITK ERROR: ")
