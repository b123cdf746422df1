"""Hostile and damaged DICOM files: refused in a sentence, at once, in little memory."""

import os
import random
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import write_slices
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from DeepSegmentLib.errors import DeepSegmentError, VolumeFileError
from DeepSegmentLib.files.dicom import is_dicom, list_series, read_series

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
MUTATIONS = 1500 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 60


def _insert(path, extra):
    """Put bytes before the pixels of a slice."""
    content = path.read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(content[:place] + extra + content[place:])


def _explicit(tag, vr, value, length=None):
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    length = len(value) if length is None else length
    long = vr in (b"SQ", b"OB", b"UN")
    return head + (b"\0\0" + struct.pack("<I", length) if long else struct.pack("<H", length)) + value


NESTED = struct.pack("<HH2sHIHHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (NESTED * 200_000, "nested deeper than 64"),
        (_explicit(0x00200032, b"DS", b"0\\0\\0 "), "twice"),
        (_explicit(0x00280010, b"US", b"\0\1" * 4000), "twice|too many"),
        (_explicit(0x00291010, b"OB", b"", length=0xFFFFFFF0), "cut off within its header"),
        (_explicit(0x00291010, b"OB", b"", length=0xFFFFFFFF), "sequence|nonsense"),
        (b"\x29\0\x10\x10\x01\x02\x03\x04", "nonsense at byte"),
        (_explicit(0x00281052, b"DS", b"abc "), "twice|numbers belong"),
        (bytes(8_000_000), "nonsense at byte"),
    ],
)
def test_a_hostile_header_is_refused(tmp_path, extra, message):
    for path in write_slices(tmp_path, slices=2):
        _insert(path, extra)
    begun = time.process_time()
    with pytest.raises(VolumeFileError, match=message):
        read_series(tmp_path)
    assert time.process_time() - begun < 5


def test_a_header_of_200_000_elements_is_read(tmp_path):
    extra = b"".join(_explicit(0x00410000 + n, b"LO", b"ab") for n in range(50_000)) * 4
    for path in write_slices(tmp_path, slices=2):
        _insert(path, extra)
    begun = time.process_time()
    assert read_series(tmp_path).voxels.shape == (1, 2, 6, 8)
    assert time.process_time() - begun < 10


def test_pixels_that_come_again_are_not_looked_at(tmp_path):
    for path in write_slices(tmp_path, slices=2):
        path.write_bytes(path.read_bytes() + _explicit(0x7FE00010, b"OB", b"ab") * 200_000)
    begun = time.process_time()
    assert read_series(tmp_path).voxels.max() == 1
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ImagePositionPatient", ["nan", "0", "0"]),
        ("ImagePositionPatient", ["1e300", "0", "0"]),
        ("ImageOrientationPatient", ["1e200"] * 6),
        ("PixelSpacing", ["1e-320", "1"]),
        ("RescaleSlope", "inf"),
        ("RescaleSlope", "1e308"),
    ],
)
def test_absurd_numbers_are_refused(tmp_path, key, value):
    for path in write_slices(tmp_path, slices=3):
        document = dcmread(path)
        old = document[key]
        text = "\\".join(value) if isinstance(value, list) else value
        document.add(pydicom.dataelem.DataElement(old.tag, "LO", text))
        document.RescaleIntercept = "0.5"
        document.save_as(path)
    with pytest.raises(DeepSegmentError):
        read_series(tmp_path)


def test_numbers_may_be_written_in_another_way(tmp_path):
    for path in write_slices(tmp_path, slices=2, RescaleSlope=None):
        _insert(path, _explicit(0x00281053, b"US", b"\x03\0"))
    assert read_series(tmp_path).voxels.max() == 3


def test_a_deflated_bomb_takes_little(tmp_path):
    import tracemalloc
    import zlib

    path = write_slices(tmp_path, slices=2)[0]
    document = dcmread(path)
    document.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    document.save_as(path)
    content = path.read_bytes()
    start = 132 + 12 + dcmread(path).file_meta.FileMetaInformationGroupLength
    plain = zlib.decompress(content[start:], -15)
    place = plain.index(b"\xe0\x7f\x10\x00")
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bomb.compress(plain[:place] + _explicit(0x00291010, b"OB", b"", length=1 << 30))
    packed += b"".join(bomb.compress(bytes(1 << 24)) for _ in range(8)) + bomb.flush()
    path.write_bytes(content[:start] + packed)
    tracemalloc.start()
    with pytest.raises(VolumeFileError, match="deflated content claims"):
        read_series(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_a_folder_of_many_kinds(tmp_path):
    """Pipes, sockets, links into nothing, folders, names that are no UTF-8: passed over."""
    write_slices(tmp_path, slices=3)
    os.mkfifo(tmp_path / "pipe.dcm")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
    (tmp_path / "gone.dcm").symlink_to("nowhere")
    (tmp_path / "device.dcm").symlink_to("/dev/zero")
    (tmp_path / "DICOMDIR").write_bytes((BUNDLED / "dicomdirtests" / "DICOMDIR").read_bytes())
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "zeros").write_bytes(bytes(1000))
    (tmp_path / "report.dcm").write_bytes((BUNDLED / "reportsi.dcm").read_bytes())
    (tmp_path / "text.txt").write_text("\x08\0 hello")
    (tmp_path / os.fsdecode(b"\xff\xfe.dcm")).write_bytes((tmp_path / "002.dcm").read_bytes())
    (tmp_path / "002.dcm").unlink()
    assert read_series(tmp_path).voxels[0, :, 0, 0].tolist() == [0, 1, 2]
    assert not is_dicom(tmp_path / "text.txt")
    assert is_dicom(tmp_path / "001.dcm")
    with pytest.raises(VolumeFileError, match="no plain file"):
        is_dicom(tmp_path / "pipe.dcm")


