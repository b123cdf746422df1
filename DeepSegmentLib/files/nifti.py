"""What ITK's NIfTI reader passes over in silence: missing voxels (it fills in zeros) and NaN (it writes zeros).

References:
    NIfTI-1 and NIfTI-2 standards, nifti1.h and nifti2.h (offsets and data types of the header).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 8 << 20
_FLOATS = {16: "f4", 64: "f8"}


@dataclass(frozen=True)
class _Header:
    order: str  # "<" or ">"
    shape: tuple[int, ...]
    datatype: int
    bits: int
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.bits // 8


def check_nifti(path: Path) -> None:
    """Read a NIfTI file from end to end and refuse one with missing or not finite voxels.

    Args:
        path: `.nii` or `.nii.gz`, whose header SimpleITK can read.

    Raises:
        VolumeFileError: The file is cut off or damaged, or holds NaN or infinity.
    """
    try:
        with _opened(path) as file:
            header = _parse(file.read(540), path)
            file.seek(header.offset)
            _check_voxels(file, header, path)
    except (OSError, EOFError, zlib.error) as error:
        raise VolumeFileError(f"{path} is damaged or cut off: {error}; copy it again") from error


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _parse(head: bytes, path: Path) -> _Header:
    for order in "<>":
        size = struct.unpack_from(order + "i", head)[0] if len(head) >= 348 else 0
        if size == 348:
            count, *dim = struct.unpack_from(order + "8h", head, 40)
            datatype, bits = struct.unpack_from(order + "2h", head, 70)
            offset = int(struct.unpack_from(order + "f", head, 108)[0])
            return _Header(order, tuple(dim[:count]), datatype, bits, offset)
        if size == 540:
            datatype, bits = struct.unpack_from(order + "2h", head, 12)
            count, *long_dim = struct.unpack_from(order + "8q", head, 16)
            offset = struct.unpack_from(order + "q", head, 168)[0]
            return _Header(order, tuple(long_dim[:count]), datatype, bits, offset)
    raise VolumeFileError(f"{path} is not a volume that can be read: it has no NIfTI header")


def _check_voxels(file: BinaryIO, header: _Header, path: Path) -> None:
    kind = _FLOATS.get(header.datatype)
    seen, bad, first = 0, 0, -1
    while chunk := file.read(_CHUNK):
        part = chunk[: max(0, header.size - seen)]
        if kind:
            wrong = ~np.isfinite(np.frombuffer(part[: len(part) // 8 * 8], header.order + kind))
            if wrong.any() and not bad:
                first = seen // (header.bits // 8) + int(wrong.argmax())
            bad += int(wrong.sum())
        seen += len(part)
    if seen < header.size:
        raise VolumeFileError(
            f"{path} is damaged or cut off: {seen} of {header.size} bytes of voxels are there; copy it again"
        )
    if bad:
        place = np.unravel_index(first, tuple(reversed(header.shape)))[-3:]
        raise VolumeFileError(
            f"{path} holds {bad} NaN or infinite voxels, the first at index (k, j, i) = "
            f"({', '.join(str(int(n)) for n in place)}); replace them first"
        )
