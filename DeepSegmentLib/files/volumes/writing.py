"""Volumes written by SimpleITK; its errors are translated here and go no further."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path

from .nifti import check_nifti

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry

sitk: Any = SimpleITK  # its functions have no annotations

_SHEAR_TOLERANCE = 1e-4  # of the cosine between two axes; beyond it ITK's NIfTI writer would straighten them silently


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
        _write(sitk_image(voxels, geometry), path, fresh)
        if is_nifti:
            _check_written(path, fresh)


def _check_written(path: Path, fresh: Path) -> None:
    """ITK's NIfTI writer does not notice a full disk."""
    try:
        check_nifti(fresh)
    except VolumeFileError as error:
        raise VolumeFileError(f"{path} cannot be written in full; check the free space of its disk") from error


def _check_straight(path: Path, geometry: Geometry) -> None:
    direction = geometry.direction
    cosine = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if cosine > _SHEAR_TOLERANCE:
        angle = np.degrees(np.arcsin(min(1.0, cosine)))
        raise VolumeFileError(
            f"{path} cannot be written: axes that are {angle:.2f} degrees off the right angle have no place in NIfTI "
            "here; write .nrrd, .mha or .seg.nrrd"
        )


def sitk_image(voxels: NDArray[Any], geometry: Geometry) -> Any:
    """A SimpleITK image of voxels (channel, k, j, i); several channels make vectors, float16 becomes float32."""
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
        with _quiet():
            sitk.WriteImage(image, str(fresh), useCompression=True)
    except RuntimeError as error:
        raise VolumeFileError(f"{path} cannot be written; check the free space of its disk") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ITK's warnings off the terminal."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
