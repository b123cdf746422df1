"""Volumes in the forms that people have them in: a path, a SimpleITK or nibabel image, an array with its affine.

Three conventions meet here and nowhere else. SimpleITK counts voxels (i, j, k), hands arrays out as (k, j, i) and
speaks LPS; nibabel's arrays are (i, j, k), its affines speak RAS; ours are (k, j, i) and RAS. The affine of a pair
belongs to the indices of its array, whatever their order: `(image.get_fdata(), image.affine)` of nibabel is as right as
`(volume.voxels[0], volume.geometry.affine)`.

References:
    NiBabel, "Coordinate systems and affines"; SimpleITK, "Fundamental Concepts".
"""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import SimpleITK

from DeepSegmentLib.data import Geometry, Index, Volume
from DeepSegmentLib.errors import InvalidInputError, MissingPackageError, VolumeFileError
from DeepSegmentLib.files import volumes as files
from DeepSegmentLib.files.output_checks import Output, check_outputs, inputs_of
from DeepSegmentLib.files.volume_checks import check_finite
from DeepSegmentLib.files.volumes.voxels import value_type
from DeepSegmentLib.files.volumes.writing import sitk_image

from .python_words import in_python_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

sitk: Any = SimpleITK  # its functions have no annotations

_FORMS = "a path, a SimpleITK or nibabel image, a pair (array, affine) or a Volume"
_UNITS_MM = {"meter": 1000.0, "micron": 0.001}  # of nibabel's headers; others count as mm, as in files


@runtime_checkable
class NibabelImage(Protocol):
    """What an image of nibabel has."""

    @property
    def affine(self) -> Any:
        """4x4 matrix from index (i, j, k) to RAS, in the units of the header."""

    @property
    def dataobj(self) -> Any:
        """The array (i, j, k, ...), or what reads it."""


VolumeLike = Volume | str | PathLike[str] | SimpleITK.Image | NibabelImage | tuple[Any, Any] | list[Any]
"""A volume in any of its forms; a list holds one volume for each channel."""


@in_python_words
def read_volume(source: VolumeLike, *, series: str | None = None) -> Volume:
    """A volume from any of the forms it may come in.

    Numbers stay what they are; booleans become 0 and 1. Nothing is resampled or turned, only NIfTI's and nibabel's axes
    (i, j, k) become (k, j, i).

    Args:
        source: A path (str or Path) of a NIfTI, NRRD or MetaImage file or of a DICOM folder; a SimpleITK image; a
            nibabel image; a pair of an array, of three axes or of four with the channels first, and the 4x4 affine
            that brings its indices to RAS mm; a `Volume`; or a list of these, one for each channel, on one grid.
        series: Which DICOM series, where a folder holds several: its UID, number or description.

    Returns:
        The volume, its voxels as an array (channel, k, j, i). Where `source` is a pair, the axes of `voxels` are those
        of the pair's array.

    Raises:
        InvalidInputError: `source` is nothing of this, does not say where its voxels are, or holds NaN or infinity.
        VolumeFileError: A file is missing, damaged, of another kind, 2D or a sequence.
        ResourceError: It does not fit into memory.

    Example:
        >>> import numpy as np
        >>> read_volume((np.zeros((40, 30, 20), np.int16), np.diag([1, 1, 2.5, 1])))
        Volume('', 1 channel of int16, 40 x 30 x 20 voxels (k, j, i) of 1 x 1 x 2.5 mm, SAR)
    """
    if isinstance(source, list):
        return _joined([read_volume(each, series=series) for each in source])
    if isinstance(source, str | PathLike):
        if source == "":
            raise InvalidInputError("the path is empty; name a volume file or a DICOM folder")
        return files.read_input(file_path(source), series)
    if series is not None:
        raise InvalidInputError("series= chooses among the DICOM series of a folder; give the path of one")
    return _in_memory(source)


@in_python_words
def write_volume(volume: VolumeLike, path: str | PathLike[str], *, replace: bool = False) -> None:
    """Write a volume to a file, which appears complete or not at all.

    Args:
        volume: In any form, see `read_volume`.
        path: Where: .nii.gz, .nii, .nrrd or .mha. Missing folders are made.
        replace: A file that exists may be replaced.

    Raises:
        InvalidInputError: The file exists, or see `read_volume`.
        VolumeFileError: The suffix is unknown, or the file cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_volume((np.zeros((4, 3, 2), np.int16), np.eye(4)), f"{folder}/new/empty.nii.gz")
        ...     read_volume(f"{folder}/new/empty.nii.gz").voxels.shape
        (1, 4, 3, 2)
    """
    target = file_path(path)
    check_outputs([Output(target, files.WRITABLE_SUFFIXES)], inputs_of([]), replace=replace)
    files.write_volume(read_volume(volume), target)


