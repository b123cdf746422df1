"""DICOM series of a folder as volumes.

Files are parsed once, in Python; pydicom knows the character sets and decodes what is compressed. Several volumes in
one series are told apart where their headers do it.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Volume
from DeepSegmentLib.data.progress import check_stop
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.volume_checks import check_extent, check_finite, shortened

from .choose_series import SeriesInfo, choose
from .headers import is_dicom, read_header
from .pixels import number_type, read_pixels
from .slice_grid import Stack, stack_slices
from .tilt import straight_grid, straighten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from DeepSegmentLib.data import Geometry

    from .headers import Slice

_MOST_VOLUMES = 1000  # that a series may split into
_UNFIT_SHOWN = 3


def list_series(folder: Path) -> tuple[SeriesInfo, ...]:
    """The image series in a folder (not below it), in order of UID; empty where there is none.

    A series that holds several volumes has an entry for each. Files of other kinds, also of DICOM, are passed over.

    Raises:
        VolumeFileError: The folder does not exist, or a slice is damaged.
    """
    found, _ = _scan(folder)
    return tuple(info for info, _ in found)


def read_series(folder: Path, series: str | None = None) -> Volume:
    """Read one series of a folder, rescaled to the units of its modality (Hounsfield units for CT).

    Integers stay integers where slope and intercept are; otherwise voxels are float32. Localizers in a series of other
    slices are left out. Slices of a tilted gantry are interpolated onto a straight grid; the volume's notes say so.

    Args:
        folder: Folder with the slices, or with enhanced multi-frame images.
        series: Which, where the folder holds several volumes: its UID or the beginning of it, its number, or its
            description; with "#2" behind it the second volume of that series.

    Raises:
        VolumeFileError: There is no series or no such series, or several and none chosen; slices are missing, doubled,
            unevenly spaced, of different sizes or directions, or damaged.
        MissingPackageError: A decoder is not installed.
        ResourceError: The series does not fit into memory.
    """
    slices, notes = _choose(folder, series)
    stack = stack_slices(slices, folder)
    name = slices[0].image.series.description or folder.name.encode("utf-8", "replace").decode()
    return _read(stack, folder, name, (*notes, *_notes_on_others(slices, folder)))


def series_files(folder: Path, series: str | None = None) -> tuple[Path, ...]:
    """The files that `read_series` reads, in no order.

    Raises:
        VolumeFileError: There is no series or no such series, or several and none chosen; a slice is damaged.
    """
    return tuple(dict.fromkeys(each.image.path for each in _choose(folder, series)[0]))


def slice_grid(files: Sequence[Path]) -> tuple[Geometry, tuple[Path, ...]]:
    """The grid that slices make, and their files in its order: file k holds the voxels (k, j, i).

    Args:
        files: The slices of one series, in any order, each in a file of its own.

    Raises:
        VolumeFileError: One is no slice of a volume or is damaged, or they make no regular grid (see `read_series`),
            or a tilted one.
    """
    slices = []
    for path in files:
        found = read_header(path) if path.is_file() else None
        if not found or found[0].image.unfit:
            raise VolumeFileError(f"{path} is no DICOM slice of a volume; name the files of one image series")
        if len(found) > 1:
            raise VolumeFileError(f"{path} is an enhanced multi-frame image, where one file for each slice is needed")
        slices += found
    if not slices:
        raise VolumeFileError("there is no DICOM slice; name the files of one image series")
    folder = Path(files[0]).parent
    stack = stack_slices(slices, folder)
    if any(stack.lean_mm):
        raise VolumeFileError(
            f"{folder}: the slices lean by {stack.tilt_degrees:.1f} degrees (gantry tilt) and so make no regular grid, "
            "on which what was segmented could lie; write .seg.nrrd or NIfTI instead"
        )
    return stack.geometry, tuple(each.image.path for each in stack.slices)


def _read(stack: Stack, folder: Path, name: str, notes: tuple[str, ...]) -> Volume:
    geometry = straight_grid(stack) if any(stack.lean_mm) else stack.geometry
    dtype = number_type(stack.slices)
    check_extent(folder, geometry.shape, dtype.itemsize * (2 if any(stack.lean_mm) else 1))
    voxels = np.empty(stack.geometry.shape, dtype)
    read_pixels(stack.slices, voxels)
    check_finite(folder, voxels[None])
    if any(stack.lean_mm):
        voxels = straighten(voxels, stack)
    modality = stack.slices[0].image.series.modality
    return Volume(voxels[None], geometry, name, (*_notes(stack), *notes), modality)


def _notes(stack: Stack) -> Iterable[str]:
    if any(stack.lean_mm):
        yield (
            f"The slices lean by {stack.tilt_degrees:.1f} degrees (gantry tilt); they were interpolated onto a "
            "straight grid, which is larger than the slices."
        )
    if any(each.image.photometric == "MONOCHROME1" for each in stack.slices):
        yield "The slices are stored for display with inverted brightness (MONOCHROME1); their values were not changed."


def _notes_on_others(slices: Sequence[Slice], folder: Path) -> Iterable[str]:
    """What is named like the slices but has lost all that makes a DICOM file may be a slice at the end that is missing.

    Programs hide what begins with a point.
    """
    suffixes = {each.image.path.suffix.lower() for each in slices}
    with _reading(folder):
        others = [
            path.name
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in suffixes and path.name[0] != "." and path.is_file() and not is_dicom(path)
        ]
    if others:
        shown = ", ".join(others[:_UNFIT_SHOWN]) + (" and others" if len(others) > _UNFIT_SHOWN else "")
        yield f"Some files are named like the slices but are not DICOM, and were left out ({len(others)}: {shown})."


def _choose(folder: Path, series: str | None) -> tuple[list[Slice], tuple[str, ...]]:
    """The slices that are meant, and what to tell the user of others; overviews and single slices make no volume."""
    found, unfit = _scan(folder)
    if not found:
        reasons = "".join(f"\n  {each.image.path.name} is {each.image.unfit}" for each in unfit[:_UNFIT_SHOWN])
        raise VolumeFileError(
            f"{folder} holds no DICOM image series; name the folder that holds the slices themselves{reasons}"
        )
    volumes = [(info, slices) for info, slices in found if info.makes_volume]
    if series is None and len(volumes) == 1 < len(found):
        others = ", ".join(info.description or info.uid for info, _ in found if info != volumes[0][0])
        return volumes[0][1], (
            f"Further series are overviews or single slices and were left out: {shortened(others)}.",
        )
    return choose(folder, found, series), ()


def _scan(folder: Path) -> tuple[list[tuple[SeriesInfo, list[Slice]]], list[Slice]]:
    """The volumes of a folder with their slices, and images that make no volume."""
    series: dict[tuple[str, ...], list[Slice]] = {}
    unfit = []
    for each in _slices(folder):
        if each.image.unfit:
            unfit.append(each)
        else:
            series.setdefault(_series_key(each), []).append(each)
    volumes: list[tuple[SeriesInfo, list[Slice]]] = []
    for _, slices in sorted(series.items()):
        kept = [each for each in slices if not each.image.localizer] or slices
        volumes += _volumes(kept, folder)
    return volumes, unfit


def _slices(folder: Path) -> Iterable[Slice]:
    if not is_folder(folder):
        raise VolumeFileError(f"the folder {folder} does not exist; check the name")
    with _reading(folder):
        for path in sorted(folder.iterdir()):
            check_stop()
            if path.is_file():
                yield from read_header(path) or ()


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VolumeFileError(f"{folder} cannot be read: {error}; check its rights") from error


def _series_key(each: Slice) -> tuple[str, ...]:
    """What all slices of a series share; more where it has no UID."""
    series = each.image.series
    if series.uid:
        return (series.uid,)
    return ("", series.number, series.modality, series.description, series.frame_of_reference)


def _volumes(slices: list[Slice], folder: Path) -> Iterable[tuple[SeriesInfo, list[Slice]]]:
    """The volumes of a series: itself where it makes one, or else what some of its keys part it into."""
    for names in _partings(slices, folder):
        parts = _parts(slices, names)
        if all(_is_regular(part, folder) for part in parts.values()):
            for n, (values, part) in enumerate(parts.items(), start=1):
                difference = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
                yield _info(part, n, difference), part
            return
    yield _info(slices, 0, ""), slices


def _partings(slices: Sequence[Slice], folder: Path) -> Iterable[tuple[str, ...]]:
    """Names of keys that may part slices into volumes, few first; none where that is not needed."""
    if _is_regular(slices, folder):
        return
    names = dict.fromkeys(name for each in slices for name in ("stack", "orientation", "size", *each.keys))
    telling = [name for name in names if len(_parts(slices, (name,))) > 1]
    for count in (1, 2):
        for chosen in combinations(telling, count):
            parts = _parts(slices, chosen)
            if len(parts) <= _MOST_VOLUMES and all(len(part) > 1 for part in parts.values()):
                yield chosen


def _parts(slices: Sequence[Slice], names: Sequence[str]) -> Mapping[tuple[str, ...], list[Slice]]:
    parts: dict[tuple[str, ...], list[Slice]] = {}
    for each in slices:
        parts.setdefault(tuple(_value(each, name) for name in names), []).append(each)
    return {values: parts[values] for values in sorted(parts, key=_numbers_first)}


def _value(each: Slice, name: str) -> str:
    if name == "size":
        return "x".join(map(str, each.image.size))
    if name == "orientation":
        return "\\".join(f"{part + 0.0:.2f}" for part in np.round(each.axes, 2))
    return each.keys.get(name, "")


def _numbers_first(values: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(float(value), "") if _is_number(value) else (float("inf"), value) for value in values]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("-").isdecimal()


def _is_regular(slices: Sequence[Slice], folder: Path) -> bool:
    try:
        stack_slices(slices, folder)
    except VolumeFileError:
        return False
    return True


def _info(slices: Sequence[Slice], part: int, difference: str) -> SeriesInfo:
    first = slices[0].image
    series = first.series
    overview = all(each.image.localizer for each in slices)
    return SeriesInfo(
        series.uid,
        series.description,
        series.modality,
        len(slices),
        first.size,
        series.number,
        part,
        difference,
        overview,
    )
