"""NRRD and MetaImage through SimpleITK; its errors are translated here and go no further."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK

from DeepSegmentLib.data import Geometry, Index
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.files.checks import check_extent, check_file, check_stored, refused_as_file
from DeepSegmentLib.files.itk import NUMBER_TYPES, quiet

from .nifti import check_nifti

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

sitk: Any = SimpleITK  # its functions have no annotations

_READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
_COLORS = ("RGB-color", "RGBA-color", "HSV-color", "XYZ-color")
_SHEAR_TOLERANCE = 1e-4  # of the cosine between two axes; beyond it ITK's NIfTI writer would straighten them silently


@dataclass(frozen=True, eq=False)
class ItkHeader:
    """What a file holds and where.

    Attributes:
        geometry: Place of one frame.
        frames: Number of 3D frames.
        channels: Numbers per voxel.
        dtype: Type of the numbers.
        metadata: Further fields of the header, such as the key/value pairs of NRRD.
    """

    geometry: Geometry
    frames: int
    channels: int
    dtype: np.dtype[Any]
    metadata: Mapping[str, str]


def read_itk_header(path: Path) -> ItkHeader:
    """Read and check the header of an NRRD or MetaImage file; no voxel is loaded.

    Raises:
        VolumeFileError: The file is damaged, or not a volume of real numbers with a sound position.
        ResourceError: The voxels do not fit into memory.
    """
    check_file(path)
    reader = _reader(path)
    with _translated(path, "is not a volume that can be read: it is no {kind} file, or its header is damaged"):
        reader.ReadImageInformation()
    i, j, k, frames = _extent(path, reader.GetSize())
    metadata = {key: _clean(reader.GetMetaData(key)) for key in reader.GetMetaDataKeys()}
    channels, dtype = int(reader.GetNumberOfComponents()), _number_type(path, reader, metadata)
    check_extent(path, (frames, channels, k, j, i), dtype.itemsize)
    if path.suffix.lower() in (".nrrd", ".mha"):
        check_stored(path, frames * channels * k * j * i * dtype.itemsize, compressed=True)
    return ItkHeader(_geometry(path, reader, (k, j, i)), frames, channels, dtype, metadata)


def read_itk_frames(path: Path, header: ItkHeader) -> Iterator[NDArray[Any]]:
    """The frames (channel, k, j, i), one at a time.

    Raises:
        VolumeFileError: The file is damaged or incomplete.
    """
    k, j, i = header.geometry.shape
    for frame in range(header.frames):
        reader = _reader(path)
        with _translated(path, "is damaged or cut off"):
            reader.ReadImageInformation()
            if reader.GetDimension() == 4:
                reader.SetExtractIndex((0, 0, 0, frame))
                reader.SetExtractSize((i, j, k, 0))
            voxels = sitk.GetArrayFromImage(reader.Execute())
        yield np.moveaxis(voxels, -1, 0) if voxels.ndim == 4 else voxels[None]


def write_image(voxels: NDArray[Any], geometry: Geometry, path: Path) -> None:
    """Write voxels (channel, k, j, i) in the format that the suffix names; numbers keep their type.

    float16, which no format has, becomes float32.

    Raises:
        VolumeFileError: The file cannot be written, or NIfTI is asked for a sheared grid.
    """
    is_nifti = path.name.lower().endswith((".nii", ".nii.gz"))
    if is_nifti:
        _check_straight(path, geometry)
    with atomic_path(path) as fresh:
        _write(_to_image(voxels, geometry), path, fresh)
        if is_nifti:
            _check_written(path, fresh)


def _check_written(path: Path, fresh: Path) -> None:
    """ITK's NIfTI writer does not notice a full disk."""
    try:
        check_nifti(fresh)
    except VolumeFileError as error:
        raise VolumeFileError(f"{path} cannot be written in full; check the free space of its disk") from error


def _reader(path: Path) -> Any:
    if path.suffix.lower() not in _READERS:
        raise VolumeFileError(f"{path}: unknown suffix; here {', '.join(_READERS)} are read")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_READERS[path.suffix.lower()])
    reader.SetFileName(str(path))
    return reader


@contextmanager
def _translated(path: Path, what: str) -> Iterator[None]:
    try:
        with quiet():
            yield
    except (RuntimeError, UnicodeError) as error:
        suffix = path.suffix.lower()
        problem = what.format(kind="NRRD" if suffix in (".nrrd", ".nhdr") else "MetaImage")
        detached = ", or the data file that it names is missing" if suffix in (".nhdr", ".mhd") else ""
        raise VolumeFileError(f"{path} {problem}{detached}; copy it again from its source") from error


def _extent(path: Path, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Extents (i, j, k, frames)."""
    if len(size) not in (3, 4):
        raise VolumeFileError(f"{path} is {len(size)}D {size}, a volume is 3D; save its parts one by one")
    i, j, k, frames = (*size, 1)[:4]
    return i, j, k, frames


def _number_type(path: Path, reader: Any, metadata: Mapping[str, str]) -> np.dtype[Any]:
    kind = metadata.get("NRRD_kinds[pixel]", "")
    dtype = NUMBER_TYPES.get(reader.GetPixelID())
    if dtype is None or kind in _COLORS:
        what = kind or sitk.GetPixelIDValueAsString(reader.GetPixelID())
        raise VolumeFileError(f"{path} holds {what} numbers; save it as a volume of integers or real numbers")
    return dtype


def _geometry(path: Path, reader: Any, shape: Index) -> Geometry:
    axes = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3]
    with refused_as_file(path):
        return Geometry.from_itk(
            shape, spacing=reader.GetSpacing()[:3], origin=reader.GetOrigin()[:3], direction=direction
        )


def _clean(text: str) -> str:
    """Text that can be printed: what was not UTF-8 comes as lone surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _check_straight(path: Path, geometry: Geometry) -> None:
    direction = geometry.direction
    cosine = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if cosine > _SHEAR_TOLERANCE:
        angle = np.degrees(np.arcsin(min(1.0, cosine)))
        raise VolumeFileError(
            f"{path} cannot be written: axes that are {angle:.2f} degrees off the right angle have no place in NIfTI "
            "here; write .nrrd, .mha or .seg.nrrd"
        )


def _to_image(voxels: NDArray[Any], geometry: Geometry) -> Any:
    numbers = voxels.astype(np.float32) if voxels.dtype == np.float16 else voxels
    if len(numbers) == 1:
        image = sitk.GetImageFromArray(numbers[0])
    else:
        image = sitk.GetImageFromArray(np.moveaxis(numbers, 0, -1), isVector=True)
    spacing, origin, direction = geometry.to_itk()
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def _write(image: Any, path: Path, fresh: Path) -> None:
    try:
        with quiet():
            sitk.WriteImage(image, str(fresh), useCompression=True)
    except RuntimeError as error:
        raise VolumeFileError(f"{path} cannot be written; check the free space of its disk") from error
