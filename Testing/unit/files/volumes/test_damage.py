"""Damaged files: refused, or read as they were; never with other voxels, never at any price.

HYPOTHESIS_PROFILE=deep flips 5,000 bits of each format.
"""

import bz2
import gzip
import os
import resource
import struct
import subprocess
import sys
import time
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import DeepSegmentError, ResourceError, VolumeFileError
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, write_segmentation
from DeepSegmentLib.files.volumes import read_volume, write_volume

FLIPS = 5000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 60
GRID = Geometry.from_spacing((12, 14, 16), (2, 1, 1))
VALUES = (ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, GRID.shape), 2) * 2000).astype(np.int16)
LABELS = (VALUES > 0).astype(np.uint8)


def _volume(name):
    def write(folder):
        write_volume(Volume(VALUES[None], GRID), folder / name)
        return folder / name, folder / name

    return write


def _detached(header, data):
    def write(folder):
        image = sitk.GetImageFromArray(VALUES)
        sitk.WriteImage(image, str(folder / header), useCompression=True)
        return folder / header, folder / data

    return write


def _segmentation(folder):
    write_segmentation(LabelMap(LABELS[None], GRID, (Segment("a", 1),)), folder / "a.seg.nrrd")
    return folder / "a.seg.nrrd", folder / "a.seg.nrrd"


def _nifti_2(folder):
    image = nibabel.Nifti2Image(VALUES.T, np.diag([1, 1, 2, 1]))
    nibabel.save(image, folder / "a2.nii.gz")
    return folder / "a2.nii.gz", folder / "a2.nii.gz"


FORMATS = {
    ".nii.gz": _volume("a.nii.gz"),
    "NIfTI-2 .nii.gz": _nifti_2,
    ".nrrd": _volume("a.nrrd"),
    ".mha": _volume("a.mha"),
    ".nhdr and .raw.gz": _detached("a.nhdr", "a.raw.gz"),
    ".mhd and .zraw": _detached("a.mhd", "a.zraw"),
    ".seg.nrrd": _segmentation,
}


def _read(path):
    return read_labelmap(path).layers if path.name.endswith(".seg.nrrd") else read_volume(path).voxels