def test_a_folder_of_10_000_files_is_listed_in_seconds(tmp_path):
    first = write_slices(tmp_path, slices=1)[0].read_bytes()
    for n in range(5000):
        (tmp_path / f"{n}.dcm").write_bytes(first)
        (tmp_path / f"{n}.txt").write_bytes(b"text")
    begun = time.process_time()
    assert list_series(tmp_path)[0].slices == 5001
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO 2022 IR 87", "\\ISO 2022 IR 149", "nonsense", "\x1b[31m"])
def test_descriptions_in_any_character_set(tmp_path, charset):
    for path in write_slices(tmp_path, slices=2, SeriesDescription="plain text"):
        content = path.read_bytes()
        coded = _explicit(0x00080005, b"CS", charset.encode().ljust(-(-len(charset) // 2) * 2))
        place = content.index(b"\x08\0\x08\0CS")
        text = b"\xffab\x1b[2J\xe4\xf6\x00"[:10].ljust(10)
        path.write_bytes((content[:place] + coded + content[place:]).replace(b"plain text", text))
    (info,) = list_series(tmp_path)
    assert info.description.isprintable()
    assert "ab" in info.description


def test_a_description_in_japanese(tmp_path):
    for path in write_slices(tmp_path, slices=2, SeriesDescription="x"):
        document = dcmread(path)
        document.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        document.SeriesDescription = "頭部"
        document.save_as(path)
    assert list_series(tmp_path)[0].description == "頭部"


def _plain(folder):
    write_slices(folder, slices=2)


def _implicit(folder):
    for path in write_slices(folder, slices=2):
        document = dcmread(path)
        document.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        document.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=True)


def _bundled(name):
    def make(folder):
        for n in range(2):
            document = dcmread(BUNDLED / name)
            document.ImagePositionPatient, document.ImageOrientationPatient = [0, 0, n], [1, 0, 0, 0, 1, 0]
            document.PixelSpacing, document.SOPClassUID = [1, 1], "1.2.840.10008.5.1.4.1.1.2"
            document.SeriesInstanceUID = "1.2"
            document.save_as(folder / f"{n}.dcm")

    return make


def _lossless(folder):
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    pixels = np.add.outer(np.arange(24), np.arange(20)).astype(np.int16) ** 2
    for n in range(2):
        writer.SetFileName(str(folder / f"{n}.dcm"))
        writer.Execute(sitk.GetImageFromArray(pixels[None]))
        document = dcmread(folder / f"{n}.dcm")
        document.ImagePositionPatient, document.ImageOrientationPatient = [0, 0, n], [1, 0, 0, 0, 1, 0]
        document.PixelSpacing, document.SOPClassUID = [1, 1], "1.2.840.10008.5.1.4.1.1.2"
        document.SeriesInstanceUID = "1.2"
        document.save_as(folder / f"{n}.dcm")


def _mutate(content, rng):
    """Flip, overwrite, cut, repeat or drop bytes; half of the time in the header."""
    changed = bytearray(content)
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 1500)
    kind = rng.randrange(5)
    place = rng.randrange(reach)
    if kind == 0:
        del changed[place:]
    elif kind == 1:
        changed[place:place] = changed[max(place - rng.randrange(1, 200), 0) : place]
    elif kind == 2:
        del changed[place : place + rng.randrange(1, 40)]
    else:
        for _ in range(rng.choice([1, 1, 2, 8])):
            place = rng.randrange(reach)
            changed[place] = rng.choice([0, 0xFF, rng.randrange(256), changed[place] ^ 1 << rng.randrange(8)])
    return bytes(changed)


@pytest.mark.parametrize(
    "make",
    [
        _plain, _implicit, _lossless, _bundled("MR_small_RLE.dcm"), _bundled("MR_small_jp2klossless.dcm"),
        _bundled("MR_small_jpeg_ls_lossless.dcm"), _bundled("image_dfl.dcm"), _bundled("MR_small_bigendian.dcm"),
    ],
    ids=["plain", "implicit", "jpeg-lossless", "rle", "jpeg-2000", "jpeg-ls", "deflated", "big-endian"],
)  # fmt: skip
def test_mutations_are_read_or_refused(tmp_path, make):
    """Nothing but errors of the library comes out, none slowly."""
    make(tmp_path)
    path = min(tmp_path.iterdir())
    content, slowest = path.read_bytes(), 0.0
    for n in range(MUTATIONS):
        path.write_bytes(_mutate(content, random.Random(n)))
        begun = time.process_time()
        with suppress(DeepSegmentError):
            read_series(tmp_path)
        slowest = max(slowest, time.process_time() - begun)
    assert slowest < 10
