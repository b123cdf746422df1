"""Files of volumes made by hand, in every way the formats allow, and what SimpleITK finds in them."""

from __future__ import annotations

import binascii
import bz2
import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from hypothesis import strategies as st

NRRD_TYPES = {
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
META_TYPES = {
    "i1": "MET_CHAR",
    "u1": "MET_UCHAR",
    "i2": "MET_SHORT",
    "u2": "MET_USHORT",
    "i4": "MET_INT",
    "u4": "MET_UINT",
    "i8": "MET_LONG_LONG",
    "u8": "MET_ULONG_LONG",
    "f4": "MET_FLOAT",
    "f8": "MET_DOUBLE",
}
NRRD_SPACES = (
    *("left-posterior-superior", "LPS", "left posterior superior", "RAS", "rightanteriorsuperior", "LAS"),
    *("left anterior superior", "scanner-xyz", "3D-right-handed", "3D left handed"),
)
NRRD_KINDS = (
    *(None, ("domain",) * 3, ("space",) * 3, ("???",) * 3),
    *(("vector", *["domain"] * 3), (*["domain"] * 3, "list"), ("domain", "domain", "vector", "space")),
    *(("scalar", *["domain"] * 3), ("covariant-vector", *["space"] * 3)),
    *(("list", "vector", *["domain"] * 3), ("vector", *["domain"] * 3, "list"), (*["domain"] * 3, "list", "vector")),
)


@dataclass
class HandMade:
    """The content of files by their names; the first is the one to open."""

    files: dict[str, bytes]
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def write(self, folder: Path) -> Path:
        """Write all; returns the one to open."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder / next(iter(self.files))


def in_order(values: np.ndarray, order: str) -> bytes:
    """Bytes in a byte order."""
    return values.astype(values.dtype.newbyteorder(order)).tobytes()


def packed(raw: bytes, values: np.ndarray, encoding: str) -> bytes:
    """Bytes as an encoding of NRRD has them."""
    if encoding in ("gzip", "gz", "GZIP"):
        return gzip.compress(raw)
    if encoding in ("bzip2", "bz2"):
        return bz2.compress(raw)
    if encoding == "hex":
        return binascii.hexlify(raw)
    return raw if encoding == "raw" else " ".join(str(value) for value in values.tolist()).encode()


def vector(draw: Any, length: int) -> str:
    """A vector as NRRD writes it."""
    return "(" + ",".join(str(draw(st.floats(-9, 9).map(lambda x: round(x, 3)))) for _ in range(length)) + ")"


@st.composite
def hand_made_nrrd(draw: Any) -> HandMade:
    """NRRD files as others write them: kinds, spaces, spacings, encodings, byte orders, skips, data in other files."""
    kinds = draw(st.sampled_from(NRRD_KINDS))
    axes = len(kinds) if kinds else 3
    sizes = [1 if kinds and kinds[n] == "scalar" else draw(st.integers(1, 4)) for n in range(axes)]
    code, order = draw(st.sampled_from(list(NRRD_TYPES))), draw(st.sampled_from("<>"))
    values = np.array(draw(st.lists(st.integers(0, 100), min_size=int(np.prod(sizes)), max_size=int(np.prod(sizes)))))
    values = values.astype(code)
    lines = [f"type: {draw(st.sampled_from(NRRD_TYPES[code]))}", f"dimension: {axes}"]
    lines += _place(draw, [not kinds or kind in ("domain", "space", "???") for kind in kinds or [""] * axes])
    lines += [f"sizes: {' '.join(map(str, sizes))}", f"kinds: {' '.join(kinds)}" if kinds else "# a comment"]
    lines += [f"endian: {'little' if order == '<' else 'big'}", "content: something", r"a key:=of two\nlines\\"]
    return _stored(draw, lines, sizes, values, in_order(values, order))


def _place(draw: Any, spatial: list[bool]) -> list[str]:
    if draw(st.booleans()):
        length = sum(spatial)
        space = draw(st.sampled_from([f"space: {name}" for name in NRRD_SPACES] + [f"space dimension: {length}"]))
        directions = " ".join(vector(draw, length) if inside else "none" for inside in spatial)
        origin = [f"space origin: {vector(draw, length)}"] if draw(st.booleans()) else []
        frame = ["measurement frame: (0,1,0) (1,0,0) (0,0,1)"] if draw(st.booleans()) else []
        return [space, f"space directions: {directions}", *origin, *frame]
    spacing = st.one_of(st.floats(0.1, 9).map(str), st.just("nan"))
    lines = [f"spacings: {' '.join(draw(spacing) if inside else 'NaN' for inside in spatial)}"]
    if draw(st.booleans()):
        lines.append(
            f"axis mins: {' '.join(draw(st.floats(-9, 9).map(str)) if inside else 'nan' for inside in spatial)}"
        )
        lines.append(f"centers: {' '.join(draw(st.sampled_from(['cell', 'node'])) for _ in spatial)}")
    return lines


def _stored(draw: Any, lines: list[str], sizes: list[int], values: np.ndarray, raw: bytes) -> HandMade:
    magic, end = f"NRRD000{draw(st.integers(1, 5))}", draw(st.sampled_from(["\n", "\r\n"]))
    where = draw(st.sampled_from(["here", "beside", "list", "pattern"]))
    if where in ("list", "pattern"):
        return HandMade(
            _sliced([magic, *lines, "encoding: raw"], where, sizes[-1], raw, draw(st.integers(-3, 40))), values
        )
    encoding = draw(st.sampled_from(["raw", "gzip", "gz", "txt", "text", "ascii", "hex", "GZIP"]))
    skip = draw(st.sampled_from(["", "", "line skip: 2", "byte skip: 3"]))
    before = {"line skip: 2": b"a\nbc\n", "byte skip: 3": b"abc"}.get(skip, b"")
    if skip.startswith("byte") and encoding.lower() in ("gz", "gzip"):
        data = packed(before + raw, values, encoding)
    else:
        data = before + packed(raw, values, encoding)
    header = [magic, *lines, f"encoding: {encoding}", *([skip] if skip else [])]
    if where == "here":
        return HandMade({"a.nrrd": (end.join(header) + 2 * end).encode() + data}, values)
    return HandMade({"a.nhdr": end.join([*header, "data file: b.raw", ""]).encode(), "b.raw": data}, values)


def _sliced(header: list[str], how: str, count: int, raw: bytes, first: int) -> dict[str, bytes]:
    names = [f"b{first + 2 * n:03d}%.raw" for n in range(count)]
    listed = (
        ["data file: LIST", *names] if how == "list" else [f"data file: b%03d%%.raw {first} {first + 2 * count - 2} 2"]
    )
    length = len(raw) // count
    parts = {name: raw[n * length : (n + 1) * length] for n, name in enumerate(names)}
    return {"a.nhdr": "\n".join([*header, *listed, ""]).encode(), **parts}


@st.composite
def hand_made_metaimage(draw: Any) -> HandMade:
    """MetaImage files as others write them: old spellings, byte orders, header sizes, data in other files."""
    axes, channels = draw(st.sampled_from([3, 3, 4])), draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    code, order = draw(st.sampled_from(list(META_TYPES))), draw(st.sampled_from("<>"))
    count = int(np.prod(sizes)) * channels
    values = np.array(draw(st.lists(st.integers(0, 100), min_size=count, max_size=count))).astype(code)
    numbers = lambda n: " ".join(str(draw(st.floats(-9, 9).map(lambda x: round(x, 3)))) for _ in range(n))  # noqa: E731
    lines = ["ObjectType = Image", f"NDims = {axes}", f"DimSize = {' '.join(map(str, sizes))}"]
    for names, length in (
        (("Position", "Origin", "Offset", "ImagePosition"), axes),
        (("Orientation", "Rotation", "TransformMatrix"), axes**2),
    ):
        lines += [
            f"{name} = {numbers(length)}" for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
        ]
    for name in draw(st.lists(st.sampled_from(["ElementSize", "ElementSpacing"]), unique=True)):
        lines.append(f"{name} = {' '.join(str(draw(st.floats(0.1, 9))) for _ in range(axes))}")
    order_name = draw(st.sampled_from(["BinaryDataByteOrderMSB", "ElementByteOrderMSB"]))
    lines += [
        f"{order_name} = {order == '>'}",
        f"ElementNumberOfChannels = {channels}",
        f"ElementType = {META_TYPES[code]}",
    ]
    return HandMade(_meta_files(draw, lines, sizes, in_order(values, order)), values)


def _meta_files(draw: Any, lines: list[str], sizes: list[int], raw: bytes) -> dict[str, bytes]:
    where = draw(st.sampled_from(["here", "packed", "beside", "packed beside", "behind", "list", "pattern"]))
    data = zlib.compress(raw) if "packed" in where else raw
    if "packed" in where:
        lines = [*lines, "CompressedData = True", f"CompressedDataSize = {len(data)}"]
    if where in ("here", "packed"):
        return {"a.mha": "\n".join([*lines, "ElementDataFile = LOCAL", ""]).encode() + data}
    if where in ("beside", "packed beside"):
        return {"a.mhd": "\n".join([*lines, "ElementDataFile = b.raw", ""]).encode(), "b.raw": data}
    if where == "behind":
        size, before = draw(st.sampled_from([(5, b"12345"), (-1, b"123")]))
        return {
            "a.mhd": "\n".join([*lines, f"HeaderSize = {size}", "ElementDataFile = b.raw", ""]).encode(),
            "b.raw": before + data,
        }
    names = [f"b{n:02d}.raw" for n in range(3, 3 + sizes[-1])]
    last = (
        ["ElementDataFile = LIST", *names] if where == "list" else [f"ElementDataFile = b%02d.raw 3 {2 + sizes[-1]} 1"]
    )
    length = len(raw) // sizes[-1]
    return {"a.mhd": "\n".join([*lines, *last, ""]).encode()} | {
        name: raw[n * length : (n + 1) * length] for n, name in enumerate(names)
    }


def found_by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Numbers (frame, channel, k, j, i), steps along i, j, k as columns and the origin, in LPS; None if it refuses."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if path.suffix in (".nrrd", ".nhdr") else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        image = reader.Execute()
    except RuntimeError:
        return None
    axes = image.GetDimension()
    numbers = sitk.GetArrayFromImage(image)
    numbers = np.moveaxis(numbers, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else numbers[None]
    numbers = np.moveaxis(numbers, 1, 0) if axes == 4 else numbers[None]
    steps = np.reshape(image.GetDirection(), (axes, axes))[:3, :3] * np.array(image.GetSpacing()[:3])
    return numbers, steps, np.array(image.GetOrigin()[:3])
