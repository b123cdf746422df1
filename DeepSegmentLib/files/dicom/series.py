"""DICOM series folders as volumes, through SimpleITK and GDCM.

The place of a slice is its Image Position (Patient), never its thickness or number. GDCM fills in pixels that a file
lacks and takes a missing spacing for 1 mm; neither passes here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.checks import check_extent, check_finite
from DeepSegmentLib.files.itk import NUMBER_TYPES, quiet

from .slice_files import check_slice_file, is_dicom, is_volume_class

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

sitk: Any = SimpleITK  # its functions have no annotations

# Positions may be this part of a voxel off the even, straight grid.
_ALONG, _ACROSS = 0.1, 0.25
_ROUNDING_MM = 0.101  # scanners round positions to 0.1 mm at worst, and both ends of a distance are rounded
_ONE_FRAME = ((), (1,))  # what may follow columns and rows
_SAME = 1e-3  # of directions (no unit), pixel sizes and positions (mm)
_CHARSETS = {"ISO_IR 100": "latin-1", "ISO_IR 101": "iso8859-2", "ISO_IR 144": "iso8859-5", "GB18030": "gb18030"}


@dataclass(frozen=True)
class SeriesInfo:
    """One series of a folder.

    Attributes:
        uid: Series Instance UID; empty in some anonymised files.
        description: Series Description.
        modality: "CT", "MR" and so on.
        slices: Number of files.
        size: Columns and rows of the first slice.
    """

    uid: str
    description: str
    modality: str
    slices: int
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Slice:
    """The header of a file; what is missing has length 0."""

    path: Path
    series: tuple[str, str, str]  # UID, description, modality
    size: tuple[int, ...]  # columns, rows, frames
    channels: int
    number_type: int  # SimpleITK's pixel identifier, after rescaling
    position: NDArray[np.float64]
    axes: NDArray[np.float64]  # directions of rows and columns in LPS, six numbers
    pixel_mm: NDArray[np.float64]  # between rows, between columns
    localizer: bool


def list_series(folder: Path) -> tuple[SeriesInfo, ...]:
    """The image series in a folder (not below it), in order of UID; empty where there is none.

    Files of other kinds, also of DICOM, are passed over.

    Raises:
        VolumeFileError: The folder does not exist, or a slice is damaged.
    """
    return tuple(
        SeriesInfo(*slices[0].series, len(slices), (slices[0].size[0], slices[0].size[1]))
        for _, slices in sorted(_scan(folder).items())
    )


def read_series(folder: Path, uid: str | None = None) -> Volume:
    """Read one series of a folder, rescaled to the units of its modality (Hounsfield units for CT).

    Integers stay integers where slope and intercept are; otherwise voxels are float32. Localizers in a series of other
    slices are left out.

    Args:
        folder: Folder with the slices.
        uid: Series Instance UID; needed where there are several series.

    Raises:
        VolumeFileError: There is no series or no such series, or several and none chosen; slices are missing, doubled,
            unevenly spaced, of different sizes or directions, tilted (gantry tilt), or damaged.
        ResourceError: The series does not fit into memory.
    """
    slices = _choose(folder, uid)
    geometry = _sort(slices, folder)
    voxels = _decode(slices, geometry, folder)
    return Volume(voxels, geometry, slices[0].series[1] or folder.name, slices[0].series[2])


def series_files(folder: Path, uid: str | None = None) -> tuple[Path, ...]:
    """The slices that `read_series` reads, in no order.

    Raises:
        VolumeFileError: There is no series or no such series, or several and none chosen; a slice is damaged.
    """
    return tuple(each.path for each in _choose(folder, uid))


def slice_grid(files: Sequence[Path]) -> tuple[Geometry, tuple[Path, ...]]:
    """The grid that slices make, and their files in its order: file k holds the voxels (k, j, i).

    Args:
        files: The slices of one series, in any order.

    Raises:
        VolumeFileError: One is no slice of a volume or is damaged, or they make no regular grid (see `read_series`).
    """
    slices = []
    for path in files:
        found = _read_header(path) if path.is_file() and is_dicom(path) else None
        if found is None:
            raise VolumeFileError(f"{path} is no DICOM slice of a volume; name the files of one image series")
        slices.append(found)
    if not slices:
        raise VolumeFileError("there is no DICOM slice; name the files of one image series")
    geometry = _sort(slices, files[0].parent)
    return geometry, tuple(each.path for each in slices)


def _sort(slices: list[_Slice], folder: Path) -> Geometry:
    """Bring the slices into the order of their places, and give the grid that they make."""
    _check_alike(slices, folder)
    axes = slices[0].axes.reshape(2, 3)
    normal = np.cross(*axes)
    slices.sort(key=lambda each: float(each.position @ normal))
    gap = _gap(slices, normal, folder)
    _check_straight(slices, normal, folder)
    columns, rows = slices[0].size[:2]
    between_rows, between_columns = slices[0].pixel_mm
    return Geometry.from_itk(
        (len(slices), rows, columns),
        spacing=(between_columns, between_rows, gap),
        origin=slices[0].position.tolist(),
        direction=np.column_stack([*axes, normal]),
    )


def _scan(folder: Path) -> dict[str, list[_Slice]]:
    """The slices of each series."""
    if not folder.is_dir():
        raise VolumeFileError(f"the folder {folder} does not exist; check the name")
    series: dict[str, list[_Slice]] = {}
    try:
        for path in sorted(folder.iterdir()):
            found = _read_header(path) if path.is_file() and is_dicom(path) else None
            if found is not None:
                series.setdefault(found.series[0], []).append(found)
    except OSError as error:
        raise VolumeFileError(f"{folder} cannot be read: {error}; check its rights") from error
    return series


def _choose(folder: Path, uid: str | None) -> list[_Slice]:
    series = _scan(folder)
    if not series:
        raise VolumeFileError(f"{folder} holds no DICOM image series; name the folder that holds the slices themselves")
    table = "".join(f"\n  {_line(slices)}" for _, slices in sorted(series.items()))
    if uid is None and len(series) > 1:
        raise VolumeFileError(f"{folder} holds {len(series)} series; choose one by its UID:{table}")
    chosen = next(iter(series.values())) if uid is None else series.get(uid)
    if chosen is None:
        raise VolumeFileError(f"{folder} holds no series {uid}; it holds:{table}")
    return [each for each in chosen if not each.localizer] or chosen


def _line(slices: Sequence[_Slice]) -> str:
    uid, description, modality = slices[0].series
    columns, rows = slices[0].size[:2]
    return f"{uid}  {modality}  {len(slices)} slices  {columns}x{rows}  {description}"


def _read_header(path: Path) -> _Slice | None:
    """The header of a slice; None for DICOM files of other kinds."""
    reader, expected = _reader(path), is_volume_class(path)
    if expected:  # before GDCM, which ponders over half a JPEG 2000 image for half a minute
        check_slice_file(path)
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        if not expected:
            return None
        raise VolumeFileError(f"{path} is cut off or damaged: it has no image; copy it again, or remove it") from error
    found = _parse(reader, path)
    return found if expected or (len(found.position) == 3 and found.size[2:] in _ONE_FRAME) else None


def _parse(reader: Any, path: Path) -> _Slice:
    charset = _CHARSETS.get(_tag(reader, "0008|0005").split("\\")[0], "utf-8")
    return _Slice(
        path,
        series=(_tag(reader, "0020|000e"), _tag(reader, "0008|103e", charset), _tag(reader, "0008|0060")),
        size=reader.GetSize(),
        channels=reader.GetNumberOfComponents(),
        number_type=reader.GetPixelID(),
        position=_numbers(reader, "0020|0032", path),
        axes=_numbers(reader, "0020|0037", path),
        pixel_mm=_numbers(reader, "0028|0030", path),
        localizer="LOCALIZER" in _tag(reader, "0008|0008").split("\\"),
    )


def _reader(path: Path) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return reader


def _tag(reader: Any, key: str, charset: str = "latin-1") -> str:
    raw = str(reader.GetMetaData(key)) if reader.HasMetaDataKey(key) else ""
    return raw.encode("utf-8", "surrogateescape").decode(charset, "replace").strip(" \0")


def _numbers(reader: Any, key: str, path: Path) -> NDArray[np.float64]:
    text = _tag(reader, key)
    try:
        numbers = np.array([float(part) for part in text.split("\\") if part.strip()])
    except ValueError as error:
        raise VolumeFileError(f"{path} has {text!r} where numbers belong (tag {key})") from error
    if not np.isfinite(numbers).all():
        raise VolumeFileError(f"{path} has {text!r} where finite numbers belong (tag {key})")
    return numbers


def _check_alike(slices: list[_Slice], folder: Path) -> None:
    for each in slices:
        _check_slice(each)
    sizes = Counter(each.size for each in slices)
    if len(sizes) > 1:
        listed = ", ".join(f"{n} of {'x'.join(map(str, size[:2]))}" for size, n in sizes.most_common())
        raise VolumeFileError(f"{folder}: slices of one series have several sizes ({listed}); remove the odd ones")
    for each in slices[1:]:
        if np.abs(each.axes - slices[0].axes).max() > _SAME:
            raise VolumeFileError(f"{folder}: {each.path.name} is turned against the other slices; remove it")
        if np.abs(each.pixel_mm - slices[0].pixel_mm).max() > _SAME:
            raise VolumeFileError(f"{folder}: {each.path.name} has another pixel spacing than the other slices")
    if len(slices) < 2:
        raise VolumeFileError(f"{folder} holds a single slice; a volume has at least two")


def _check_slice(each: _Slice) -> None:
    """Refuse a file that is no plain slice with a place."""
    if each.channels != 1:
        raise VolumeFileError(f"{each.path} is a color image; only gray values can be segmented")
    if each.size[2:] not in _ONE_FRAME:
        raise VolumeFileError(f"{each.path} is a multi-frame image of {each.size[2]} frames; convert it to NIfTI first")
    if len(each.position) != 3 or len(each.axes) != 6:
        raise VolumeFileError(f"{each.path} does not say where it lies: Image Position or Orientation is missing")
    if len(each.pixel_mm) != 2 or min(each.pixel_mm) <= 0:
        raise VolumeFileError(
            f"{each.path} has the pixel spacing {each.pixel_mm.tolist()}; it must be two lengths above 0"
        )
    axes = each.axes.reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > _SAME:
        raise VolumeFileError(f"{each.path} has directions that are not at right angles: {each.axes.tolist()}")


def _gap(slices: list[_Slice], normal: NDArray[np.float64], folder: Path) -> float:
    """Distance of neighbouring slices along the normal, which must be the same for all."""
    places = np.array([each.position @ normal for each in slices])
    gaps = np.diff(places)
    twice = np.flatnonzero(gaps < _SAME)
    if twice.size:
        different = int((gaps >= _SAME).sum()) + 1
        raise VolumeFileError(
            f"{folder}: two slices lie at {places[twice[0]]:.2f} mm ({len(slices)} slices at {different} places); "
            "remove the doubled ones, or split a sequence into volumes"
        )
    step = float(places[-1] - places[0]) / (len(slices) - 1)
    tolerance = max(_ALONG * step, min(_ROUNDING_MM, 0.4 * step))
    if np.abs(places - places[0] - step * np.arange(len(slices))).max() > tolerance:
        usual = float(np.median(gaps))
        order = np.argsort(-np.abs(gaps - usual))[:5]
        between = "; ".join(f"{places[n]:.2f} to {places[n + 1]:.2f} mm" for n in sorted(order) if gaps[n] != usual)
        raise VolumeFileError(
            f"{folder}: slices are missing or unevenly spaced: usually {usual:.2f} mm apart, but not at {between}"
        )
    return step


def _check_straight(slices: list[_Slice], normal: NDArray[np.float64], folder: Path) -> None:
    offsets = np.array([each.position - slices[0].position for each in slices])
    along = offsets @ normal
    across = np.linalg.norm(offsets - np.outer(along, normal), axis=1)
    if across.max() > _ACROSS * slices[0].pixel_mm.min():
        angle = np.degrees(np.arctan2(across[-1], along[-1]))
        raise VolumeFileError(
            f"{folder}: the slices are shifted sideways by up to {across.max():.2f} mm (gantry tilt of {angle:.1f} "
            "degrees); straighten the series first, for example in 3D Slicer (DICOM module, regularisation on)"
        )


def _decode(slices: list[_Slice], geometry: Geometry, folder: Path) -> NDArray[Any]:
    """Voxels (1, k, j, i), each slice with its own slope and intercept."""
    kinds = [NUMBER_TYPES.get(each.number_type, np.dtype(np.float64)) for each in slices]
    dtype = np.result_type(*kinds)
    dtype = np.dtype(np.float32) if dtype == np.float64 else dtype
    check_extent(folder, geometry.shape, dtype.itemsize)
    voxels = np.empty((1, *geometry.shape), dtype)
    for k, each in enumerate(slices):
        try:
            with quiet():
                voxels[0, k] = sitk.GetArrayFromImage(_reader(each.path).Execute()).reshape(geometry.shape[1:])
        except (RuntimeError, ValueError) as error:
            raise VolumeFileError(f"{each.path} is damaged: it cannot be decoded; copy it again") from error
    check_finite(folder, voxels)
    return voxels
