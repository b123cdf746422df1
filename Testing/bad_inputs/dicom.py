"""DICOM folders that must be refused: name, maker, and what the message must say."""

from __future__ import annotations

import struct

from fuzz.cases import Case, Link, Pipe, Sparse
from fuzz.dicom_mutators import element, nested
from fuzz.door import NINE_GB
from fuzz.doors.dicom import JPEG_2000, RLE, changed_elements, frames_file, frames_of_nothing, slice_file

_PIXELS = b"\xe0\x7f\x10\x00"


def _us(tag: int, number: int) -> bytes:
    return element(tag, b"US", struct.pack("<H", number))


def _ds(tag: int, text: bytes) -> bytes:
    return element(tag, b"DS", text + b" " * (len(text) % 2))


def series(folder, *fresh, which=(0, 1, 2), syntax=None):
    """A series of three slices, some of them with elements replaced."""
    plain = [slice_file(n, syntax) if syntax else slice_file(n) for n in range(3)]
    files = {f"{n}.dcm": changed_elements(plain[n], *fresh) if n in which else plain[n] for n in range(3)}
    Case(files).write(folder)
    return folder


def with_first(folder, content):
    """A series whose first file is something else."""
    Case({"0.dcm": content, "1.dcm": slice_file(1), "2.dcm": slice_file(2)}).write(folder)
    return folder


def alone(folder, content):
    """A folder of one file."""
    Case({"a.dcm": content}).write(folder)
    return folder


def without_pixels() -> bytes:
    """A slice up to its pixels."""
    sound = slice_file(0)
    return sound[: sound.rindex(_PIXELS)]


