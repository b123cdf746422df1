"""Headers of NRRD files (.nrrd, .nhdr, .seg.nrrd), read without ITK.

teem's reader, which ITK has, dies of headers that no program writes, and its gzip reader does not mind damage. What the
fields mean is agreed with it and with ITK's NrrdImageIO, so that 3D Slicer shows the result in the same place.

References:
    Teem, "Definition of NRRD File Format"; NrrdIO's parseNrrd.c and formatNRRD.c; itkNrrdImageIO.cxx.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import open_file
from DeepSegmentLib.files.volume_checks import check_extent, refused_as_file

from .data_files import MOST_FILES, find_files, holds_number, numbered_names
from .header import Packing, Storage, VolumeHeader
from .header_text import header_lines, whole_number
from .nrrd_axes import NrrdAxes, read_axes
from .voxels import check_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MAGIC = re.compile(rb"NRRD(00\.01|000[1-5])\r?\n")
_FIELDS = (
    *("content", "number", "type", "block size", "dimension", "space", "space dimension", "sizes", "spacings"),
    *("thicknesses", "axis mins", "axis maxs", "space directions", "centerings", "kinds", "labels", "units", "min"),
    *("max", "old min", "old max", "endian", "encoding", "line skip", "byte skip", "sample units", "space units"),
    *("space origin", "measurement frame", "data file"),
)
_FIELD_OF = {spelling: field for field in _FIELDS for spelling in (field, field.replace(" ", ""))}
_FIELD_OF["centers"] = "centerings"

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_TYPE_OF = {name: code for code, names in _TYPES.items() for name in names}
_PACKINGS: dict[str, Packing] = {
    "raw": "raw",
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
    "hex": "hex",
    **dict.fromkeys(("gz", "gzip"), "gzip"),
    **dict.fromkeys(("bz2", "bzip2"), "bzip2"),
}
_ESCAPE = re.compile(r"\\([n\\])")


@dataclass(frozen=True)
class _Text:
    """A header's fields by their names, its key/value pairs, the data files of a LIST, and where it ends."""

    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    listed: tuple[str, ...]
    end: int


def read_nrrd_header(path: Path) -> VolumeHeader:
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


def _read_fields(path: Path, text: _Text) -> VolumeHeader:
    axes = read_axes(path, text.fields)
    dtype = _number_type(path, text.fields)
    check_extent(path, (axes.frames, axes.channels, *axes.shape), dtype.itemsize)
    with refused_as_file(path):
        geometry = axes.geometry()
    storage = _storage(path, text, axes)
    header = VolumeHeader(geometry, axes.frames, axes.channels, dtype, storage, metadata=text.pairs)
    check_storage(path, header)
    return header


def _damaged(path: Path, error: Exception) -> VolumeFileError:
    return VolumeFileError(
        f"{path} is not a volume that can be read: its NRRD header is damaged: {error}; copy it again from its source"
    )


def _read_text(path: Path, file: IO[bytes]) -> _Text:
    if not _MAGIC.match(file.readline(16)):
        raise VolumeFileError(
            f"{path} is not a volume that can be read: it is no NRRD file, or its header is damaged; copy it again "
            "from its source"
        )
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    listed: tuple[str, ...] = ()
    lines = header_lines(path, file)
    try:
        for line in lines:
            if not line:
                break
            name = _take_line(line, fields, pairs)
            if name == "data file" and fields[name].startswith("LIST"):
                listed = tuple(_until_empty(lines))
                break
    except ValueError as error:
        raise _damaged(path, error) from error
    return _Text(fields, pairs, listed, file.tell())


def _take_line(line: str, fields: dict[str, str], pairs: dict[str, str]) -> str:
    """Take a line in; returns the name of its field, if it is one."""
    if line.startswith("#"):
        return ""
    start, found, rest = line.partition(": ")
    name = _FIELD_OF.get(start.lower(), "") if found else ""
    if name in fields:
        raise ValueError(f"the field {name!r} appears twice")
    if name:
        fields[name] = rest.strip(" \t")
        return name
    key, found, value = line.partition(":=")
    if not found:
        raise ValueError(f"the line {line[:80]!r} is no field and no key with its value")
    pairs[_unescaped(key)] = _unescaped(value)
    return ""


def _until_empty(lines: Iterator[str]) -> Iterator[str]:
    for n, line in enumerate(lines):
        if not line:
            return
        if n > MOST_FILES:
            raise ValueError(f"it lists more than {MOST_FILES} data files")
        yield line


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else "\\", text) if "\\" in text else text


def _number_type(path: Path, fields: Mapping[str, str]) -> np.dtype[np.generic]:
    """Type of the numbers, in the file's byte order."""
    name = " ".join(fields.get("type", "").lower().split())
    if name == "block":
        raise VolumeFileError(f"{path} holds blocks of bytes; save it as a volume of integers or real numbers")
    if name not in _TYPE_OF:
        raise ValueError(f"it has the unknown number type {name[:40]!r}")
    dtype = np.dtype(_TYPE_OF[name])
    if dtype.itemsize == 1 or _packing(fields) == "text":
        return dtype
    endian = fields.get("endian", "").lower()
    if endian not in ("little", "big"):
        raise ValueError(f"it has the byte order {endian[:40]!r}, which is neither little nor big")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _packing(fields: Mapping[str, str]) -> Packing:
    name = fields.get("encoding", "").lower()
    if name not in _PACKINGS:
        raise ValueError(f"it has the unknown encoding {name[:40]!r}")
    return _PACKINGS[name]


def _storage(path: Path, text: _Text, axes: NrrdAxes) -> Storage:
    lines, skip = (whole_number(text.fields.get(field, "0")) for field in ("line skip", "byte skip"))
    packing = _packing(text.fields)
    if lines < 0 or (skip < 0 and packing != "raw"):
        raise ValueError(f"it passes over {lines} lines and {skip} bytes")
    names = _data_names(text, axes)
    if names is None:
        return Storage((path,), packing, axes.letters, text.end, lines, skip)
    return Storage(find_files(path, names), packing, axes.letters, 0, lines, skip)


def _data_names(text: _Text, axes: NrrdAxes) -> list[str] | None:
    """The data files that are named; None where the data follow the header."""
    field = text.fields.get("data file")
    if field is None:
        return None
    words = field.split()
    if words and words[0] == "LIST":
        _check_count(axes, words[1:], len(text.listed))
        return list(text.listed)
    if not holds_number(field):
        return [field]
    first, last, step = (whole_number(word) for word in words[1:4])
    count = (last - first) // step + 1 if step else 0
    _check_count(axes, words[4:], count)
    return numbered_names(words[0], first, step, count)


def _check_count(axes: NrrdAxes, words: list[str], count: int) -> None:
    """Whether so many files hold the array; each is of the dimension that the word says, of one less without."""
    dimension = whole_number(words[0]) if words else len(axes.sizes) - 1
    if not 1 <= dimension <= len(axes.sizes):
        raise ValueError(f"its data files are {dimension}D")
    if dimension == len(axes.sizes):
        fits = 1 <= count <= axes.sizes[-1] and axes.sizes[-1] % count == 0
    else:
        fits = count == int(np.prod(axes.sizes[dimension:], dtype=object))
    if not fits:
        raise ValueError(f"{count} data files of {dimension} dimensions do not make {axes.sizes}")