@in_python_words
def to_sitk(volume: VolumeLike) -> Any:
    """A volume as a SimpleITK image, in the same place.

    Args:
        volume: In any form, see `read_volume`.

    Returns:
        A `SimpleITK.Image`; of vectors where there are several channels. float16 becomes float32.

    Raises:
        DeepSegmentError: See `read_volume`.

    Example:
        >>> import numpy as np
        >>> to_sitk((np.zeros((4, 3, 2), np.int16), np.diag([3, 2, 1, 1]))).GetSize()
        (2, 3, 4)
    """
    read = read_volume(volume)
    return sitk_image(read.voxels, read.geometry)


@in_python_words
def to_nibabel(volume: VolumeLike) -> Any:
    """A volume as a nibabel image, in the same place.

    Args:
        volume: In any form, see `read_volume`.

    Returns:
        A `nibabel.Nifti1Image` with axes (i, j, k), and (i, j, k, 1, channel) where there are several channels. float16
        becomes float32.

    Raises:
        MissingPackageError: nibabel is not installed.
        DeepSegmentError: See `read_volume`.

    Example:
        >>> import numpy as np
        >>> to_nibabel((np.zeros((4, 3, 2), np.int16), np.diag([3, 2, 1, 1]))).shape
        (2, 3, 4)
    """
    read = read_volume(volume)
    numbers = read.voxels.astype(np.float32) if read.voxels.dtype == np.float16 else read.voxels
    array = numbers[0].T if read.channels == 1 else numbers.T[:, :, :, None]
    affine = read.geometry.affine[:, [2, 1, 0, 3]]
    image = _nibabel().Nifti1Image(array, affine, dtype=array.dtype)
    for put in (image.set_qform, image.set_sform):
        put(affine, code=1, update_affine=False)  # float32, as headers have it, would move the image
    image.header.set_xyzt_units("mm")
    return image


