"""Volumes that must be refused: name, maker, and what the message must say."""

from __future__ import annotations

import gzip
import os
import struct

import numpy as np
from fuzz.cases import Link, Pipe, Sparse
from fuzz.door import NINE_GB, endless_gzip
from fuzz.doors.metaimage import meta, packed_meta
from fuzz.doors.nifti import nifti1, nifti2, voxels
from fuzz.doors.nrrd import endless_gzip_behind
from fuzz.doors.nrrd import nrrd as own_nrrd

from .makers import (
    bytes_at,
    content_at,
    cut,
    image,
    last_voxel,
    made,
    mha,
    nifti_of_sform,
    noise,
    nrrd,
    patched_nifti,
    rgb,
    with_value,
    wrong_checksum,
)

VOLUMES = {
    # name: (maker, what the message must say)
    "missing": (lambda d: d / "nothing.nii.gz", "does not exist"),
    "folder as file": (lambda d: made(d / "a.nii.gz"), "is a folder"),
    "empty nifti": (lambda d: bytes_at(d / "a.nii.gz", b""), "empty"),
    "empty nrrd": (lambda d: bytes_at(d / "a.nrrd", b""), "empty"),
    "unknown suffix": (lambda d: bytes_at(d / "a.txt", b"hello"), "unknown suffix"),
    "picture": (lambda d: bytes_at(d / "a.png", b"\x89PNG\r\n"), "unknown suffix"),
    "text named nifti": (lambda d: bytes_at(d / "a.nii", b"hello world" * 99), "not a volume"),
    "text named nifti gz": (lambda d: bytes_at(d / "a.nii.gz", b"hello world" * 99), "not a volume"),
    "text named nrrd": (lambda d: bytes_at(d / "a.nrrd", b"hello world" * 99), "not a volume"),
    "text named mha": (lambda d: bytes_at(d / "a.mha", b"hello world" * 99), "not a volume"),
    "gzip of nothing": (lambda d: bytes_at(d / "a.nii.gz", gzip.compress(b"")), "not a volume"),
    "cut nifti": (lambda d: cut(image(d / "a.nii", noise()), 0.6), "cut off"),
    "cut nifti gz": (lambda d: cut(image(d / "a.nii.gz", noise()), 0.6), "cut off"),
    "cut nrrd": (lambda d: cut(image(d / "a.nrrd", noise()), 0.6), "cut off"),
    "cut mha": (lambda d: cut(image(d / "a.mha", noise()), 0.6), "cut off"),
    "cut header": (lambda d: cut(image(d / "a.nii", noise()), 0.05), "not a volume"),
    "NaN": (lambda d: image(d / "a.nii.gz", with_value(np.nan)), r"NaN.*\(1, 2, 3\)"),
    "infinity": (lambda d: image(d / "a.nrrd", with_value(np.inf)), r"infinite.*\(1, 2, 3\)"),
    "two-dimensional": (lambda d: image(d / "a.nrrd", noise((8, 8))), "2D"),
    "four-dimensional": (lambda d: image(d / "a.nii.gz", noise((3, 4, 4, 4))), "3 frames"),
    "five-dimensional": (lambda d: image(d / "a.nrrd", noise((2, 2, 4, 4, 4))), "5D"),
    "no voxels": (lambda d: nrrd(d / "a.nrrd", b"", sizes="0 3 3"), "a.nrrd"),
    "zero spacing": (lambda d: nrrd(d / "a.nrrd", directions="(0,0,0) (0,1,0) (0,0,1)"), "a.nrrd"),
    "NaN spacing": (lambda d: nrrd(d / "a.nrrd", directions="(nan,0,0) (0,1,0) (0,0,1)"), "a.nrrd"),
    "flat directions": (lambda d: nrrd(d / "a.nrrd", directions="(1,0,0) (1,0,0) (0,0,1)"), "a.nrrd"),
    "absurd size": (lambda d: nrrd(d / "a.nrrd", sizes="60000 60000 60000"), "claims"),
    "absurd nifti": (lambda d: patched_nifti(d / "a.nii", 42, struct.pack("<3h", *[32000] * 3)), "claims"),
    "size beyond the data": (lambda d: nrrd(d / "a.nrrd", sizes="9 9 9"), "cut off"),
    "complex": (lambda d: image(d / "a.nrrd", noise().astype(np.complex64)), "complex"),
    "voxels elsewhere": (lambda d: nrrd(d / "a.nhdr", b"", more="data file: nothing.raw\n"), "a.nhdr"),
    "sform of another scale": (lambda d: nifti_of_sform(d / "a.nii", 2), "contradicts itself"),
    "sform of NaN": (lambda d: nifti_of_sform(d / "a.nii", np.nan), "contradicts itself"),
    "voxel size 0": (lambda d: patched_nifti(d / "a.nii", 80, struct.pack("<f", 0)), "voxel size"),
    "voxel size NaN": (lambda d: patched_nifti(d / "a.nii", 80, struct.pack("<f", np.nan)), "voxel size"),
    "voxel size below 0": (lambda d: patched_nifti(d / "a.nii", 84, struct.pack("<f", -1)), "voxel size"),
    "RGB nifti": (lambda d: patched_nifti(d / "a.nii", 70, struct.pack("<2h", 128, 24)), "RGB"),
    "complex nifti": (lambda d: patched_nifti(d / "a.nii", 70, struct.pack("<2h", 32, 64)), "complex"),
    "unknown type": (lambda d: patched_nifti(d / "a.nii", 70, struct.pack("<2h", 77, 16)), "type 77"),
    "NIfTI-1 that says NIfTI-2": (lambda d: patched_nifti(d / "a.nii", 0, struct.pack("<i", 540)), "NIfTI"),
    "NIfTI pair": (lambda d: patched_nifti(d / "a.nii", 344, b"ni1\0"), "pair"),
    "Analyze": (lambda d: patched_nifti(d / "a.nii", 344, bytes(4)), "not a volume"),
    "no dimension": (lambda d: patched_nifti(d / "a.nii", 40, struct.pack("<h", 99)), "99 dimensions"),
    "nifti without voxels": (lambda d: patched_nifti(d / "a.nii", 42, struct.pack("<h", 0)), "no voxels"),
    "nifti of negative size": (lambda d: patched_nifti(d / "a.nii", 42, struct.pack("<h", -4)), "no voxels"),
    "voxels start nowhere": (lambda d: patched_nifti(d / "a.nii", 108, struct.pack("<f", np.inf)), "byte inf"),
    "voxels start in the header": (lambda d: patched_nifti(d / "a.nii", 108, struct.pack("<f", 0)), "set vox_offset"),
    "voxels start late": (lambda d: patched_nifti(d / "a.nii", 108, struct.pack("<f", 400)), "cut off"),
    "two-dimensional nifti": (lambda d: image(d / "a.nii", noise((8, 8))), "2D"),
    "last voxel is NaN": (lambda d: image(d / "a.nii", last_voxel(np.nan)), r"1 voxels.*\(2, 2, 2\)"),
    "wrong checksum": (lambda d: wrong_checksum(d / "a.nii.gz"), "damaged"),
    "RGB nrrd": (lambda d: rgb(d / "a.nrrd"), "RGB"),
    "mha without voxels": (lambda d: mha(d / "a.mha", b"DimSize = 5", b"DimSize = 0"), "no voxels"),
    "mha of negative spacing": (lambda d: mha(d / "a.mha", b"Spacing = 1", b"Spacing = -1"), "spacing"),
    "mha without axes": (lambda d: mha(d / "a.mha", b"Matrix = 1", b"Matrix = 0"), "axes"),
    "DICOM file": (lambda d: bytes_at(d / "a.dcm", bytes(128) + b"DICM"), "name the folder"),
    # Names that stand for something else than a file.
    "a pipe": (lambda d: content_at(d / "a.nii", Pipe()), "a.nii.*(pipe|plain file)"),
    "a pipe packed": (lambda d: content_at(d / "a.nii.gz", Pipe()), "a.nii.gz.*(pipe|plain file)"),
    "a pipe as NRRD": (lambda d: content_at(d / "a.nrrd", Pipe()), "a.nrrd.*(pipe|plain file)"),
    "a pipe as MetaImage": (lambda d: content_at(d / "a.mha", Pipe()), "a.mha.*(pipe|plain file)"),
    "a device without end": (lambda d: content_at(d / "a.nii", Link("/dev/zero")), "a.nii.*(device|plain file)"),
    "a device as NRRD": (lambda d: content_at(d / "a.nrrd", Link("/dev/zero")), "a.nrrd.*(device|plain file)"),
    "a link to nothing": (lambda d: content_at(d / "a.nii", Link("nothing")), "a.nii does not exist"),
    "a link to itself": (lambda d: content_at(d / "a.nii", Link("a.nii")), "a.nii"),
    # Files without end, and files that claim more than they hold.
    "9 GB of nothing": (lambda d: content_at(d / "a.nii", Sparse(NINE_GB)), "a.nii"),
    "9 GB of nothing as NRRD": (lambda d: content_at(d / "a.nrrd", Sparse(NINE_GB)), "not a volume"),
    "9 GB of nothing as MetaImage": (lambda d: content_at(d / "a.mha", Sparse(NINE_GB)), "not a volume"),
    "9 GB of nothing packed": (lambda d: content_at(d / "a.nii.gz", Sparse(NINE_GB)), "a.nii.gz"),
    "10 GB behind the voxels": (lambda d: content_at(d / "a.nii.gz", endless_gzip(nifti1())), "a.nii.gz.*damaged"),
    "10 GB behind the voxels of an NRRD": (
        lambda d: content_at(d / "a.nrrd", endless_gzip_behind(own_nrrd(b"", encoding="gzip"), bytes(240))),
        "a.nrrd.*damaged",
    ),
    "text behind a gzip": (
        lambda d: bytes_at(d / "a.nii.gz", gzip.compress(nifti1()) + b"hello" * 99),
        "a.nii.gz.*damaged",
    ),
    "voxels start at 2^31": (lambda d: patched_nifti(d / "a.nii", 108, struct.pack("<f", 2**31)), "a.nii"),
    "NIfTI-2 of 2^62 voxels": (
        lambda d: bytes_at(d / "a.nii", _with(nifti2(), 24, "3q", 1 << 31, 1 << 31, 1)),
        "claims",
    ),
    "NIfTI-2 of negative size": (lambda d: bytes_at(d / "a.nii", _with(nifti2(), 24, "3q", -4, 5, 6)), "a.nii"),
    "NIfTI-2 cut": (lambda d: bytes_at(d / "a.nii", nifti2()[:-9]), "cut off"),
    "NIfTI-2 whose voxels start at -8": (lambda d: bytes_at(d / "a.nii", _with(nifti2(), 168, "q", -8)), "a.nii"),
    # Damage.
    "one bit of a packed NRRD": (lambda d: bytes_at(d / "a.nrrd", _flipped(_packed_nrrd(), -40)), "damaged"),
    "one bit of the checksum of an NRRD": (lambda d: bytes_at(d / "a.nrrd", _flipped(_packed_nrrd(), -6)), "damaged"),
    "one bit of the length of an NRRD": (lambda d: bytes_at(d / "a.nrrd", _flipped(_packed_nrrd(), -2)), "damaged"),
    "one bit of a packed MetaImage": (lambda d: bytes_at(d / "a.mha", _flipped(_packed_meta(), -40)), "damaged"),
    "one bit of the checksum of a MetaImage": (
        lambda d: bytes_at(d / "a.mha", _flipped(_packed_meta(), -2)),
        "damaged",
    ),
    "a MetaImage that cannot be unpacked": (
        lambda d: bytes_at(d / "a.mha", meta(b"\x78\x9c" + b"garbage" * 9, CompressedData="True")),
        "a.mha.*damaged",
    ),
    "a MetaImage cut": (lambda d: bytes_at(d / "a.mha", _packed_meta()[:-30]), "a.mha.*(cut off|damaged)"),
    # Headers of NRRD.
    "a type of 5,000 letters": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(type="a" * 5000)), "a.nrrd.*type"),
    **{
        f"{n} dimensions in NRRD": (lambda d, n=n: bytes_at(d / "a.nrrd", own_nrrd(dimension=str(n))), "a.nrrd")
        for n in (0, -1, 100, 65536, 2**31)
    },
    "a size of 2^32": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(sizes="4294967296 4294967296 1")), "a.nrrd"),
    "a size of 5,000 digits": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(sizes="9" * 5000 + " 1 1")), "a.nrrd"),
    "two sizes for three axes": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(sizes="6 5")), "a.nrrd.*sizes"),
    "an unknown encoding": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(encoding="zrl")), "a.nrrd.*encoding"),
    "an unknown byte order": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(endian="middle")), "a.nrrd.*order"),
    "a header of one line": (lambda d: bytes_at(d / "a.nrrd", b"NRRD0004\nkey:=" + b"x" * (1 << 21)), "a.nrrd"),
    "a header without end": (lambda d: bytes_at(d / "a.nrrd", own_nrrd().partition(b"\n\n")[0]), "a.nrrd"),
    "a field twice": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(None, "sizes: 6 5 4")), "a.nrrd.*twice"),
    "no vectors but words": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(space_directions="a b c")), "a.nrrd"),
    "an infinite origin": (lambda d: bytes_at(d / "a.nrrd", own_nrrd(space_origin="(inf,0,0)")), "a.nrrd"),
    # Headers of MetaImage.
    **{
        f"{n} dimensions in MetaImage": (lambda d, n=n: bytes_at(d / "a.mha", meta(NDims=str(n))), "a.mha")
        for n in (0, -1, 100, 65536, 2**31)
    },
    "a MetaImage of 5,000 letters": (
        lambda d: bytes_at(d / "a.mha", meta(ElementType="MET_" + "a" * 5000)),
        "a.mha.*type",
    ),
    "a MetaImage of 2^31 channels": (
        lambda d: bytes_at(d / "a.mha", meta(ElementNumberOfChannels=str(2**31))),
        "a.mha",
    ),
    "a MetaImage of negative size": (lambda d: bytes_at(d / "a.mha", meta(DimSize="-6 5 4")), "a.mha"),
    "a MetaImage that packs less than it says": (
        lambda d: bytes_at(d / "a.mha", packed_meta(bytes(100))),
        "a.mha.*(cut off|damaged)",
    ),
    "a MetaImage that packs more than it says": (
        lambda d: bytes_at(d / "a.mha", packed_meta(bytes(1000))),
        "a.mha.*damaged",
    ),
    "a MetaImage of text": (lambda d: bytes_at(d / "a.mha", meta(b"1 2 three", BinaryData="False")), "a.mha"),
    # Data elsewhere.
    "data of the system": (lambda d: bytes_at(d / "a.nhdr", own_nrrd(b"", data_file="/etc/passwd")), "a.nhdr"),
    "data in another folder": (lambda d: bytes_at(d / "a.nhdr", own_nrrd(b"", data_file="../a.raw")), r"\.\./a.raw"),
    "data behind a link": (
        lambda d: (
            content_at(d / "a.raw", Link("/etc/passwd")),
            bytes_at(d / "a.nhdr", own_nrrd(b"", data_file="a.raw")),
        )[1],
        "link",
    ),
    "data from a pipe": (
        lambda d: (content_at(d / "a.raw", Pipe()), bytes_at(d / "a.nhdr", own_nrrd(b"", data_file="a.raw")))[1],
        "a.raw.*(pipe|plain file)",
    ),
    "data of MetaImage elsewhere": (
        lambda d: bytes_at(d / "a.mhd", meta(b"", ElementDataFile="/etc/passwd")),
        "/etc/passwd",
    ),
    "data of MetaImage in another folder": (
        lambda d: bytes_at(d / "a.mhd", meta(b"", ElementDataFile="../a.raw")),
        r"\.\./a.raw",
    ),
    "names that are instructions": (
        lambda d: bytes_at(d / "a.nhdr", own_nrrd(b"", data_file="%s%n%s%n.raw 1 3 1")),
        "a.nhdr",
    ),
    "names of MetaImage that are instructions": (
        lambda d: bytes_at(d / "a.mhd", meta(b"", ElementDataFile="%s%n%s%n.raw 1 3 1")),
        "a.mhd",
    ),
    "2^31 data files": (
        lambda d: bytes_at(d / "a.nhdr", own_nrrd(b"", data_file="p%d.raw 0 2147483647 1")),
        "a.nhdr",
    ),
    "steps of 0 between data files": (
        lambda d: bytes_at(d / "a.mhd", meta(b"", ElementDataFile="p%d.raw 0 3 0")),
        "a.mhd",
    ),
    "packed data cut": (
        lambda d: (
            bytes_at(d / "a.raw.gz", gzip.compress(bytes(240))[:-9]),
            bytes_at(d / "a.nhdr", own_nrrd(b"", encoding="gzip", data_file="a.raw.gz")),
        )[1],
        "(cut off|damaged)",
    ),
    "a name that is no UTF-8": (lambda d: bytes_at(d / os.fsdecode(b"\xff.nii"), b"hello" * 99), "not a volume"),
    "a name of 300 letters": (lambda d: d / ("a" * 300 + ".nii"), "(too long|does not exist|cannot be read)"),
    "a name with a zero byte": (lambda d: d / "a\0b.nii", "cannot be read"),
}


def _with(content: bytes, offset: int, kind: str, *numbers: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into("<" + kind, changed, offset, *numbers)
    return bytes(changed)


def _flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 4
    return bytes(changed)


def _packed_nrrd() -> bytes:
    return own_nrrd(gzip.compress(voxels("i2", 4, 5, 6).tobytes()), encoding="gzip")


def _packed_meta() -> bytes:
    return packed_meta(voxels("i2", 4, 5, 6).tobytes())


def use(path, _):
    """Read a volume."""
    from DeepSegmentLib.files.volumes import read_volume

    read_volume(path)
