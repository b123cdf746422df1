"""Makers of files, one function each."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from fuzz.cases import Case

if TYPE_CHECKING:
    from pathlib import Path

    from fuzz.cases import Content

NRRD = (
    "NRRD0004\ntype: {type}\ndimension: {dimension}\nspace: left-posterior-superior\nsizes: {sizes}\n"
    "space directions: {directions}\nspace origin: (0,0,0)\nendian: little\nencoding: raw\n{more}\n"
)
SOUND = {
    "type": "short",
    "dimension": 3,
    "sizes": "3 3 3",
    "directions": "(1,0,0) (0,1,0) (0,0,1)",
    "more": "",
}


def image(path: Path, voxels: np.ndarray, **more) -> Path:
    """A file written by SimpleITK."""
    picture = sitk.GetImageFromArray(voxels, isVector=more.pop("vector", False))
    if "spacing" in more:
        picture.SetSpacing(more["spacing"])
    sitk.WriteImage(picture, str(path))
    return path


def nrrd(path: Path, data: bytes = bytes(54), **changes) -> Path:
    """An NRRD file with a header of our own."""
    path.write_bytes(NRRD.format(**SOUND | changes).encode() + data)
    return path


def cut(path: Path, part: float) -> Path:
    """The first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def patched_nifti(path: Path, offset: int, content: bytes) -> Path:
    """A NIfTI file with some bytes of its header replaced (offsets: nifti1.h)."""
    image(path, np.ones((4, 4, 4), np.int16))
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(content)] = content
    path.write_bytes(bytes(raw))
    return path


def noise(shape=(8, 8, 8), kind=np.float32):
    """Voxels that do not compress."""
    return np.random.default_rng(0).normal(0, 1000, shape).astype(kind)


def with_value(value: float) -> np.ndarray:
    """Voxels with one odd value at (1, 2, 3)."""
    voxels = noise()
    voxels[1, 2, 3] = value
    return voxels


def nifti_of_sform(path: Path, change: float) -> Path:
    """A NIfTI file with an sform alone, whose axes are `change` times as long as the voxel sizes say."""
    patched_nifti(path, 252, struct.pack("<2h", 0, 1))
    raw = bytearray(path.read_bytes())
    axes = np.hstack([np.eye(3) * change, np.zeros((3, 1))])
    raw[280:328] = struct.pack("<12f", *axes.ravel())
    path.write_bytes(bytes(raw))
    return path


def mha(path: Path, old: bytes, new: bytes) -> Path:
    """A MetaImage file with some words of its header replaced."""
    content = image(path, np.ones((3, 4, 5), np.int16)).read_bytes()
    path.write_bytes(content.replace(old, new))
    return path


def last_voxel(value: float) -> np.ndarray:
    """An odd number of voxels, of which the last is odd too."""
    voxels = noise((3, 3, 3))
    voxels[-1, -1, -1] = value
    return voxels


def rgb(path: Path) -> Path:
    content = image(path, np.zeros((2, 2, 2, 3), np.uint8), vector=True).read_bytes()
    path.write_bytes(content.replace(b"kinds: vector", b"kinds: RGB-color"))
    return path


def wrong_checksum(path: Path) -> Path:
    content = bytearray(image(path, noise()).read_bytes())
    content[-7] ^= 255
    path.write_bytes(bytes(content))
    return path


def bytes_at(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def made(path: Path) -> Path:
    path.mkdir()
    return path


def content_at(path: Path, content: Content) -> Path:
    """A file, a pipe, a link, or a file without end."""
    Case({path.name: content}).write(path.parent)
    return path