def file_path(path: str | PathLike[str]) -> Path:
    """The file or folder that is meant; "~" is the home folder, as in a shell."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInputError(f"{path}: {error} write the folder out".replace(". ", "; ")) from error


def volume_files(volume: VolumeLike) -> tuple[Path, ...]:
    """The files and folders that a volume is read from, by channel; none where a channel is in memory."""
    each = volume if isinstance(volume, list) else [volume]
    paths = tuple(file_path(part) for part in each if isinstance(part, str | PathLike))
    return paths if len(paths) == len(each) else ()


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise MissingPackageError("nibabel is not installed; pip install nibabel, or take to_sitk()") from error
    return nibabel


def _in_memory(source: Any) -> Volume:
    if isinstance(source, Volume):
        return source
    if isinstance(source, SimpleITK.Image):
        return _from_sitk(source)
    if isinstance(source, NibabelImage):
        return _from_nibabel(source)
    if isinstance(source, tuple) and len(source) == 2:
        return _from_pair(*source)
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        raise InvalidInputError(
            "an array does not say where its voxels are; give the pair (array, affine), the affine a 4x4 matrix from "
            "array index to RAS mm, such as Geometry.from_spacing(array.shape, (1, 1, 1)).affine for axes (k, j, i)"
        )
    raise InvalidInputError(f"a volume is {_FORMS}, segments also a LabelMap; got {type(source).__name__}")


def _from_sitk(image: Any) -> Volume:
    if image.GetDimension() != 3:
        remedy = "SimpleITK.JoinSeries(slices)" if image.GetDimension() < 3 else "image[:, :, :, 0]"
        raise InvalidInputError(f"the SimpleITK image is {image.GetDimension()}D, a volume is 3D; give {remedy}")
    if image.GetPixelIDTypeAsString().startswith("label of"):  # asked for its array, SimpleITK ends the process
        raise InvalidInputError("the SimpleITK image is an itk::LabelMap; give SimpleITK.Cast(image, sitkUInt16)")
    array = sitk.GetArrayFromImage(image)
    voxels = (
        np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array.reshape(1, *array.shape[:3])
    )
    place = {"spacing": image.GetSpacing(), "origin": image.GetOrigin(), "direction": image.GetDirection()}
    return _volume(voxels, lambda shape: Geometry.from_itk(shape, **place), "the SimpleITK image")


def _from_nibabel(image: Any) -> Volume:
    i, j, k, *rest = (*image.shape, 1, 1, 1)[: max(3, len(image.shape))]
    if len(image.shape) < 3 or rest[:1] not in ([], [1]) or any(extent > 1 for extent in rest[2:]):
        raise InvalidInputError(
            f"the nibabel image has the shape {tuple(image.shape)}, a volume has three axes; give the frame that you "
            "mean (image.slicer[..., 0]), or a list of such images as the channels of one volume"
        )
    if image.affine is None:
        raise InvalidInputError("the nibabel image has no affine, so it does not say where its voxels are; give it one")
    affine = np.array(image.affine, dtype=np.float64)
    header: Any = getattr(image, "header", None)
    if hasattr(header, "get_xyzt_units"):
        affine[:3] *= _UNITS_MM.get(header.get_xyzt_units()[0], 1.0)
    voxels = _numbers(image.dataobj).reshape(i, j, k, -1).T
    volume = _volume(voxels, lambda shape: Geometry(shape, affine[:, [2, 1, 0, 3]]), "the nibabel image")
    return replace(volume, notes=_notes(header, volume.geometry.shape))


def _notes(header: Any, shape: Index) -> tuple[str, ...]:
    """Whether the file of an image may lie elsewhere when it is read by its path; see `files.volumes.nifti`."""
    if not hasattr(header, "get_qform") or header["sform_code"] <= 0 or header["qform_code"] <= 0:
        return ()
    try:
        qform, sform = (Geometry(shape, form()[:, [2, 1, 0, 3]]) for form in (header.get_qform, header.get_sform))
    except (_nibabel().spatialimages.HeaderDataError, ValueError, InvalidInputError):
        return ()  # there is but one place
    if qform.is_close(sform, tolerance_mm=min(sform.spacing_mm) / 2):
        return ()
    return (
        "The nibabel image holds two positions: that of its affine, the sform, was taken; "
        "given by its path, the file lies where 3D Slicer has it, which may be that of its qform.",
    )


def _numbers(data: Any) -> NDArray[Any]:
    """The numbers of a nibabel image, scaled as those of files are."""
    scale = (float(getattr(data, "slope", 1.0)), float(getattr(data, "inter", 0.0)))
    if scale == (1.0, 0.0) or not hasattr(data, "get_unscaled"):
        return np.asanyarray(data)
    stored = data.get_unscaled()
    values: NDArray[Any] = stored.astype(value_type(stored.dtype, scale))
    with np.errstate(all="ignore"):  # what is not finite afterwards is refused
        values *= scale[0]
        values += scale[1]
    return values


def _from_pair(array: Any, affine: Any) -> Volume:
    if isinstance(array, np.ma.MaskedArray):
        raise InvalidInputError("the array is masked; give array.filled(number) with what shall be where it is masked")
    try:
        numbers, matrix = np.asarray(array), np.asarray(affine, dtype=np.float64)
    except (TypeError, RuntimeError, ValueError) as error:  # such as a tensor on a GPU
        raise InvalidInputError(f"the pair is no array with its affine, a 4x4 matrix: {error}") from error
    if numbers.ndim not in (3, 4):
        raise InvalidInputError(
            f"the array has the shape {numbers.shape}; a volume has three axes, or four with the channels first"
        )
    voxels = numbers if numbers.ndim == 4 else numbers[None]
    return _volume(voxels, lambda shape: Geometry(shape, matrix), "the array")


def _volume(voxels: NDArray[Any], place: Callable[[Any], Geometry], what: str) -> Volume:
    """A volume of numbers (channel, k, j, i) that were given in memory."""
    if not voxels.size:
        raise InvalidInputError(f"{what} has no voxels, its shape is {voxels.shape}")
    if voxels.dtype.kind not in "biuf":
        raise InvalidInputError(f"{what} holds {voxels.dtype}, a volume integers or real numbers; convert it first")
    plain = voxels.astype(_plain_type(voxels.dtype), copy=False)
    try:
        check_finite(Path(what), plain)
    except VolumeFileError as error:
        raise InvalidInputError(str(error).replace(" and save it again", "")) from error
    return Volume(plain, place(plain.shape[1:]))


def _plain_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What files may hold: native byte order, no booleans, nothing wider than 64 bits."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float64) if dtype.itemsize > 8 else dtype.newbyteorder("=")


def _joined(channels: list[Volume]) -> Volume:
    if not channels:
        raise InvalidInputError(f"a list of volumes is empty; give {_FORMS}, one for each channel")
    first = channels[0]
    for n, channel in enumerate(channels[1:], start=2):
        if not channel.geometry.is_close(first.geometry):
            raise InvalidInputError(
                f"channel {n} ({channel.geometry}) is not on the grid of the first ({first.geometry}); resample it"
            )
    notes = tuple(note for channel in channels for note in channel.notes)
    modality = first.modality if len({channel.modality for channel in channels}) == 1 else ""
    return replace(first, voxels=np.concatenate([each.voxels for each in channels]), notes=notes, modality=modality)
