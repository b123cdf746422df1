"""MetaImage: in one file, and with its data elsewhere."""

from __future__ import annotations

import zlib

from ..cases import Case, Link, Pipe, Repeated, Sparse
from ..door import NINE_GB, Door, by_name, odd_cases, some_of, texts_and_data, zero_blocks
from ..mutators import BYTES, TEXT, add_line, replace_line
from .nifti import read, voxels

HEADER = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-3 -4 -5",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "1 1 1.5",
    "DimSize": "6 5 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
LINES = (
    *(b"NDims = 100", b"NDims = -1", b"NDims = 65536", b"NDims = 0", b"NDims = 2", b"NDims = 4", b"NDims = 2147483648"),
    *(b"DimSize = 65536 65536 65536", b"DimSize = -6 -5 4", b"DimSize = " + b"9 " * 5000, b"DimSize = 3000 3000 3000"),
    *(
        b"DimSize = 0 0 0",
        b"DimSize = 6",
        b"DimSize = 6 5 4 3",
        b"DimSize = 4294967296 4294967296 1",
        b"DimSize = 1e1 5 4",
    ),
    *(
        b"ElementType = " + b"MET_" * 2000,
        b"ElementType = MET_DOUBLE",
        b"ElementType = MET_STRING",
        b"ElementType = MET_OTHER",
    ),
    *(
        b"ElementType = MET_UCHAR_ARRAY",
        b"ElementType = MET_LONG_LONG",
        b"ElementNumberOfChannels = 0",
        b"ElementMin = nan",
    ),
    *(b"ElementNumberOfChannels = 2147483647", b"ElementNumberOfChannels = -1", b"ElementNumberOfChannels = 2"),
    *(
        b"CompressedData = True",
        b"CompressedDataSize = 9999999999999999",
        b"CompressedDataSize = -1",
        b"CompressedDataSize = 3",
    ),
    *(b"CompressionLevel = 99", b"BinaryData = False", b"BinaryDataByteOrderMSB = True", b"ElementByteOrderMSB = True"),
    *(
        b"HeaderSize = -1",
        b"HeaderSize = 9999999999999999999",
        b"HeaderSize = 4",
        b"HeaderSize = -99",
        b"ObjectType = Tube",
    ),
    *(b"ElementDataFile = /etc/passwd", b"ElementDataFile = ../outside.raw", b"ElementDataFile = %s%n%s%n.raw 1 3 1"),
    *(
        b"ElementDataFile = LIST",
        b"ElementDataFile = LIST 2",
        b"ElementDataFile = %d.raw 0 2147483647 1",
        b"ElementDataFile = .",
    ),
    *(
        b"ElementDataFile = %99999999d.raw 1 3 1",
        b"ElementDataFile = " + b"a" * 5000,
        b"ElementDataFile = p%d.raw 0 3 1",
    ),
    *(
        b"ElementDataFile = LOCAL",
        b"ElementDataFile = Local",
        b"ElementDataFile = a.raw",
        b"ElementDataFile = @FOLDER@/a.raw",
    ),
    *(b"TransformMatrix = 0 0 0 0 0 0 0 0 0", b"TransformMatrix = " + b"1 " * 5000, b"Rotation = 1 0 0 0 1 0 0 0 1"),
    *(
        b"ElementSpacing = 0 0 0",
        b"ElementSpacing = nan nan nan",
        b"ElementSpacing = 1e308 1e308 1e308",
        b"ElementSpacing = 1",
    ),
    *(
        b"ElementSize = -1 -1 -1",
        b"Offset = nan nan nan",
        b"Offset = " + b"1 " * 999,
        b"Position = 1 2 3",
        b"Origin = 9 9 9",
    ),
    *(
        b"AnatomicalOrientation = " + b"R" * 5000,
        b"Comment = %s%n%s%n",
        b"Comment = \xe9\xff",
        b"Name = " + b"n" * 5000,
    ),
    *(b"caf\xe9 = 1", b"Color = 1 1", b"ParentID = x", b"Modality = MET_MOD_CT", b"SequenceID = 1 2 3 4", b"ITK_x = y"),
)
text = some_of((*TEXT, add_line(*LINES), replace_line(*LINES), replace_line(*LINES), replace_line(*LINES), *BYTES[::3]))


def meta(data: bytes | None = None, **changes: str) -> bytes:
    """A MetaImage file; the data follow the last field."""
    fields = HEADER | changes
    last = fields.pop("ElementDataFile")
    lines = [*(f"{key} = {value}" for key, value in fields.items() if value), f"ElementDataFile = {last}"]
    body = voxels("i2", 4, 5, 6).tobytes() if data is None else data
    return "\n".join(lines).encode() + b"\n" + body


def packed_meta(data: bytes, **changes: str) -> bytes:
    """One with packed data."""
    small = zlib.compress(data)
    return meta(small, CompressedData="True", CompressedDataSize=str(len(small)), **changes)


def seeds() -> list[Case]:
    """Plain, packed, big-endian, vectors, sequences, text."""
    numbers = voxels("i2", 4, 5, 6)
    made = (
        meta(),
        packed_meta(numbers.tobytes()),
        meta(numbers.astype(">f4").tobytes(), ElementType="MET_FLOAT", BinaryDataByteOrderMSB="True"),
        meta(voxels("u1", 4, 5, 6, 2).tobytes(), ElementType="MET_UCHAR", ElementNumberOfChannels="2"),
        meta(" ".join(map(str, numbers.ravel())).encode(), BinaryData="False"),
        meta(
            voxels("u1", 2, 4, 5, 6).tobytes(),
            ElementType="MET_UCHAR",
            NDims="4",
            DimSize="6 5 4 2",
            ElementSpacing="1 1 1 1",
            Offset="0 0 0 0",
            CenterOfRotation="0 0 0 0",
            TransformMatrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
        ),
    )
    return [Case({"a.mha": content}) for content in made]


