"""Headers of MetaImage files (.mha, .mhd), read without ITK.

MetaIO, which ITK has, dies of headers that no program writes, and gives uninitialised memory where zlib fails. What the
fields mean is agreed with it.

References:
    MetaIO's metaObject.cxx, metaImage.cxx and metaUtils.cxx; itkMetaImageIO.cxx.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from typing import IO, TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import open_file
from DeepSegmentLib.files.volume_checks import check_extent, refused_as_file

from .data_files import MOST_FILES, find_files, holds_number, numbered_names
from .header import Packing, Storage, VolumeHeader
from .header_text import header_lines, real_number, whole_number
from .voxels import check_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_AXES = 10  # of MetaIO
_TYPES = {
    "MET_ASCII_CHAR": "i1",
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # on every machine
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_SEPARATOR = re.compile(r"[=:][=: \t]*")
# Of the spellings, the last of these that is there counts, wherever it stands.
_ORIGINS = ("Position", "Offset", "Origin", "ImagePosition")
_MATRICES = ("Orientation", "Rotation", "TransformMatrix")
_SPACINGS = ("ElementSize", "ElementSpacing")
_ORDERS = ("ElementByteOrderMSB", "BinaryDataByteOrderMSB")
_PACKED_SUFFIXES = (".gz", ".Z")  # tried where the file itself is not there, as MetaIO does


@dataclass(frozen=True)
class _Text:
    """A header's fields by their names, the data files of a LIST, and where it ends."""

    fields: Mapping[str, str]
    listed: Sequence[str]
    end: int


def read_metaimage_header(path: Path) -> VolumeHeader:
    """Read and check a header; no voxel is loaded.

    Raises:
        VolumeFileError: The file is damaged, or not a volume of real numbers with a sound position.
        ResourceError: The voxels do not fit into memory.
    """
    with open_file(path) as file:
        text = _read_text(path, file)
    try:
        return _read_fields(path, text)
    except ValueError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> VolumeFileError:
    return VolumeFileError(
        f"{path} is not a volume that can be read: its MetaImage header is damaged: {error}; copy it again from its "
        "source"
    )


def _read_text(path: Path, file: IO[bytes]) -> _Text:
    fields: dict[str, str] = {}
    lines = header_lines(path, file)
    for line in lines:
        name, separator, value = _split(line)
        if separator:
            fields[name] = value
        elif line.strip() and not line.startswith("#"):
            break
        if name == "ElementDataFile":
            return _Text(fields, _listed(value, lines), file.tell())
    raise VolumeFileError(
        f"{path} is not a volume that can be read: it is no MetaImage file, or its header is damaged; copy it again "
        "from its source"
    )


def _split(line: str) -> tuple[str, str, str]:
    found = _SEPARATOR.search(line)
    return (line[: found.start()].strip(), found[0], line[found.end() :].rstrip()) if found else (line, "", "")


def _listed(value: str, lines: Iterator[str]) -> list[str]:
    """The names after LIST, each in a line of its own."""
    if value.split()[:1] != ["LIST"]:
        return []
    names = [line.strip() for _, line in zip(range(MOST_FILES + 1), lines, strict=False)]
    return [name for name in names if name]


def _read_fields(path: Path, text: _Text) -> VolumeHeader:
    fields = text.fields
    axes = whole_number(fields.get("NDims", ""))
    if not 1 <= axes <= _MOST_AXES:
        raise ValueError(f"it has {axes} dimensions")
    sizes = [whole_number(word) for word in _words(fields, "DimSize", axes)]
    if axes not in (3, 4):
        raise VolumeFileError(f"{path} is {axes}D {tuple(sizes)}, a volume is 3D; save its parts one by one")
    i, j, k, *frames = sizes
    channels = whole_number(fields.get("ElementNumberOfChannels", "1"))
    dtype = _number_type(path, fields)
    check_extent(path, (frames[0] if frames else 1, channels, k, j, i), dtype.itemsize)
    spacing, origin, steps = _place(fields, axes)
    with refused_as_file(path):
        geometry = Geometry.from_itk((k, j, i), spacing=spacing, origin=origin, direction=steps)
    letters = ("t" if frames else "") + "kji" + ("c" if channels > 1 else "")
    storage = _storage(path, text, letters, sizes)
    header = VolumeHeader(geometry, frames[0] if frames else 1, channels, dtype, storage, metadata=fields)
    check_storage(path, header)
    return header