DICOM = {
    "no folder": (lambda d: d / "nothing", "nothing does not exist"),
    "an empty folder": (lambda d: d, "no DICOM image series"),
    "a folder of other files": (lambda d: (Case({"a.txt": b"hello"}).write(d), d)[1], "no DICOM image series"),
    "a folder of pipes": (lambda d: (Case({"a": Pipe(), "b": Pipe()}).write(d), d)[1], "no DICOM image series"),
    "a device as slice": (lambda d: (Case({"a.dcm": Link("/dev/zero")}).write(d), d)[1], "no DICOM image series"),
    "one slice": (lambda d: alone(d, slice_file(0)), "single slice"),
    "a slice cut": (lambda d: with_first(d, slice_file(0)[:-50]), r"0\.dcm is cut off.*copy it again"),
    "a slice without pixels": (lambda d: with_first(d, without_pixels()), r"0\.dcm is cut off or damaged"),
    "a slice missing": (
        lambda d: (Case({f"{n}.dcm": slice_file(n) for n in (0, 1, 3)}).write(d), d)[1],
        "slices are missing",
    ),
    "a slice twice": (
        lambda d: (Case({"a": slice_file(0), "b": slice_file(0), "c": slice_file(1)}).write(d), d)[1],
        "two slices lie at.*: a and b;",
    ),
    "a slice of another size": (lambda d: series(d, _us(0x00280010, 8), which=(1,)), "(several sizes|damaged|claims)"),
    "a slice that is turned": (lambda d: series(d, _ds(0x00200037, b"0\\1\\0\\1\\0\\0"), which=(1,)), "turned"),
    "a slice of another spacing": (lambda d: series(d, _ds(0x00280030, b"1\\1"), which=(1,)), "another pixel spacing"),
    "no place": (lambda d: series(d, element(0x00200032, b"DS", b"")), "does not say where it lies"),
    "a place of words": (lambda d: series(d, _ds(0x00200032, b"a\\b\\c")), "where.*numbers belong"),
    "a place of NaN": (lambda d: series(d, _ds(0x00200032, b"nan\\0\\0")), "where finite numbers belong"),
    "directions of 0": (lambda d: series(d, _ds(0x00200037, b"0\\0\\0\\0\\0\\0")), "right angles"),
    "directions on one line": (lambda d: series(d, _ds(0x00200037, b"1\\0\\0\\1\\0\\0")), "right angles"),
    "pixels of 0 mm": (lambda d: series(d, _ds(0x00280030, b"0\\0")), "pixel spacing"),
    "pixels of -1 mm": (lambda d: series(d, _ds(0x00280030, b"-1\\1")), "pixel spacing"),
    "colors": (
        lambda d: series(
            d, element(0x00280004, b"CS", b"RGB "), _us(0x00280002, 3), element(0x7FE00010, b"OW", bytes(1152))
        ),
        "is a color image",
    ),
    "no rows": (lambda d: with_first(d, changed_elements(slice_file(0), _us(0x00280010, 0))), r"0\.dcm"),
    "65,535 x 65,535 pixels that are not there": (
        lambda d: series(d, _us(0x00280010, 65535), _us(0x00280011, 65535)),
        r"\.dcm is (cut off|damaged)",
    ),
    "65,535 x 65,535 pixels out of 1 kB of RLE": (
        lambda d: series(d, _us(0x00280010, 65535), _us(0x00280011, 65535), syntax=RLE),
        r"\.dcm is (cut off|damaged)",
    ),
    "65,535 x 65,535 pixels out of JPEG 2000": (
        lambda d: series(d, _us(0x00280010, 65535), _us(0x00280011, 65535), syntax=JPEG_2000),
        r"\.dcm is (cut off|damaged)",
    ),
    "7 bits a pixel": (lambda d: series(d, _us(0x00280100, 7)), r"\.dcm"),
    "more bits than there are": (lambda d: series(d, _us(0x00280101, 17)), r"\.dcm"),
    "an unknown transfer syntax": (
        lambda d: series(d, element(0x00020010, b"UI", b"1.2.3.4.5.6.7.8.90\0\0\0")),
        r"\.dcm is (cut off|damaged)",
    ),
    "a slope of 0": (lambda d: series(d, _ds(0x00281053, b"0")), "slope is 0"),
    "a slice without a slope": (lambda d: series(d, element(0x00281053, b"DS", b""), which=(1,)), "lacks the rescale"),
    "a slope of NaN": (lambda d: series(d, _ds(0x00281053, b"nan")), "finite"),
    "200,000 nested sequences": (
        lambda d: with_first(d, without_pixels() + nested(200_000, closed=False)),
        r"0\.dcm is cut off or damaged.*nested",
    ),
    "100,000 pixel elements": (
        lambda d: with_first(d, without_pixels() + element(0x7FE00010, b"OW", bytes(2)) * 100_000),
        r"0\.dcm",
    ),
    "an element of 4 GB": (
        lambda d: with_first(d, without_pixels() + element(0x00091001, b"OB", b"", 0xFFFFFFFE)),
        r"0\.dcm is cut off",
    ),
    "9 GB of pixels": (
        lambda d: with_first(d, Sparse(NINE_GB, without_pixels() + element(0x7FE00010, b"OW", b"", 0xFFFFFFFE))),
        r"0\.dcm",
    ),
    "pixels of JPEG 2000 cut": (
        lambda d: with_first(d, _cut_stream(slice_file(0, JPEG_2000))),
        r"0\.dcm is (cut off or )?damaged.*copy it again",
    ),
    "RLE cut": (lambda d: with_first(d, _cut_stream(slice_file(0, RLE))), r"0\.dcm is (damaged|cut off)"),
    "frames without places": (lambda d: alone(d, frames_of_nothing(100)), r"a\.dcm"),
    "more frames than there are": (
        lambda d: alone(d, changed_elements(frames_file(), element(0x00280008, b"IS", b"4 "))),
        r"a\.dcm",
    ),
    "2^31 frames": (
        lambda d: alone(d, changed_elements(frames_file(), element(0x00280008, b"IS", b"2147483647"))),
        r"a\.dcm",
    ),
    "frames of nothing": (
        lambda d: alone(d, changed_elements(frames_file(), element(0x00280008, b"IS", b"0 "))),
        r"a\.dcm",
    ),
    "no such series": (lambda d: (series(d), "1.2.3"), "no series 1.2.3"),
    "two series": (
        lambda d: (
            series(d),
            Case(
                {"x.dcm": changed_elements(slice_file(1), _OTHER), "y.dcm": changed_elements(slice_file(2), _OTHER)}
            ).write(d),
            d,
        )[2],
        "2 series",
    ),
}
_OTHER = element(0x0020000E, b"UI", b"1.2.826.0.9\0")


def _cut_stream(content: bytes) -> bytes:
    """The second half of the compressed pixels as zeros; all lengths stay right."""
    start = content.rindex(_PIXELS)
    middle = (start + len(content)) // 2
    return content[:middle] + bytes(len(content) - middle - 8) + content[-8:]


def use(chosen, _):
    """List the series of a folder and read one."""
    from DeepSegmentLib.files.dicom import list_series, read_series

    folder, series_uid = chosen if isinstance(chosen, tuple) else (chosen, None)
    list_series(folder)
    read_series(folder, series_uid)
