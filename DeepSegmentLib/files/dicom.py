"""DICOM series folders as volumes, through SimpleITK and GDCM.

The place of a slice is its Image Position (Patient), never its thickness or number.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import VolumeFileError

from .volumes import check_finite

_POSITION, _ORIENTATION = "0020|0032", "0020|0037"
_DESCRIPTION, _MODALITY, _SERIES = "0008|103e", "0008|0060", "0020|000e"
# Slices count as evenly spaced when no gap is off by more than this part of the usual one: scanners round positions.
_GAP_TOLERANCE = 0.02
_TILT_DEGREES = 0.5
_UNDEFINED = 0xFFFFFFFF
_END_OF_FRAGMENTS = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


@dataclass(frozen=True)
class SeriesInfo:
    """One series of a folder.

    Attributes:
        uid: Series Instance UID.
        description: Series Description.
        modality: "CT", "MR" and so on.
        slices: Number of files.
    """

    uid: str
    description: str
    modality: str
    slices: int


@dataclass(frozen=True, eq=False)
class _Slice:
    path: str
    position: np.ndarray
    axes: np.ndarray  # (2, 3): directions of rows and columns in LPS
    size: tuple[int, ...]
    spacing: tuple[float, ...]


def list_series(folder: Path) -> tuple[SeriesInfo, ...]:
    """The image series in a folder (not below it); empty where there is no DICOM.

    Raises:
        VolumeFileError: The folder does not exist, or a file is cut off.
    """
    return tuple(_info(uid, files) for uid, files in _scan(folder).items())


def _info(uid: str, files: tuple[str, ...]) -> SeriesInfo:
    tags = _header(files[0])
    return SeriesInfo(uid, _tag(tags, _DESCRIPTION), _tag(tags, _MODALITY), len(files))


def read_series(folder: Path, uid: str | None = None) -> Volume:
    """Read one series of a folder.

    Args:
        folder: Folder with the slices.
        uid: Series Instance UID; needed where there are several series.

    Raises:
        VolumeFileError: There is no series or no such series, or several and none chosen; slices are missing, doubled,
            unevenly spaced, of different sizes or directions, tilted (gantry tilt), or cannot be decoded.
    """
    found = _scan(folder)
    series = _choose(folder, tuple(_info(each, files) for each, files in found.items()), uid)
    slices = [_slice(path) for path in found[series.uid]]
    _check_alike(slices, folder)
    normal = np.cross(*slices[0].axes)
    slices.sort(key=lambda each: float(each.position @ normal))
    gap = _gap(slices, normal, folder)
    voxels = _decode(slices, folder)
    geometry = Geometry.from_itk(
        voxels.shape[1:],
        spacing=(*slices[0].spacing[:2], gap),
        origin=slices[0].position.tolist(),
        direction=np.column_stack([*slices[0].axes, normal]),
    )
    volume = Volume(voxels, geometry, series.description or folder.name)
    check_finite(volume, folder)
    return volume


def _choose(folder: Path, series: tuple[SeriesInfo, ...], uid: str | None) -> SeriesInfo:
    if not series:
        raise VolumeFileError(f"{folder} holds no DICOM image series")
    table = "\n".join(f"  {each.uid}  {each.modality}  {each.slices} slices  {each.description}" for each in series)
    chosen = [each for each in series if uid in (None, each.uid)]
    if not chosen:
        raise VolumeFileError(f"{folder} holds no series {uid}; it holds:\n{table}")
    if len(chosen) > 1:
        raise VolumeFileError(f"{folder} holds {len(series)} series; choose one by its UID:\n{table}")
    return chosen[0]


def _header(path: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise VolumeFileError(f"{path} is damaged or no DICOM image: its header cannot be read") from error
    return reader


def _tag(reader: sitk.ImageFileReader, key: str) -> str:
    return str(reader.GetMetaData(key)).strip() if reader.HasMetaDataKey(key) else ""


def _slice(path: str) -> _Slice:
    reader = _header(path)
    position, orientation = (_numbers(reader, key, path) for key in (_POSITION, _ORIENTATION))
    if len(position) != 3 or len(orientation) != 6:
        raise VolumeFileError(f"{path} does not say where it lies (Image Position or Orientation (Patient) is missing)")
    if reader.GetNumberOfComponents() != 1:
        raise VolumeFileError(f"{path} is a colour image; only grey values can be segmented")
    if reader.GetDimension() == 3 and reader.GetSize()[2] > 1:
        raise VolumeFileError(
            f"{path} is a multi-frame image of {reader.GetSize()[2]} frames; convert it to NIfTI first"
        )
    return _Slice(path, position, orientation.reshape(2, 3), reader.GetSize()[:2], reader.GetSpacing()[:2])


def _numbers(reader: sitk.ImageFileReader, key: str, path: str) -> np.ndarray:
    text = _tag(reader, key)
    try:
        return np.array([float(part) for part in text.split("\\") if part])
    except ValueError as error:
        raise VolumeFileError(f"{path} has the unreadable position {text!r}") from error


def _check_alike(slices: list[_Slice], folder: Path) -> None:
    sizes = Counter(each.size for each in slices)
    if len(sizes) > 1:
        listed = ", ".join(f"{n} of {'x'.join(map(str, size))}" for size, n in sizes.most_common())
        raise VolumeFileError(f"{folder}: slices of one series have several sizes ({listed}); remove the odd ones")
    for each in slices[1:]:
        if np.abs(each.axes - slices[0].axes).max() > 1e-3:
            raise VolumeFileError(f"{folder}: {Path(each.path).name} is turned against the other slices; remove it")
        if np.abs(np.subtract(each.spacing, slices[0].spacing)).max() > 1e-3:
            raise VolumeFileError(f"{folder}: {Path(each.path).name} has another pixel spacing than the other slices")


def _gap(slices: list[_Slice], normal: np.ndarray, folder: Path) -> float:
    """Distance of neighbouring slices, which must be the same for all, along the normal."""
    if len(slices) < 2:
        raise VolumeFileError(f"{folder} holds a single slice; a volume has at least two")
    places = np.array([each.position @ normal for each in slices])
    gaps = np.diff(places)
    usual = float(np.median(gaps))
    if gaps.min() < 1e-3:
        n = int(gaps.argmin())
        raise VolumeFileError(f"{folder}: two slices lie at {places[n]:.2f} mm; remove one, or choose a series")
    uneven = np.flatnonzero(np.abs(gaps - usual) > _GAP_TOLERANCE * usual)
    if uneven.size:
        between = "; ".join(f"{places[n]:.2f} to {places[n + 1]:.2f} mm" for n in uneven[:5])
        raise VolumeFileError(
            f"{folder}: slices are missing or unevenly spaced: usually {usual:.2f} mm apart, but not at {between}"
        )
    _check_tilt(slices, normal, folder)
    return float((places[-1] - places[0]) / (len(slices) - 1))


def _check_tilt(slices: list[_Slice], normal: np.ndarray, folder: Path) -> None:
    way = slices[-1].position - slices[0].position
    angle = float(np.degrees(np.arccos(np.clip(way @ normal / np.linalg.norm(way), -1, 1))))
    if angle > _TILT_DEGREES:
        raise VolumeFileError(
            f"{folder}: the slices are shifted against each other (gantry tilt of {angle:.1f} degrees); straighten the "
            "series first, for example in 3D Slicer (DICOM module, regularisation on) and export it as NIfTI"
        )


def _scan(folder: Path) -> dict[str, tuple[str, ...]]:
    """Files of each image series, by UID."""
    if not folder.is_dir():
        raise VolumeFileError(f"the folder {folder} does not exist; check the name")
    for path in sorted(folder.iterdir()):
        if path.is_file() and _is_dicom(path):
            _check_complete(path)
    ids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    return {uid: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in ids}


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _check_complete(path: Path) -> None:
    """Refuse a file whose Pixel Data element is longer than the file: GDCM leaves it out without a word.

    Looks for the explicit element (DICOM PS3.5 section 7.1.2); implicit ones, which scanners hardly write, pass.
    """
    content = path.read_bytes()
    found = re.search(rb"\xe0\x7f\x10\x00O[BW]\x00\x00(....)", content, re.DOTALL)
    if found is None:
        return
    length = int.from_bytes(found[1], "little")
    complete = (
        content.find(_END_OF_FRAGMENTS, found.end()) >= 0
        if length == _UNDEFINED
        else (found.end() + length <= len(content))
    )
    if not complete:
        raise VolumeFileError(f"{path} is cut off: its pixel data is not complete; copy it again")


def _decode(slices: list[_Slice], folder: Path) -> np.ndarray:
    """Voxels (1, k, j, i) with the rescale slope and intercept applied."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([each.path for each in slices])
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
    except (RuntimeError, MemoryError) as error:
        last = [line for line in str(error).splitlines() if line.strip()][-1:]
        raise VolumeFileError(f"{folder}: a slice cannot be decoded: {' '.join(last).strip()}") from error
    return np.asarray(array)[None]
