"""NIfTI-1 and NIfTI-2, plain and packed."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..cases import Case, Repeated, Sparse
from ..door import NINE_GB, Door, by_name, endless_gzip, head_first, odd_cases, packed

_CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768}


def voxels(kind: str, *shape: int) -> np.ndarray:
    """Numbers that do not repeat."""
    return np.random.default_rng(0).integers(0, 100, shape).astype(kind)


def nifti1(kind: str = "i2", shape: Sequence[int] = (4, 5, 6), order: str = "<", **fields: float) -> bytes:
    """A NIfTI-1 file (offsets: nifti1.h)."""
    head = bytearray(352)
    dims = (len(shape), *shape[::-1], *[1] * (7 - len(shape)))
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, *dims)
    struct.pack_into(order + "2h", head, 70, _CODES[kind], 8 * np.dtype(kind).itemsize)
    struct.pack_into(order + "8f", head, 76, 1, 1, 1, 1.5, 1, 1, 1, 1)
    struct.pack_into(order + "3f", head, 108, fields.get("offset", 352), fields.get("slope", 1), 0)
    head[123] = 10
    struct.pack_into(order + "2h", head, 252, 1, 1)
    struct.pack_into(order + "6f", head, 256, 0, 0, 0, -3, -4, -5)
    struct.pack_into(order + "12f", head, 280, 1, 0, 0, -3, 0, 1, 0, -4, 0, 0, 1.5, -5)
    head[344:348] = b"n+1\0"
    return bytes(head) + voxels(order + kind, *shape).tobytes()


def nifti2(kind: str = "i2", shape: Sequence[int] = (4, 5, 6), order: str = "<", offset: int = 544) -> bytes:
    """A NIfTI-2 file (offsets: nifti2.h)."""
    head = bytearray(544)
    dims = (len(shape), *shape[::-1], *[1] * (7 - len(shape)))
    struct.pack_into(order + "i", head, 0, 540)
    head[4:12] = b"n+2\0\r\n\x1a\n"
    struct.pack_into(order + "2h", head, 12, _CODES[kind], 8 * np.dtype(kind).itemsize)
    struct.pack_into(order + "8q", head, 16, *dims)
    struct.pack_into(order + "8d", head, 104, 1, 1, 1, 1.5, 1, 1, 1, 1)
    struct.pack_into(order + "q2d", head, 168, offset, 1, 0)
    struct.pack_into(order + "2i", head, 344, 1, 1)
    struct.pack_into(order + "6d", head, 352, 0, 0, 0, -3, -4, -5)
    struct.pack_into(order + "12d", head, 400, 1, 0, 0, -3, 0, 1, 0, -4, 0, 0, 1.5, -5)
    struct.pack_into(order + "2i", head, 496, 0, 10)
    return bytes(head) + voxels(order + kind, *shape).tobytes()


def plain_seeds() -> list[Case]:
    """Types, orders of bytes, scaled numbers, a sequence."""
    made = (nifti1(), nifti1("f4"), nifti1("u1", order=">"), nifti1("i2", slope=0.5), nifti1("u2", (3, 4, 5, 6)))
    return [Case({"a.nii": content}) for content in made]


def packed_seeds() -> list[Case]:
    """The same, packed."""
    return [Case({"a.nii.gz": gzip.compress(case.files["a.nii"], mtime=0)}) for case in plain_seeds()]


def second_seeds() -> list[Case]:
    """NIfTI-2."""
    made = (nifti2(), nifti2("f4"), nifti2("i2", order=">"), nifti2("u1", (3, 4, 5, 6)))
    files = [Case({"a.nii": content}) for content in made]
    return [*files, Case({"a.nii.gz": gzip.compress(made[0], mtime=0)})]


def _patched(content: bytes, offset: int, kind: str, *numbers: float) -> bytes:
    changed_bytes = bytearray(content)
    struct.pack_into("<" + kind, changed_bytes, offset, *numbers)
    return bytes(changed_bytes)


def plain_hostile() -> list[Case]:
    """Sizes and places beyond the file."""
    sound = nifti1()
    made = {
        "voxels start at 2^31": _patched(sound, 108, "f", 2.0**31),
        "voxels start before 0": _patched(sound, 108, "f", -1e30),
        "voxels start nowhere": _patched(sound, 108, "f", float("nan")),
        "more voxels than memory": _patched(sound, 42, "3h", 32767, 32767, 32767),
        "2^15 frames": _patched(sound, 40, "8h", 7, 6, 5, 4, 32767, 32767, 32767, 32767),
        "thin voxels": _patched(_patched(sound, 80, "3f", 1e-30, 1, 1), 252, "2h", 0, 0),
        "scaled beyond float": _patched(sound, 112, "2f", 1e38, 1e38),
        "scaled by NaN": _patched(sound, 112, "2f", float("nan"), 0),
        "a quaternion too long": _patched(_patched(sound, 256, "3f", 9e9, 9e9, 9e9), 252, "2h", 1, 0),
        "9 GB of nothing": Sparse(NINE_GB, sound[:352]),
        "9 GB that are claimed": Sparse(NINE_GB, _patched(sound[:352], 42, "3h", 16500, 16500, 16)),
    }
    return [
        *_named(made, "a.nii"),
        *odd_cases(Case({"a.nii": sound}), "a.nii"),
        Case({"\udcff.nii": sound}, note="latin"),
    ]


def packed_hostile() -> list[Case]:
    """Streams without end."""
    sound, whole = nifti1(), gzip.compress(nifti1(), mtime=0)
    zeros = gzip.compress(bytes(1 << 24), mtime=0)
    claimed = _patched(sound[:352], 42, "3h", 1600, 1600, 1000)
    made = {
        "10 GB behind the voxels": endless_gzip(sound),
        "10 GB of further members": Repeated(whole, zeros, 640),
        "endless header": endless_gzip(b""),
        "5 GB that are there": endless_gzip(claimed, 5),
        "garbage behind": whole + b"garbage" * 99,
        "wrong checksum": whole[:-8] + b"\0\0\0\0" + whole[-4:],
        "wrong length": whole[:-4] + b"\0\0\0\0",
        "9 GB of nothing": Sparse(NINE_GB, whole),
    }
    return [*_named(made, "a.nii.gz"), *odd_cases(Case({"a.nii.gz": whole}), "a.nii.gz")]


def second_hostile() -> list[Case]:
    """64-bit sizes."""
    sound = nifti2()
    made = {
        "2^62 voxels": _patched(sound, 24, "3q", 1 << 31, 1 << 31, 1),
        "2^63 voxels": _patched(sound, 24, "3q", 1 << 62, 2, 2),
        "negative": _patched(sound, 24, "3q", -1, -1, 4),
        "voxels start at 2^62": _patched(sound, 168, "q", 1 << 62),
        "voxels start at -8": _patched(sound, 168, "q", -8),
        "spacing 1e308": _patched(sound, 112, "3d", 1e308, 1e308, 1e308),
    }
    return _named(made, "a.nii")


def _named(made: dict, name: str) -> list[Case]:
    return [Case({name: content}, note=note) for note, content in made.items()]


def read(folder: Path, case: Case) -> None:
    """Read a volume or its frames."""
    from DeepSegmentLib.errors import VolumeFileError
    from DeepSegmentLib.files.volumes import read_frames, read_volume

    path = folder / next(iter(case.files), "a.nii")
    try:
        read_volume(path)
    except VolumeFileError as error:
        if "frames" not in str(error):
            raise
        for _, _ in zip(range(20), read_frames(path), strict=False):
            pass


_WHOLE = head_first(352)
DOORS = (
    Door("nii", plain_seeds, by_name({".nii": _WHOLE}), read, plain_hostile),
    Door("nii.gz", packed_seeds, by_name({".nii.gz": packed(_WHOLE)}), read, packed_hostile),
    Door(
        "nifti-2",
        second_seeds,
        by_name({".nii": head_first(544), ".gz": packed(head_first(544))}),
        read,
        second_hostile,
    ),
)
