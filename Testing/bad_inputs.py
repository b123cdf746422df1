"""Makers of files and folders that must be refused, one function each."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.service.export import ExportCase, ExportSettings

if TYPE_CHECKING:
    from pathlib import Path

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


def _rgb(path: Path) -> Path:
    content = image(path, np.zeros((2, 2, 2, 3), np.uint8), vector=True).read_bytes()
    path.write_bytes(content.replace(b"kinds: vector", b"kinds: RGB-color"))
    return path


def _wrong_checksum(path: Path) -> Path:
    content = bytearray(image(path, noise()).read_bytes())
    content[-7] ^= 255
    path.write_bytes(bytes(content))
    return path


VOLUMES = {
    # name: (maker, what the message must say)
    "missing": (lambda d: d / "nothing.nii.gz", "does not exist"),
    "folder as file": (lambda d: _made(d / "a.nii.gz"), "is a folder"),
    "empty nifti": (lambda d: _bytes(d / "a.nii.gz", b""), "empty"),
    "empty nrrd": (lambda d: _bytes(d / "a.nrrd", b""), "empty"),
    "unknown suffix": (lambda d: _bytes(d / "a.txt", b"hello"), "unknown suffix"),
    "picture": (lambda d: _bytes(d / "a.png", b"\x89PNG\r\n"), "unknown suffix"),
    "text named nifti": (lambda d: _bytes(d / "a.nii", b"hello world" * 99), "not a volume"),
    "text named nifti gz": (lambda d: _bytes(d / "a.nii.gz", b"hello world" * 99), "not a volume"),
    "text named nrrd": (lambda d: _bytes(d / "a.nrrd", b"hello world" * 99), "not a volume"),
    "text named mha": (lambda d: _bytes(d / "a.mha", b"hello world" * 99), "not a volume"),
    "gzip of nothing": (lambda d: _bytes(d / "a.nii.gz", gzip.compress(b"")), "not a volume"),
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
    "NIfTI-1 that says NIfTI-2": (lambda d: patched_nifti(d / "a.nii", 0, struct.pack("<i", 540)), "no NIfTI file"),
    "NIfTI pair": (lambda d: patched_nifti(d / "a.nii", 344, b"ni1\0"), "pair"),
    "Analyze": (lambda d: patched_nifti(d / "a.nii", 344, bytes(4)), "not a volume"),
    "no dimension": (lambda d: patched_nifti(d / "a.nii", 40, struct.pack("<h", 99)), "99 dimensions"),
    "nifti without voxels": (lambda d: patched_nifti(d / "a.nii", 42, struct.pack("<h", 0)), "no voxels"),
    "nifti of negative size": (lambda d: patched_nifti(d / "a.nii", 42, struct.pack("<h", -4)), "no voxels"),
    "voxels start nowhere": (lambda d: patched_nifti(d / "a.nii", 108, struct.pack("<f", np.inf)), "byte inf"),
    "voxels start late": (lambda d: patched_nifti(d / "a.nii", 108, struct.pack("<f", 400)), "cut off"),
    "two-dimensional nifti": (lambda d: image(d / "a.nii", noise((8, 8))), "2D"),
    "last voxel is NaN": (lambda d: image(d / "a.nii", last_voxel(np.nan)), r"1 voxels.*\(2, 2, 2\)"),
    "wrong checksum": (lambda d: _wrong_checksum(d / "a.nii.gz"), "damaged"),
    "RGB nrrd": (lambda d: _rgb(d / "a.nrrd"), "RGB"),
    "mha without voxels": (lambda d: mha(d / "a.mha", b"DimSize = 5", b"DimSize = 0"), "no voxels"),
    "mha of negative spacing": (lambda d: mha(d / "a.mha", b"Spacing = 1", b"Spacing = -1"), "spacing"),
    "mha without axes": (lambda d: mha(d / "a.mha", b"Matrix = 1", b"Matrix = 0"), "axes"),
    "DICOM file": (lambda d: _bytes(d / "a.dcm", bytes(128) + b"DICM"), "name the folder"),
}

LABELMAPS = {
    "fractions": (lambda d: image(d / "a.nii.gz", noise() ** 2 / 1e6 + 0.5), "fractions"),
    "negative labels": (lambda d: image(d / "a.nii.gz", np.full((2, 2, 2), -1, np.int16)), "0 to 65535"),
    "labels too large": (lambda d: image(d / "a.nii.gz", np.full((2, 2, 2), 70000, np.int32)), "0 to 65535"),
    "two values a voxel": (
        lambda d: image(d / "a.nrrd", np.ones((2, 2, 2, 2), np.uint8), vector=True),
        "values a voxel",
    ),
    "broken table": (lambda d: _with_table(d, "{"), "no JSON that can be read"),
    "table without segments": (lambda d: _with_table(d, "{}"), "table of labels"),
    "table with a bad colour": (
        lambda d: _with_table(d, '{"segments": [{"name": "a", "value": 1, "color": [1, 2, 999]}]}'),
        "colour",
    ),
    "table with a value twice": (
        lambda d: _with_table(
            d, '{"segments": [' + ", ".join(['{"name": "a", "value": 1, "color": [1, 2, 3]}'] * 2) + "]}"
        ),
        "share",
    ),
    "seg.nrrd cut": (lambda d: cut(image(d / "a.seg.nrrd", noise(kind=np.uint8)), 0.6), "cut off"),
    "seg.nrrd of floats": (lambda d: image(d / "a.seg.nrrd", noise()), "whole numbers"),
    "seg.nrrd without a colour": (lambda d: nrrd(d / "a.seg.nrrd", more="Segment0_ID:=x\n"), "Color"),
    "seg.nrrd with a bad colour": (
        lambda d: nrrd(d / "a.seg.nrrd", more="Segment0_ID:=x\nSegment0_Name:=x\nSegment0_Color:=red\n"),
        "red",
    ),
    "seg.nrrd with a bad layer": (
        lambda d: nrrd(
            d / "a.seg.nrrd", more="Segment0_ID:=x\nSegment0_Name:=x\nSegment0_Color:=1 0 0\nSegment0_Layer:=7\n"
        ),
        "layer 7",
    ),
    "seg.nrrd missing": (lambda d: d / "nothing.seg.nrrd", "does not exist"),
}


EXPORTS = {
    # name: (maker of case, name of the target and settings; what the message must say)
    "labels on another grid": (lambda _: export(grid=SHIFTED), "not on the volume's grid"),
    "labels without a segment": (lambda _: export(segments=(Segment("a", 1),)), r"belong to no segment: 2 \(layer 0\)"),
    "no segments": (lambda _: export(segments=()), "has no segments"),
    "a name of nothing": (lambda _: export(case="///"), "no name for a case"),
    "wrong suffix for CSV": (lambda _: export("csv", "a.txt"), "unknown suffix"),
    "wrong suffix for DICOM SEG": (lambda _: export("dicom-seg", "a.nii.gz"), "unknown suffix"),
    "wrong suffix for .seg.nrrd": (lambda _: export("seg-nrrd", "a.nrrd"), "unknown suffix"),
    "DICOM SEG without slices": (lambda _: export("dicom-seg", "a.dcm"), "give the folder of the series"),
    "overlap in NIfTI": (lambda _: export("nifti", "out", overlap=True), "overlap"),
    "overlap in nnU-Net": (lambda _: export("nnunet", "Dataset501_Test", overlap=True), "overlap"),
    "NaN in NIfTI": (lambda _: export("nifti", "out", voxel=np.nan), "NaN"),
    "NaN in nnU-Net": (lambda _: export("nnunet", "Dataset501_Test", voxel=np.inf), "infinite"),
    "a folder for NIfTI that is a file": (lambda d: (_bytes(d / "out", b"x"), export("nifti", "out"))[1], "a folder"),
    "a name nnU-Net does not take": (lambda _: export("nnunet", "liver"), "Dataset501_Liver"),
    "a new dataset without channel names": (
        lambda _: export("nnunet", "Dataset501_Test", channel_names=()),
        "name its channels",
    ),
    "a folder that is no dataset": (
        lambda d: (_bytes(_made(d / "Dataset501_Test") / "a.txt", b"x"), export("nnunet", "Dataset501_Test"))[1],
        "is no nnU-Net dataset",
    ),
}

GRID = Geometry.from_spacing((2, 3, 4), (2, 1, 1))
SHIFTED = Geometry.from_spacing((2, 3, 4), (2, 1, 1.5))


def export(
    kind="csv", target="a.csv", *, case="a", grid=GRID, segments=None, voxel=0.0, overlap=False, channel_names=("CT",)
):
    """A case that can be exported but for what is changed, where to, and how."""
    layers = np.zeros((1 + overlap, 2, 3, 4), np.uint8)
    layers[0, 0], layers[0, 1], layers[-1, 0, 0] = 1, 2, 1
    named = (
        segments if segments is not None else (Segment("a", 1), Segment("b", 2), *[Segment("c", 1, layer=1)] * overlap)
    )
    voxels = np.zeros((1, 2, 3, 4), np.float32)
    voxels[0, 1, 2, 3] = voxel
    settings = ExportSettings(kind, channel_names=channel_names)
    return ExportCase(case, Volume(voxels, GRID), LabelMap(layers, grid, named)), target, settings


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _with_table(folder: Path, text: str) -> Path:
    (folder / "a.labels.json").write_text(text)
    return image(folder / "a.nii.gz", np.ones((2, 2, 2), np.uint8))
