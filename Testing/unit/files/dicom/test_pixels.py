"""Pixels of every kind as pydicom and GDCM decode them; compressed ones that claim too much or too little refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import write_slices
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.pixels.encoders.native import _encode_segment
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from DeepSegmentLib.errors import MissingPackageError, VolumeFileError
from DeepSegmentLib.files.dicom import read_series

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
REPOSITORY = Path(__file__).resolve().parents[4]


def _series(folder, source, *, slices=2):
    """Copies of a file as a series: the place is set anew, the pixels are what they were."""
    for n in range(slices):
        each = dcmread(source) if isinstance(source, Path) else source
        each.SeriesInstanceUID, each.SOPClassUID = "1.2.3", "1.2.840.10008.5.1.4.1.1.2"
        each.ImagePositionPatient, each.ImageOrientationPatient = [0, 0, float(n)], [1, 0, 0, 0, 1, 0]
        each.PixelSpacing = [1, 1]
        each.save_as(folder / f"{n}.dcm")


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KI.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm",
        "examples_overlay.dcm", "image_dfl.dcm",
    ],
)  # fmt: skip
def test_files_of_pydicom(tmp_path, name):
    _series(tmp_path, BUNDLED / name)
    voxels = read_series(tmp_path).voxels[0, 1]
    document = dcmread(BUNDLED / name)
    with pytest.warns() if name == "MR_small_padded.dcm" else pytest.MonkeyPatch.context():
        expected = document.pixel_array.astype(float)
    expected = expected * float(document.get("RescaleSlope", 1)) + float(document.get("RescaleIntercept", 0))
    assert np.array_equal(voxels, expected)


@pytest.mark.parametrize("kind", ["int16", "uint16", "uint8"])
def test_jpeg_lossless_of_gdcm(tmp_path, kind):
    """Written and read again by SimpleITK."""
    rng = np.random.default_rng(2)
    j, i = np.mgrid[:40, :50]
    pixels = (900 * np.sin(i / 9) * np.cos(j / 7) + rng.normal(0, 20, (40, 50))).astype(np.int16)
    pixels[:2] = rng.integers(-30000, 30000, (2, 50))  # differences of all lengths
    pixels = pixels.astype(kind)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(tmp_path / "one.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(pixels[None]))
    document = dcmread(tmp_path / "one.dcm")
    assert document.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    (tmp_path / "series").mkdir()
    _series(tmp_path / "series", tmp_path / "one.dcm")
    volume = read_series(tmp_path / "series")
    assert np.array_equal(volume.voxels[0, 0], pixels)
    assert volume.voxels.dtype == kind


def test_jpeg_of_8_bits(tmp_path):
    from io import BytesIO

    from PIL import Image

    pixels = np.add.outer(np.arange(6), np.arange(8)).astype(np.uint8) * 9
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    more = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    for path in write_slices(tmp_path, **more):
        _compressed(path, stream.getvalue(), JPEGBaseline8Bit)
    assert np.abs(read_series(tmp_path).voxels[0, 0].astype(int) - pixels).max() < 4


@given(
    allocated=st.sampled_from([8, 16, 32]),
    signed=st.booleans(),
    big=st.booleans(),
    run_lengths=st.booleans(),
    data=st.data(),
)
@settings(max_examples=25)
def test_any_number_of_bits_anywhere(allocated, signed, big, run_lengths, data, tmp_path_factory):
    """Bits outside those stored (overlays in old files) are noise, the value is what was put in."""
    folder = tmp_path_factory.mktemp("bits")
    stored = data.draw(st.integers(2, allocated))
    high = data.draw(st.integers(stored - 1, allocated - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    low, top = (-(1 << (stored - 1)), 1 << (stored - 1)) if signed else (0, 1 << stored)
    values = rng.integers(low, top, (6, 8))
    kind = f"u{allocated // 8}"
    kept = (((1 << stored) - 1) << (high + 1 - stored)) & ((1 << allocated) - 1)
    noise = rng.integers(0, 1 << allocated, (6, 8)) & ~kept
    words = ((values << (high + 1 - stored)) & kept | noise).astype(kind)
    big = big and not run_lengths
    more = {"BitsAllocated": allocated, "BitsStored": stored, "HighBit": high, "PixelRepresentation": int(signed)}
    for path in write_slices(folder, slices=2, PixelData=words.astype(f"<{kind}").tobytes(), **more):
        document = dcmread(path)
        if run_lengths:
            document.file_meta.TransferSyntaxUID = RLELossless
            document.PixelData = encapsulate([_run_lengths(words)])
            document["PixelData"].VR, document["PixelData"].is_undefined_length = "OB", True
        if big:
            document.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            document.PixelData = words.astype(f">{kind}").tobytes()
            document["PixelData"].VR = "OB" if allocated == 8 else "OW"
            list(document)  # what was not looked at would be written as it was read
            document.set_original_encoding(False, False)
            document.save_as(path, implicit_vr=False, little_endian=False)
        else:
            document.save_as(path)
    volume = read_series(folder)
    assert np.array_equal(volume.voxels[0, 0], values)
    assert volume.voxels.dtype == f"{'i' if signed else 'u'}{allocated // 8}"


def _run_lengths(words):
    """A frame of RLE: a segment of the highest bytes, then of the next."""
    width = words.dtype.itemsize
    segments = [bytes(_encode_segment(words.astype(f">u{width}").tobytes()[n::width], 8)) for n in range(width)]
    starts = np.cumsum([64, *map(len, segments)])[:-1]
    return np.array([width, *starts], "<u4").tobytes().ljust(64, b"\0") + b"".join(segments)


def test_integers_stay_integers_and_fit(tmp_path):
    more = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleIntercept": -1024}
    write_slices(tmp_path, PixelData=np.full((6, 8), 4095, np.uint16).tobytes(), **more)
    volume = read_series(tmp_path)
    assert (volume.voxels.dtype, volume.voxels.max()) == (np.int16, 3071)


@pytest.mark.parametrize(
    "change",
    [
        {"PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"SamplesPerPixel": 3, "PixelData": bytes(288)},
    ],
)
def test_colours_are_refused(tmp_path, change):
    write_slices(tmp_path, **change)
    with pytest.raises(VolumeFileError, match="color image"):
        read_series(tmp_path)


def test_one_number_a_pixel_is_gray_where_nothing_else_is_said(tmp_path):
    write_slices(tmp_path, PhotometricInterpretation=None)
    assert read_series(tmp_path).voxels[0, :, 0, 0].tolist() == [0, 1, 2, 3]


def test_a_slope_of_0_is_refused(tmp_path):
    write_slices(tmp_path, RescaleSlope=0)
    with pytest.raises(VolumeFileError, match="slope is 0"):
        read_series(tmp_path)


def _compressed(path, stream, syntax, **more):
    """A slice whose pixels are a given codestream."""
    document = dcmread(path)
    document.file_meta.TransferSyntaxUID = syntax
    document.PixelData = encapsulate([stream])
    document["PixelData"].VR = "OB"
    document["PixelData"].is_undefined_length = True
    for key, value in more.items():
        setattr(document, key, value)
    document.save_as(path)


def _stream(name):
    document = dcmread(BUNDLED / name)
    return b"".join(list(generate_fragments(document.PixelData))[1:]), {
        "Rows": document.Rows,
        "Columns": document.Columns,
    }


@pytest.mark.parametrize(
    ("name", "syntax", "place"),
    [("MR_small_jp2klossless.dcm", JPEG2000Lossless, 8), ("MR_small_jpeg_ls_lossless.dcm", JPEGLSLossless, 7)],
)
def test_a_codestream_that_claims_another_size_is_refused_unread(tmp_path, name, syntax, place):
    """60,000 x 60,000 pixels would take 7 GB."""
    stream, size = _stream(name)
    huge = bytearray(stream)
    if syntax == JPEG2000Lossless:
        huge[8:16] = huge[24:32] = (60000).to_bytes(4, "big") * 2
    else:
        start = stream.index(b"\xff\xf7")
        huge[start + 5 : start + 9] = (60000).to_bytes(2, "big") * 2
    for path in write_slices(tmp_path):
        _compressed(path, bytes(huge), syntax, **size)
    with pytest.raises(VolumeFileError, match="60000 x 60000"):
        read_series(tmp_path)


def test_a_small_run_length_file_cannot_claim_gigabytes(tmp_path):
    stream = (2).to_bytes(4, "little") + (64).to_bytes(4, "little") + (500).to_bytes(4, "little") + bytes(1000)
    for path in write_slices(tmp_path):
        _compressed(path, stream, RLELossless, Rows=8000, Columns=8000)
    with pytest.raises(VolumeFileError, match="cannot hold 8000 x 8000"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("MR_small_jp2klossless.dcm", JPEG2000Lossless),
        ("MR_small_jpeg_ls_lossless.dcm", JPEGLSLossless),
        ("MR_small_RLE.dcm", RLELossless),
    ],
)
@pytest.mark.parametrize("left", [2, 40, 700])
def test_a_compressed_frame_cut_off_is_refused(tmp_path, name, syntax, left):
    stream, size = _stream(name)
    for path in write_slices(tmp_path):
        _compressed(path, stream[:left], syntax, **size)
    with pytest.raises(VolumeFileError, match="is cut off or damaged"):
        read_series(tmp_path)


def test_fragments_without_an_end_are_refused(tmp_path):
    stream, size = _stream("MR_small_RLE.dcm")
    for path in write_slices(tmp_path):
        _compressed(path, stream, RLELossless, **size)
        content = path.read_bytes()
        path.write_bytes(content[:-8])
    with pytest.raises(VolumeFileError, match="have no end"):
        read_series(tmp_path)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.3.4"])
def test_other_transfer_syntaxes_are_refused_with_a_remedy(tmp_path, syntax):
    for path in write_slices(tmp_path):
        _compressed(path, b"\0" * 100, pydicom.uid.UID(syntax))
    with pytest.raises(VolumeFileError, match=r"transfer syntax 1\.2\..* is not read; convert it"):
        read_series(tmp_path)


@pytest.mark.parametrize(("package", "remedy"), [("pylibjpeg", "pip install pylibjpeg"), ("pydicom", "pydicom>=3.0")])
def test_without_a_decoder(tmp_path, package, remedy):
    stream, size = _stream("MR_small_jp2klossless.dcm")
    for path in write_slices(tmp_path):
        _compressed(path, stream, JPEG2000Lossless, **size)
    code = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        f"hide = lambda name, *more: None if name == {package!r} else find(name, *more)\n"
        "PathFinder.find_spec = staticmethod(hide)\n"
        "from pathlib import Path\n"
        "from DeepSegmentLib.errors import MissingPackageError\n"
        "from DeepSegmentLib.files.dicom import read_series\n"
        "try: read_series(Path(sys.argv[1]))\n"
        "except MissingPackageError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environment, check=True
    )
    assert remedy in done.stdout
    assert issubclass(MissingPackageError, Exception)
