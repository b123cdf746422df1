"""One bit turned over in compressed voxels: refused, or read with the same voxels (a bit of a time stamp)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from ..cases import Case
from ..door import Door, OtherVoxelsError
from .metaimage import meta
from .nifti import nifti1
from .nrrd import SEGMENTS, nrrd

SIZE = 96
_EXTENT = " ".join([str(SIZE)] * 3)


@cache
def labels() -> np.ndarray:
    """Labels (k, j, i) of five smooth structures, which compress as real ones do."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(SIZE,) * 3), 3)
    return np.digitize(smooth, np.quantile(smooth, (0.5, 0.7, 0.8, 0.9, 0.96))).astype(np.uint8)


def _gzip() -> bytes:
    return gzip.compress(labels().tobytes(), 6, mtime=0)


def _nifti() -> dict[str, bytes]:
    head = nifti1("u1", (SIZE,) * 3)[:352]
    return {"a.nii.gz": gzip.compress(head + labels().tobytes(), 6, mtime=0)}


def _nrrd() -> dict[str, bytes]:
    return {"a.nrrd": nrrd(_gzip(), type="uchar", encoding="gzip", sizes=_EXTENT)}


def _segmentation() -> dict[str, bytes]:
    named = [f"Segment{n}_{key}:={value}" for n in range(5) for key, value in _row(n)]
    return {"a.seg.nrrd": nrrd(_gzip(), *named, SEGMENTS[-2], type="uchar", encoding="gzip", sizes=_EXTENT)}


def _row(n: int) -> tuple[tuple[str, str], ...]:
    return ("ID", f"s{n}"), ("Name", f"s{n}"), ("Color", "1 0 0"), ("LabelValue", str(n + 1)), ("Layer", "0")


def _nhdr() -> dict[str, bytes]:
    head = nrrd(b"", type="uchar", encoding="gzip", sizes=_EXTENT, data_file="a.raw.gz")
    return {"a.nhdr": head, "a.raw.gz": _gzip()}


def _meta(**changes: str) -> tuple[bytes, bytes]:
    small = zlib.compress(labels().tobytes())
    fields = {
        "CompressedData": "True",
        "CompressedDataSize": str(len(small)),
        "ElementType": "MET_UCHAR",
        "DimSize": _EXTENT,
    }
    return meta(b"", **fields, **changes), small


def _mha() -> dict[str, bytes]:
    return {"a.mha": b"".join(_meta())}


def _mhd() -> dict[str, bytes]:
    head, small = _meta(ElementDataFile="a.zraw")
    return {"a.mhd": head, "a.zraw": small}


def _start(name: str, content: bytes) -> int:
    """Where the compressed voxels begin."""
    mark = {".nrrd": b"\n\n", ".mha": b"LOCAL\n"}.get(name[name.rindex(".") :])
    return content.index(mark) + len(mark) if mark else 0


def flip(random: Random, seeds: Sequence[Case]) -> Case:
    """One bit of the last file, behind its header."""
    (seed,) = seeds
    name, content = list(seed.files.items())[-1]
    at = random.randrange(8 * _start(name, content), 8 * len(content))
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    return Case({**seed.files, name: bytes(changed)}, note=f"bit {at} of {8 * len(content)}")


def compare(folder: Path, case: Case) -> None:
    """Read the voxels, and compare them with those that were packed.

    Raises:
        OtherVoxelsError: They differ.
    """
    from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
    from DeepSegmentLib.files.volumes import read_volume

    path = folder / next(iter(case.files))
    read = read_labelmap(path).layers if path.name.endswith(".seg.nrrd") else read_volume(path).voxels
    wrong = int((read[0] != labels()).sum())
    if wrong:
        raise OtherVoxelsError(f"{wrong} of {labels().size} voxels differ")


_FORMATS = {"nii.gz": _nifti, "nrrd": _nrrd, "seg.nrrd": _segmentation, "nhdr": _nhdr, "mha": _mha, "mhd": _mhd}
DOORS = tuple(Door(f"flips-{name}", lambda make=make: [Case(make())], flip, compare) for name, make in _FORMATS.items())