def _words(fields: Mapping[str, str], name: str, count: int) -> list[str]:
    words = fields.get(name, "").split()
    if len(words) != count:
        raise ValueError(f"its field {name!r} has {len(words)} entries instead of {count}")
    return words


def _number_type(path: Path, fields: Mapping[str, str]) -> np.dtype[np.generic]:
    """Type of the numbers, in the file's byte order."""
    name = fields.get("ElementType", "")
    code = _TYPES.get(name.removesuffix("_ARRAY"))
    if code is None:
        raise VolumeFileError(
            f"{path} holds numbers of the unknown type {name[:40]!r}; save it as a volume of integers or real numbers"
        )
    dtype = np.dtype(code)
    order = next((fields[key] for key in reversed(_ORDERS) if key in fields), "False")
    return dtype.newbyteorder(">" if _is_true(order) else "<") if _is_binary(fields) else dtype


def _is_true(word: str) -> bool:
    return word[:1] in ("T", "t", "1")


def _is_binary(fields: Mapping[str, str]) -> bool:
    return _is_true(fields.get("BinaryData", "True"))


def _place(fields: Mapping[str, str], axes: int) -> tuple[list[float], list[float], NDArray[np.float64]]:
    """Spacing, LPS origin, and the directions of i, j, k as columns, of a frame."""
    spacing = _numbers(fields, _SPACINGS, axes)
    origin = _numbers(fields, _ORIGINS, axes)
    matrix = _numbers(fields, _MATRICES, axes * axes)
    rows = np.eye(axes) if matrix is None else np.reshape(matrix, (axes, axes))
    return (spacing or [1.0] * axes)[:3], (origin or [0.0] * axes)[:3], rows.T[:3, :3]


def _numbers(fields: Mapping[str, str], names: tuple[str, ...], count: int) -> list[float] | None:
    given = [name for name in names if name in fields]
    return [real_number(word) for word in _words(fields, given[-1], count)] if given else None


def _storage(path: Path, text: _Text, letters: str, sizes: list[int]) -> Storage:
    fields = text.fields
    name = fields["ElementDataFile"]
    start = whole_number(fields.get("HeaderSize", "0"))
    packed = _is_binary(fields) and _is_true(fields.get("CompressedData", "False"))
    size = whole_number(fields.get("CompressedDataSize", "0")) if packed else 0
    if size < 0 or start < (-1 if _is_binary(fields) and not packed else 0):
        raise ValueError(f"it has {start} bytes before its {size} packed ones")
    if name.lower() == "local":
        start = start or text.end
        files: tuple[Path, ...] = (path,)
    else:
        files, packed = _find(path, text, sizes, packed=packed)
    packing: Packing = "zlib" if packed else "raw" if _is_binary(fields) else "text"
    at_end = start == -1
    return Storage(files, packing, letters, max(start, 0), skip=-1 if at_end else 0, packed_bytes=size or None)


def _find(path: Path, text: _Text, sizes: list[int], *, packed: bool) -> tuple[tuple[Path, ...], bool]:
    """The data files, and whether they are packed."""
    name = text.fields["ElementDataFile"]
    words = name.split()
    if words[:1] == ["LIST"]:
        dimension = whole_number(words[1]) if len(words) > 1 else 0
        count = prod(sizes[dimension if 0 < dimension <= len(sizes) else len(sizes) - 1 :])
        if len(text.listed) < count:
            raise ValueError(f"it lists {len(text.listed)} data files of {count}")
        return find_files(path, text.listed[:count]), packed
    if holds_number(name):
        return find_files(path, _numbered(words, sizes[-1])), packed
    with suppress(VolumeFileError):
        return find_files(path, [name]), packed
    for suffix in _PACKED_SUFFIXES:
        with suppress(VolumeFileError):
            return find_files(path, [name + suffix]), True
    return find_files(path, [name]), packed


def _numbered(words: list[str], count: int) -> list[str]:
    """The names of a pattern, whose first and last number and step may follow it."""
    given = len(words) - len(_leading(words))
    first, last, step = [*(whole_number(word) for word in words[len(words) - given :]), *[1, 0, 0][given:]]
    if given > 1:
        step = step or max(1, (last - first) // count)
        if (last - first) // step + 1 < count:
            raise ValueError(f"its data files {first} to {last} are fewer than {count}")
    return numbered_names(" ".join(_leading(words)), first, step or 1, count)


def _leading(words: list[str]) -> list[str]:
    """What stands before the (at most three) numbers at the end."""
    numbers = takewhile(str.isdecimal, reversed(words[-3:]))
    return words[: len(words) - len(list(numbers))]