def _start_of_voxels(content):
    """Where the packed voxels start."""
    for end in (b"ElementDataFile = LOCAL\n", b"\n\n"):
        if content[:4] in (b"NRRD", b"Obje") and end in content:
            return content.index(end) + len(end)
    return 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_flipped_bit_changes_no_voxel(tmp_path, name):
    path, data = FORMATS[name](tmp_path)
    sound, content = _read(path), data.read_bytes()
    start, chance = _start_of_voxels(content), np.random.default_rng(1)
    for place in chance.integers(8 * start, 8 * len(content), FLIPS).tolist():
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        data.write_bytes(changed)
        try:
            assert np.array_equal(_read(path), sound), place
        except (VolumeFileError, ResourceError) as error:
            assert path.name in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_cut_off_is_refused(tmp_path, name):
    path, data = FORMATS[name](tmp_path)
    content = data.read_bytes()
    step = max(1, len(content) // 80) if FLIPS < 5000 else 1
    for length in range(0, len(content) - 1, step):
        data.write_bytes(content[:length])
        with pytest.raises(VolumeFileError):
            _read(path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("tail", [b"x", b"\x1f\x8b" * 9])
def test_something_behind_the_voxels_is_refused(tmp_path, name, tail):
    path, data = FORMATS[name](tmp_path)
    data.write_bytes(data.read_bytes() + tail)
    with pytest.raises(VolumeFileError, match="damaged"):
        _read(path)


@pytest.mark.parametrize("name", [".nii.gz", ".nrrd", ".nhdr and .raw.gz", ".seg.nrrd"])
def test_zeros_and_empty_members_behind_gzip_are_what_other_programs_leave(tmp_path, name):
    path, data = FORMATS[name](tmp_path)
    sound = _read(path)
    for tail in (bytes(1000), gzip.compress(b""), gzip.compress(bytes(500)) + bytes(10)):
        data.write_bytes(data.read_bytes() + tail)
        assert np.array_equal(_read(path), sound)


@pytest.mark.parametrize("name", [".nii.gz", ".nrrd"])
def test_gzip_of_several_members(tmp_path, name):
    path, _ = FORMATS[name](tmp_path)
    sound, content = _read(path), path.read_bytes()
    start = _start_of_voxels(content)
    raw = gzip.decompress(content[start:])
    parts = [gzip.compress(raw[n : n + 1000]) for n in range(0, len(raw), 1000)]
    path.write_bytes(content[:start] + b"".join(parts))
    assert np.array_equal(_read(path), sound)


@pytest.mark.parametrize("name", FORMATS)
def test_the_standard_library_unpacks_the_same(tmp_path, name, monkeypatch):
    path, data = FORMATS[name](tmp_path)
    sound = _read(path)
    monkeypatch.setattr("DeepSegmentLib.files.volumes.unpacking._inflate", zlib.decompressobj)
    assert np.array_equal(_read(path), sound)
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(VolumeFileError):
        _read(path)


class TestPrice:
    """What a hostile file may cost: in a process of its own that may not have much more than Python needs."""

    CODE = """
import resource, sys, time
from pathlib import Path
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.volumes import read_volume
import SimpleITK
before = resource.getrusage(resource.RUSAGE_SELF)
began = time.process_time()
try:
    print(read_volume(Path(sys.argv[1])).voxels.shape)
except DeepSegmentError as error:
    print(type(error).__name__, error)
after = resource.getrusage(resource.RUSAGE_SELF)
print((after.ru_maxrss - before.ru_maxrss) // 1024, time.process_time() - began)
"""

    def _cost(self, path, root):
        """What was said, more megabytes, and seconds."""
        command = [sys.executable, "-c", self.CODE, str(path)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60)
        said, cost = done.stdout.strip().splitlines()
        megabytes, seconds = (float(word) for word in cost.split())
        return said, megabytes, seconds

    def _nifti_1(self, *, offset=352, data=b""):
        header = bytearray(352)
        for place, kind, values in (
            (0, "i", [348]),
            (40, "8h", [3, 2, 2, 2, 1, 1, 1, 1]),
            (70, "2h", [2, 8]),
            (76, "8f", [1] * 8),
            (108, "f", [offset]),
            (344, "4s", [b"n+1"]),
        ):
            struct.pack_into("<" + kind, header, place, *values)
        return bytes(header) + data

    def _with_tail(self, offset=352):
        """A gzip file of a volume of 8 voxels and 128 megabytes of zeros behind it."""
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        parts = [packer.compress(self._nifti_1(offset=offset, data=bytes(8)))]
        parts += [packer.compress(bytes(1 << 24)) for _ in range(8)]
        return b"".join([*parts, packer.flush()])

    @pytest.mark.parametrize(("offset", "message"), [(352, "more bytes follow"), (2.0**31, "start at byte")])
    def test_much_behind_or_before_the_voxels(self, tmp_path, pytestconfig, offset, message):
        path = tmp_path / "a.nii.gz"
        path.write_bytes(self._with_tail(offset))
        said, megabytes, seconds = self._cost(path, pytestconfig.rootpath)
        assert message in said
        assert megabytes < 50
        assert seconds < 5

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mhd"])
    def test_a_sparse_file_of_nine_gigabytes(self, tmp_path, pytestconfig, name):
        heads = {
            ".nii": self._nifti_1(),
            ".nii.gz": gzip.compress(self._nifti_1(data=bytes(8))),
            ".nrrd": b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n",
            ".mha": b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
        }
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(heads.get(name.removeprefix("a"), b""))
            file.truncate(9 << 30)
        said, megabytes, seconds = self._cost(path, pytestconfig.rootpath)
        assert said == "(1, 2, 2, 2)" or "VolumeFileError" in said
        assert megabytes < 50
        assert seconds < 5

    @pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
    def test_a_volume_takes_its_own_memory_and_a_little(self, tmp_path, pytestconfig, suffix):
        grid = Geometry.from_spacing((100, 512, 512), (1, 1, 1))
        write_volume(Volume(np.zeros((1, *grid.shape), np.int16), grid), tmp_path / f"a{suffix}")
        said, megabytes, _ = self._cost(tmp_path / f"a{suffix}", pytestconfig.rootpath)
        assert said == "(1, 100, 512, 512)"
        assert megabytes < 50 + 20

    def test_planes_of_one_voxel(self, tmp_path):
        """Two million of them are looked at together."""
        header = b"NRRD0004\ntype: float\ndimension: 3\nsizes: 1 1 2000000\nendian: little\nencoding: gzip\n\n"
        (tmp_path / "a.nrrd").write_bytes(header + gzip.compress(bytes(8_000_000), 1))
        began = time.process_time()
        assert read_volume(tmp_path / "a.nrrd").voxels.size == 2_000_000
        assert time.process_time() - began < 5

    def test_little_bzip2_cannot_claim_much(self, tmp_path):
        header = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 1000 1000 3000\nencoding: bzip2\n\n"
        (tmp_path / "a.nrrd").write_bytes(header + bz2.compress(bytes(1000)))
        with pytest.raises(VolumeFileError, match="cut off"):
            read_volume(tmp_path / "a.nrrd")
        voxels = bytes(20_000_000)
        (tmp_path / "a.nrrd").write_bytes(header.replace(b"3000", b"20") + bz2.compress(voxels))
        assert read_volume(tmp_path / "a.nrrd").voxels.tobytes() == voxels

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps this limit")
    def test_memory_that_is_not_there_is_said(self, tmp_path, monkeypatch):
        """Where the system does not tell how much is free, the array itself is refused."""
        monkeypatch.setattr("DeepSegmentLib.files.volume_checks.available_memory_bytes", lambda: None)
        path = tmp_path / "a.nrrd"
        with path.open("wb") as file:
            file.write(
                b"NRRD0004\ntype: double\ndimension: 3\nsizes: 4000 4000 4000\nendian: little\nencoding: raw\n\n"
            )
            file.truncate(600 << 30)
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 36, limits[1]))
        try:
            with pytest.raises(DeepSegmentError, match=r"a\.nrrd"):
                read_volume(path)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".nii", ".mha"])
def test_slices_that_the_header_does_not_claim_are_noticed(tmp_path, suffix):
    """A digit or byte of the extent is no part of what a checksum covers."""
    image = sitk.GetImageFromArray(np.zeros((80, 80, 80), np.uint8))
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image, str(path), suffix == ".nrrd")
    content = path.read_bytes()
    if suffix.startswith(".nii"):
        plain = bytearray(gzip.decompress(content) if suffix.endswith("gz") else content)
        plain[46:48] = (79).to_bytes(2, "little")
        content = gzip.compress(plain) if suffix.endswith("gz") else bytes(plain)
    else:
        content = content.replace(b"80 80 80", b"80 80 79")
    path.write_bytes(content)
    if suffix in (".nii", ".mha"):
        assert "6400 bytes follow" in read_volume(path).notes[0]
        return
    with pytest.raises(VolumeFileError, match="more bytes follow"):
        read_volume(path)