def hostile() -> list[Case]:
    """What killed, hung or filled a reader, or gave memory that nobody had written to."""
    packed = packed_meta(voxels("i2", 4, 5, 6).tobytes())
    head = meta(b"", CompressedData="True", CompressedDataSize="999999999")
    zeros = zlib.compress(voxels("i2", 4, 5, 6).tobytes())[:2]
    keys = b"".join(b"key%d = %d\n" % (n, n) for n in range(200_000))
    made = {
        "5,000 letters": meta(ElementType="MET_" + "a" * 5000),
        **{f"NDims {n}": meta(NDims=str(n)) for n in (100, -1, 65536, 2**31, 2**32, 0, 11)},
        **{
            f"DimSize {size}": meta(DimSize=size)
            for size in ("65536 65536 65536", "-1 -1 4", "4294967296 4294967296 1", "6")
        },
        "undecodable": meta(b"\x78\x9c" + b"garbage" * 20, CompressedData="True"),
        "undecodable with its size": meta(b"\x78\x9c" + b"garbage" * 2, CompressedData="True", CompressedDataSize="16"),
        "packed and cut": packed[:-9],
        "wrong checksum": packed[:-4] + b"\0\0\0\0",
        "2^31 channels": meta(ElementNumberOfChannels=str(2**31)),
        "200,000 keys": meta().replace(b"ElementDataFile", keys + b"ElementDataFile", 1),
        "a header without end": Repeated(b"ObjectType = Image\n", b"Comment = nothing\n" * 100_000, 200),
        "a line of 100 MB": Repeated(b"ObjectType = Image\nComment = ", b"a" * (1 << 20), 100),
        "a latin-1 key": meta().replace(b"NDims", b"caf\xe9 = 1\nNDims", 1),
        "9 GB of nothing": Sparse(NINE_GB, meta(b"")),
        "9 GB that are claimed": Sparse(NINE_GB, meta(b"", DimSize="16500 16500 16")),
        "endless": Repeated(head + zeros, zero_blocks(1 << 24), 640),
        "a header of 2^63 bytes": meta(HeaderSize=str(2**63 - 1)),
        "data elsewhere": meta(b"", ElementDataFile="/etc/passwd"),
        "itself as data": meta(b"", ElementDataFile="a.mha"),
        "names that are instructions": meta(b"", ElementDataFile="%s%n%s%n 1 3 1"),
        "no end of the header": meta().partition(b"ElementDataFile")[0],
    }
    return [*(Case({"a.mha": content}, note=note) for note, content in made.items()), *odd_cases(seeds()[0], "a.mha")]


def detached_seeds() -> list[Case]:
    """One file of data, packed, several by a pattern, several by a list."""
    numbers = voxels("i2", 4, 5, 6)
    planes = {f"p{n}.raw": plane.tobytes() for n, plane in enumerate(numbers)}
    small = zlib.compress(numbers.tobytes())
    return [
        Case({"a.mhd": meta(b"", ElementDataFile="a.raw"), "a.raw": numbers.tobytes()}),
        Case(
            {
                "a.mhd": meta(b"", CompressedData="True", CompressedDataSize=str(len(small)), ElementDataFile="a.zraw"),
                "a.zraw": small,
            }
        ),
        Case({"a.mhd": meta(b"", ElementDataFile="p%d.raw 0 3 1"), **planes}),
        Case({"a.mhd": meta(b"", ElementDataFile="LIST") + b"p0.raw\np1.raw\np2.raw\np3.raw\n", **planes}),
        Case({"a.mhd": meta(b"", ElementDataFile="b/a.raw", HeaderSize="-1"), "b/a.raw": b"head" + numbers.tobytes()}),
    ]


def detached_hostile() -> list[Case]:
    """Data outside, without end, of names that are instructions."""
    raw = {"a.raw": voxels("i2", 4, 5, 6).tobytes()}
    names = ("/etc/passwd", "../outside.raw", "@FOLDER@/a.raw", "%s%n%s%n%s%n.raw 1 3 1", "%999999999d.raw 1 3 1", ".")
    patterns = (
        "p%d.raw 0 2147483647 1",
        "p%d.raw 0 3 0",
        "p%d.raw 3 0 -1",
        "p%s.raw 0 3 1",
        "p%d%d.raw 0 3 1",
        "LIST 99",
    )
    named = [
        Case({"a.mhd": meta(b"", ElementDataFile=name), **raw}, note=f"data {name}") for name in (*names, *patterns)
    ]
    links = [
        Case({"a.mhd": meta(b"", ElementDataFile="a.raw"), "a.raw": odd}, note=f"data is {odd!r}"[:60])
        for odd in (Link("/etc/passwd"), Link("/dev/zero"), Pipe(), Sparse(NINE_GB), Link("."), Link("a.mhd"), b"")
    ]
    listed = Repeated(meta(b"", ElementDataFile="LIST"), b"a.raw\n" * 100_000, 10)
    return [*named, *links, Case({"a.mhd": listed, **raw}, note="a million files"), *odd_cases(named[0], "a.mhd")]


_DATA = some_of(BYTES)
_FILE = texts_and_data(b"ElementDataFile = LOCAL\n", text)
DOORS = (
    Door("mha", seeds, by_name({".mha": _FILE}), read, hostile),
    Door("mhd", detached_seeds, by_name({".mhd": text, ".raw": _DATA, ".zraw": _DATA}), read, detached_hostile),
)
