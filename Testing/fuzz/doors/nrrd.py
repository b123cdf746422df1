"""NRRD: raw, packed, as text; with its data elsewhere; as a segmentation of 3D Slicer."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

from ..cases import Case, Link, Pipe, Repeated, Sparse
from ..door import NINE_GB, Door, by_name, endless_gzip, odd_cases, packed, some_of, texts_and_data
from ..mutators import BYTES, TEXT, add_line, replace_line
from .nifti import read, voxels

HEADER = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "6 5 4",
    "space directions": "(1,0,0) (0,1,0) (0,0,1.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-3,-4,-5)",
}
SEGMENTS = (
    *("Segment0_ID:=a", "Segment0_Name:=left \\\\ right", "Segment0_Color:=1 0.5 0", "Segment0_LabelValue:=1"),
    *("Segment0_Layer:=0", "Segment0_Extent:=0 5 0 4 0 3", "Segment1_ID:=b", "Segment1_Name:=Größe"),
    *("Segment1_Color:=0 0 1", "Segment1_LabelValue:=2", "Segment1_Layer:=0", "Segment0_Tags:=DeepSegment.model:x|"),
    "Segment1_Tags:=TerminologyEntry:c~SCT^123037004^Anatomical Structure~SCT^42695009^Thalamus~^^~d~^^~^^|",
    *("Segmentation_MasterRepresentation:=Binary labelmap", "DeepSegment_model:=brain-mr"),
)
LINES = (
    *(b"type: " + b"a" * 5000, b"type: block", b"type: double", b"type: int", b"type: unsigned long long int"),
    *(b"dimension: 100", b"dimension: -1", b"dimension: 65536", b"dimension: 0", b"dimension: 4", b"dimension: 17"),
    *(b"sizes: 65536 65536 65536", b"sizes: 65536 65536", b"sizes: 4294967296 4294967296 1", b"sizes: -6 -5 4"),
    *(b"sizes: " + b"9 " * 5000, b"sizes: 0 0 0", b"sizes: 1e3 5 4", b"sizes: 6 5 4 3", b"sizes: 3000 3000 3000"),
    *(b"encoding: gzip", b"encoding: bzip2", b"encoding: text", b"encoding: hex", b"encoding: ascii", b"encoding: zrl"),
    *(
        b"encoding: " + b"z" * 5000,
        b"endian: big",
        b"endian: middle",
        b"byte skip: -1",
        b"byte skip: -99",
        b"byte skip: 3",
    ),
    *(b"byte skip: 9999999999999999999", b"line skip: 2147483648", b"line skip: 1", b"line skip: -1", b"byteskip: 4"),
    *(b"data file: /etc/passwd", b"data file: ../outside.raw", b"data file: %s%n%s%n.raw 1 3 1", b"data file: LIST"),
    *(
        b"data file: %d.raw 0 2147483647 1",
        b"data file: %d.raw 1 9 0",
        b"data file: %d.raw 9 1 -1",
        b"data file: a.raw",
    ),
    *(b"data file: %99999999d.raw 1 3 1", b"data file: " + b"a" * 5000, b"data file: \xff\xfe.raw", b"data file: ."),
    *(b"datafile: LIST 2\n/etc/passwd\n", b"data file: @FOLDER@/a.raw", b"data file: skip:-1", b"data file: a.nhdr"),
    *(
        b"space: 5-dimensional",
        b"space dimension: 100",
        b"space dimension: 3",
        b"space: scanner-xyz",
        b"space: " + b"s" * 5000,
    ),
    *(
        b"space directions: none none none",
        b"space directions: (1e308,0,0) (0,1e308,0) (0,0,1e308)",
        b"space directions: (",
    ),
    *(
        b"space directions: (1e-300,0,0) (0,1e-300,0) (0,0,1e-300)",
        b"space origin: (nan,0,0)",
        b"space origin: (" * 500,
    ),
    *(
        b"space units: " + b'"' * 5000,
        b'space units: "mm" "mm" "mm"',
        b"kinds: " + b"domain " * 1000,
        b"kinds: vector domain",
    ),
    *(
        b"spacings: nan nan nan",
        b"spacings: 1 1 1",
        b"thicknesses: " + b"1 " * 999,
        b"centerings: cell",
        b"axis mins: 1 1 1",
    ),
    *(
        b"measurement frame: (1,0,0) (0,1,0) (0,0,1)",
        b"labels: " + b'"\\"' * 999,
        b'labels: "a" "b" "c"',
        b"number: 99",
    ),
    *(
        b"content: \xe9\xff",
        b"caf\xe9:=1",
        b"key:=" + b"x" * 100_000,
        b":=",
        b"a:=\\",
        b"min: x",
        b"max: 1e999",
        b"old min: 0",
    ),
    *(b"Segment0_Color:=nan inf 9e99", b"Segment0_LabelValue:=" + b"9" * 5000, b"Segment99999999999999999999_ID:=c"),
    *(b"Segment0_Layer:=-1", b"Segment0_Layer:=99999999999", b"Segment0_Name:=\xed\xa0\x80", b"Segment\xd9\xa1_ID:=x"),
    *(b"Segment0_Tags:=TerminologyEntry:" + b"~" * 5000, b"Segment1_LabelValue:=65536", b"Segment1_ID:=" + b"x" * 5000),
)
_LINE_MUTATORS = (add_line(*LINES), replace_line(*LINES), replace_line(*LINES), replace_line(*LINES))
text = some_of((*TEXT, *_LINE_MUTATORS, *BYTES[::3]))
"""The text of a header gone wrong."""


def nrrd(data: bytes | None = None, *more: str, **changes: str) -> bytes:
    """An NRRD file; underscores in the names of fields stand for spaces."""
    fields = HEADER | {key.replace("_", " "): value for key, value in changes.items()}
    lines = ["NRRD0004", *(f"{key}: {value}" for key, value in fields.items() if value), *more]
    body = voxels("i2", 4, 5, 6).tobytes() if data is None else data
    return "\n".join(lines).encode() + b"\n\n" + body


def _packed(content: bytes, level: int = 6) -> bytes:
    return gzip.compress(content, level, mtime=0)


def seeds() -> list[Case]:
    """Encodings, orders of bytes, vectors, sequences, a space of another sense."""
    numbers = voxels("i2", 4, 5, 6)
    words = " ".join(map(str, numbers.ravel())).encode()
    four = {"dimension": "4", "space_directions": "none (1,0,0) (0,1,0) (0,0,1.5)"}
    made = (
        nrrd(),
        nrrd(_packed(numbers.tobytes()), encoding="gzip"),
        nrrd(words, encoding="ascii", endian=""),
        nrrd(numbers.tobytes().hex().encode(), encoding="hex"),
        nrrd(bz2.compress(numbers.tobytes()), encoding="bzip2"),
        nrrd(numbers.astype(">f4").tobytes(), type="float", endian="big", space="right-anterior-superior"),
        nrrd(
            voxels("u1", 4, 5, 6, 2).tobytes(),
            type="uchar",
            sizes="2 6 5 4",
            kinds="vector domain domain domain",
            **four,
        ),
        nrrd(
            voxels("u1", 4, 5, 6, 2).tobytes(), type="uint8", sizes="2 6 5 4", kinds="list domain domain domain", **four
        ),
        nrrd(None, "key:=a value", space="", space_directions="", space_origin="", spacings="1 1 2"),
    )
    # Some encodings are not for every reader: what is refused whole is no seed, see `child`.
    return [Case({"a.nrrd": content}) for content in made]


def hostile() -> list[Case]:
    """What killed, hung or filled a reader."""
    sound = nrrd(_packed(voxels("i2", 4, 5, 6).tobytes()), encoding="gzip")
    head = sound.partition(b"\n\n")[0] + b"\n\n"
    keys = b"".join(b"key%d:=%d\n" % (n, n) for n in range(200_000))
    made = {
        "5,000 letters": nrrd(type="a" * 5000),
        **{f"dimension {n}": nrrd(dimension=str(n)) for n in (100, -1, 65536, 2**31, 2**32, 0)},
        **{f"sizes {size}": nrrd(sizes=size) for size in ("65536 65536 65536", "4294967296 4294967296 1", "1 1 1 1")},
        "200,000 keys": nrrd(None, "").replace(b"\n\n", b"\n" + keys + b"\n", 1),
        "a key of 100 MB": Repeated(b"NRRD0004\nkey:=", b"a" * (1 << 20), 100),
        "a header without end": Repeated(b"NRRD0004\n", b"# nothing\n" * 100_000, 300),
        "a latin-1 key": nrrd().replace(b"\n\n", b"\ncaf\xe9:=1\n\n", 1),
        "half a character": nrrd().replace(b"\n\n", b"\ncontent: \xed\xa0\x80\n\n", 1),
        "9 GB of nothing": Sparse(NINE_GB, nrrd(b"")),
        "9 GB that are claimed": Sparse(NINE_GB, nrrd(b"", sizes="16500 16500 16")),
        "10 GB behind the voxels": endless_gzip_behind(head, voxels("i2", 4, 5, 6).tobytes()),
        "5 GB that are there": endless_gzip_behind(nrrd(b"", encoding="gzip", sizes="1600 1600 1000"), b"", 5),
        "a skip to the end of time": nrrd(byte_skip=str(2**63 - 1)),
        "2^31 lines to skip": nrrd(line_skip=str(2**31)),
        "skip back": nrrd(byte_skip="-100"),
        "data elsewhere": nrrd(b"", data_file="/etc/passwd"),
        "itself as data": nrrd(b"", data_file="a.nrrd"),
        "thin voxels": nrrd(space_directions="(1e-300,0,0) (0,1e-300,0) (0,0,1e-300)"),
        "sizes of 100,000 digits": nrrd(sizes="9" * 100_000 + " 1 1"),
    }
    return [*(Case({"a.nrrd": content}, note=note) for note, content in made.items()), *odd_cases(seeds()[0], "a.nrrd")]


def endless_gzip_behind(head: bytes, content: bytes, gigabytes: int = 10) -> Repeated:
    """A header, and a gzip that does not end."""
    endless = endless_gzip(content, gigabytes)
    return Repeated(head + endless.head, endless.block, endless.times)


def detached_seeds() -> list[Case]:
    """One file of data, packed, several by a pattern, several by a list."""
    numbers = voxels("i2", 4, 5, 6)
    planes = {f"p{n}.raw": plane.tobytes() for n, plane in enumerate(numbers)}
    return [
        Case({"a.nhdr": nrrd(b"", data_file="a.raw"), "a.raw": numbers.tobytes()}),
        Case({"a.nhdr": nrrd(b"", encoding="gzip", data_file="a.raw.gz"), "a.raw.gz": _packed(numbers.tobytes())}),
        Case({"a.nhdr": nrrd(b"", data_file="p%d.raw 0 3 1"), **planes}),
        Case({"a.nhdr": nrrd(b"", data_file="LIST 2")[:-1] + b"p0.raw\np1.raw\np2.raw\np3.raw\n", **planes}),
        Case({"a.nhdr": nrrd(b"", data_file="b/a.raw", byte_skip="-1"), "b/a.raw": b"head" + numbers.tobytes()}),
    ]


def detached_hostile() -> list[Case]:
    """Data outside, without end, of names that are instructions."""
    raw = {"a.raw": voxels("i2", 4, 5, 6).tobytes()}
    names = (
        "/etc/passwd",
        "../outside.raw",
        "@FOLDER@/a.raw",
        "%s%n%s%n%s%n.raw 1 3 1",
        "%999999999d.raw 1 3 1",
        "\\\\server\\a",
    )
    patterns = (
        "p%d.raw 0 2147483647 1",
        "p%d.raw 0 3 0",
        "p%d.raw 3 0 -1",
        "p%s.raw 0 3 1",
        "p%d%d.raw 0 3 1",
        "LIST 99",
    )
    named = [
        Case({"a.nhdr": nrrd(b"", data_file=name), **raw}, note=f"data {name}") for name in (*names, *patterns, ".")
    ]
    links = [
        Case({"a.nhdr": nrrd(b"", data_file="a.raw"), "a.raw": odd}, note=f"data is {odd!r}"[:60])
        for odd in (Link("/etc/passwd"), Link("/dev/zero"), Pipe(), Sparse(NINE_GB), Link("."), Link("a.nhdr"), b"")
    ]
    listed = Repeated(nrrd(b"", data_file="LIST")[:-1], b"a.raw\n" * 100_000, 10)
    gz = Case(
        {"a.nhdr": nrrd(b"", encoding="gzip", data_file="a.raw.gz"), "a.raw.gz": endless_gzip(raw["a.raw"])},
        note="endless",
    )
    return [*named, *links, gz, Case({"a.nhdr": listed, **raw}, note="a million files"), *odd_cases(named[0], "a.nhdr")]


def segmentation_seeds() -> list[Case]:
    """One layer, two layers, no table, as Slicer and as older Slicers write them."""
    labels = voxels("u1", 4, 5, 6) % 3
    two = voxels("u2", 4, 5, 6, 2) % 3
    one = {"type": "unsigned char", "encoding": "gzip"}
    axes = {"sizes": "2 6 5 4", "dimension": "4", "space_directions": "none (1,0,0) (0,1,0) (0,0,1)"}
    layered = [line.replace("Segment1_Layer:=0", "Segment1_Layer:=1") for line in SEGMENTS]
    return [
        Case({"a.seg.nrrd": nrrd(_packed(labels.tobytes()), *SEGMENTS, **one)}),
        Case({"a.seg.nrrd": nrrd(labels.tobytes(), *SEGMENTS, type="uchar")}),
        Case(
            {
                "a.seg.nrrd": nrrd(
                    _packed(two.tobytes()),
                    *layered,
                    type="ushort",
                    encoding="gzip",
                    kinds="list domain domain domain",
                    **axes,
                )
            }
        ),
        Case({"a.seg.nrrd": nrrd(_packed(labels.tobytes()), **one)}),
    ]


def segmentation_hostile() -> list[Case]:
    """Tables that are large or lie."""
    labels = _packed((voxels("u1", 4, 5, 6) % 3).tobytes())
    one = {"type": "unsigned char", "encoding": "gzip"}
    many = [
        f"Segment{n}_{key}:={value}"
        for n in range(30_000)
        for key, value in (("ID", n), ("Name", n), ("Color", "1 0 0"))
    ]
    lines = {
        "30,000 segments": many,
        "a segment of 2^64": ["Segment18446744073709551616_ID:=a"],
        "a value of 5,000 digits": [
            "Segment0_ID:=a",
            "Segment0_Name:=a",
            "Segment0_Color:=1 0 0",
            "Segment0_LabelValue:=" + "9" * 5000,
        ],
        "a colour of NaN": ["Segment0_ID:=a", "Segment0_Name:=a", "Segment0_Color:=nan inf 1e999"],
        "a layer below 0": [*SEGMENTS, "Segment0_Layer:=-1"],
        "tags without end": [
            "Segment0_ID:=a",
            "Segment0_Name:=a",
            "Segment0_Color:=1 0 0",
            "Segment0_Tags:=" + "a:b|" * 100_000,
        ],
    }
    made = {note: nrrd(labels, *more, **one) for note, more in lines.items()}
    made["a 4D file of 65,535 layers"] = nrrd(
        _packed(bytes(65535 * 120), 9),
        *SEGMENTS,
        sizes="65535 6 5 4",
        dimension="4",
        space_directions="none (1,0,0) (0,1,0) (0,0,1)",
        kinds="list domain domain domain",
        **one,
    )
    endless = endless_gzip_behind(nrrd(b"", *SEGMENTS, **one), bytes(120))
    cases = [Case({"a.seg.nrrd": content}, note=note) for note, content in (made | {"endless": endless}).items()]
    return [*cases, *odd_cases(segmentation_seeds()[0], "a.seg.nrrd")]


def read_labels(folder: Path, case: Case) -> None:
    """Read a labelmap and what it says of its origin."""
    from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance

    path = folder / next(iter(case.files), "a.seg.nrrd")
    read_labelmap(path)
    read_provenance(path)


_FILE = texts_and_data(b"\n\n", text)
_DATA = some_of(BYTES)
_PARTS = {".nhdr": text, ".raw": _DATA, ".raw.gz": packed(_DATA)}
DOORS = (
    Door("nrrd", seeds, by_name({".nrrd": _FILE}), read, hostile),
    Door("nhdr", detached_seeds, by_name(_PARTS), read, detached_hostile),
    Door("seg.nrrd", segmentation_seeds, by_name({".seg.nrrd": _FILE}), read_labels, segmentation_hostile),
)
