"""DICOM series in a folder, in several transfer syntaxes, and multi-frame images."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np

from ..cases import Case, Link, Pipe, Repeated, Sparse
from ..dicom_mutators import PREAMBLE, element, mutate_dicom, nested, split
from ..door import NINE_GB, Door, changed, odd_files, zero_blocks
from ..mutators import BYTES, Mutator, mutated

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG_LS, JPEG_2000, JPEG = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50"
_CT, _ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
_UID = "1.2.826.0.1.3680043.9.7777"
ROWS, COLUMNS = 16, 12


def plane(n: int) -> np.ndarray:
    """Gray values that compress, of 12 bits."""
    j, i = np.indices((ROWS, COLUMNS))
    return ((i * 17 + j * 31 + n * 7) % 4000).astype(np.uint16)


def _dataset(sop_class: str, uid: str):
    from pydicom.dataset import Dataset, FileMetaDataset

    each = Dataset()
    each.file_meta = FileMetaDataset()
    each.file_meta.MediaStorageSOPClassUID, each.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    each.SOPClassUID, each.SOPInstanceUID = sop_class, uid
    each.StudyInstanceUID, each.SeriesInstanceUID, each.FrameOfReferenceUID = f"{_UID}.1", f"{_UID}.2", f"{_UID}.3"
    each.PatientName, each.PatientID, each.Modality, each.SeriesNumber = "Doe^J", "1", "CT", 3
    each.SeriesDescription, each.ImageType = "head", ["ORIGINAL", "PRIMARY", "AXIAL"]
    each.Rows, each.Columns, each.SamplesPerPixel, each.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 0
    return each


def _encode(each, pixels: list[np.ndarray], syntax: str) -> bytes:
    from pydicom.encaps import encapsulate

    little, implicit = syntax != BIG, syntax == IMPLICIT
    each.file_meta.TransferSyntaxUID = syntax
    plain = b"".join(frame.astype("<u2" if little else ">u2").tobytes() for frame in pixels)
    each.PixelData = plain
    each["PixelData"].VR = "OW"
    if syntax == JPEG_2000:
        each.PixelData, each["PixelData"].VR = encapsulate([_jpeg_2000(frame) for frame in pixels]), "OB"
    elif syntax == JPEG:
        each.BitsAllocated, each.BitsStored, each.HighBit = 8, 8, 7
        each.PixelData, each["PixelData"].VR = encapsulate([_jpeg(frame) for frame in pixels]), "OB"
    elif syntax in (RLE, JPEG_LS):
        each.file_meta.TransferSyntaxUID = EXPLICIT
        each.compress(syntax, generate_instance_uid=False)
    written = io.BytesIO()
    each.save_as(written, enforce_file_format=True, little_endian=little, implicit_vr=implicit)
    return written.getvalue()


def _jpeg_2000(frame: np.ndarray) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(frame).save(written, "JPEG2000", no_jp2=True)
    return written.getvalue()


def _jpeg(frame: np.ndarray) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray((frame // 16).astype(np.uint8)).save(written, "JPEG")
    return written.getvalue()


def slice_file(n: int, syntax: str = EXPLICIT) -> bytes:
    """Slice n of a CT series."""
    each = _dataset(_CT, f"{_UID}.4.{n}")
    each.InstanceNumber, each.SliceThickness = n + 1, 2.5
    each.ImagePositionPatient, each.ImageOrientationPatient = [10, 20, 30 + 2.5 * n], [1, 0, 0, 0, 1, 0]
    each.PixelSpacing, each.RescaleSlope, each.RescaleIntercept = [0.5, 0.75], 1, -1024
    return _encode(each, [plane(n)], syntax)


def frames_file(count: int = 3, syntax: str = EXPLICIT) -> bytes:
    """An enhanced CT of several frames."""
    from pydicom.dataset import Dataset

    def item(**values):
        each = Dataset()
        for key, value in values.items():
            setattr(each, key, value)
        return each

    each = _dataset(_ENHANCED_CT, f"{_UID}.5")
    each.NumberOfFrames, each.InstanceNumber = count, 1
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.75], SliceThickness=2.5)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")],
    )
    each.SharedFunctionalGroupsSequence = [shared]
    each.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[10, 20, 30 + 2.5 * n])],
            FrameContentSequence=[item(StackID="1", InStackPositionNumber=n + 1, DimensionIndexValues=[1, n + 1])],
        )
        for n in range(count)
    ]
    return _encode(each, [plane(n) for n in range(count)], syntax)


def _series(make, *more: bytes) -> Case:
    return Case({f"{n}.dcm": make(n) for n in range(3)} | {f"more{n}": content for n, content in enumerate(more)})


def seeds() -> list[Case]:
    """A series in each transfer syntax, one without preamble, one beside other files."""
    syntaxes = (EXPLICIT, IMPLICIT, BIG, DEFLATED, RLE, JPEG_LS, JPEG_2000, JPEG)
    made = [_series(lambda n, syntax=syntax: slice_file(n, syntax)) for syntax in syntaxes]
    return [*made, _series(lambda n: slice_file(n)[132:]), _series(slice_file, b"a note")]


def frames_seeds() -> list[Case]:
    """Enhanced images, plain and packed."""
    return [Case({"a.dcm": frames_file(syntax=syntax)}) for syntax in (EXPLICIT, IMPLICIT, RLE, JPEG_2000)]


def changed_elements(content: bytes, *fresh: bytes) -> bytes:
    """A file with elements replaced, or put before the pixels."""
    parts = split(content)
    for each in fresh:
        places = [n for n, part in enumerate(parts) if part[:4] == each[:4]]
        if places:
            parts[places[0]] = each
        else:
            parts.insert(len(parts) - 1, each)
    return b"".join(parts)


def _size(rows: int, columns: int) -> tuple[bytes, bytes]:
    return element(0x00280010, b"US", struct.pack("<H", rows)), element(0x00280011, b"US", struct.pack("<H", columns))


def hostile() -> list[Case]:
    """What killed, hung or filled a reader."""
    sound = slice_file(0)
    cut = sound[: sound.rindex(b"\xe0\x7f\x10\x00")]
    rle = slice_file(0, RLE)
    squeezed = slice_file(0, JPEG_2000)
    siz = squeezed.index(b"\xff\x51")
    wide = squeezed[: siz + 6] + struct.pack(">2I", 60_000, 60_000) + squeezed[siz + 14 :]
    pixels = element(0x7FE00010, b"OW", bytes(2))
    made = {
        "200,000 nested sequences": cut + nested(200_000, closed=False),
        "200,000 nested and closed": cut + nested(200_000, closed=True) + pixels,
        "100,000 pixel tags": cut + pixels * 100_000,
        "a million pixel tags": Repeated(cut, pixels * 1000, 1000),
        "4 GB out of 1 kB of RLE": changed_elements(rle, *_size(65535, 65535)),
        "4 GB that are not there": changed_elements(sound, *_size(65535, 65535)),
        "60,000 x 60,000 in JPEG 2000": wide,
        "the same, and said so": changed_elements(wide, *_size(60_000, 60_000)),
        "2^31 frames": changed_elements(sound, element(0x00280008, b"IS", b"2147483647")),
        "2^31 frames of RLE": changed_elements(rle, element(0x00280008, b"IS", b"2147483647")),
        "lengths beyond the file": cut + element(0x00091001, b"OB", b"", 0xFFFFFFFE),
        "no pixels": cut,
        "a mark and nothing behind": sound[:132],
        "9 GB behind": Sparse(NINE_GB, sound),
        "9 GB of pixels": Sparse(NINE_GB, cut + element(0x7FE00010, b"OW", b"", 0xFFFFFFFE)),
        "9 GB without a mark": Sparse(NINE_GB),
        "9 GB with a mark": Sparse(NINE_GB, PREAMBLE),
        "a deflate bomb": _bomb(),
        "a character set of 5,000 names": changed_elements(sound, element(0x00080005, b"CS", b"ISO_IR 100\\" * 5000)),
        "an escape code as description": changed_elements(sound, element(0x0008103E, b"LO", b"\x1b[2J\x1b]0;x\x07 ")),
        "200,000 private elements": cut
        + b"".join(element(0x00091000 + n % 200, b"LO", b"x ") for n in range(200_000))
        + pixels,
        **{repr(odd)[:30]: odd for odd in (Pipe(), Link("/dev/zero"), Link("."), Link("nothing"), b"")},
    }
    cases = [changed(seeds()[0], "0.dcm", content, note) for note, content in made.items()]
    everywhere = [
        Case({f"{n}.dcm": changed_elements(slice_file(n), fresh) for n in range(3)}, note=f"everywhere {fresh[:8]!r}")
        for fresh in (
            element(0x00280030, b"DS", b"1e-300\\1e-300"),
            element(0x00280030, b"DS", b"1e300\\1e300"),
            element(0x00281053, b"DS", b"1e308 "),
            element(0x00281053, b"DS", b"nan "),
            element(0x00200037, b"DS", b"0\\0\\0\\0\\0\\0 "),
            element(0x00280100, b"US", b"\x40\0"),
            element(0x00280002, b"US", b"\3\0"),
            element(0x0020000E, b"UI", b""),
        )
    ]
    strange = Case({f"\udcff{n}.dcm": slice_file(n) for n in range(3)}, note="names that are no UTF-8")
    return [*cases, *everywhere, strange, Case({}, note="an empty folder")]


def _bomb() -> Repeated:
    """4 GB of zeros in a deflated data set."""
    packed = slice_file(0, DEFLATED)
    start = 132 + 12 + struct.unpack_from("<I", packed, 140)[0]
    inner = zlib.decompress(packed[start:], -15)
    cut = inner[: inner.rindex(b"\xe0\x7f\x10\x00")] + element(0x7FE00010, b"OW", b"", 0xFFFFFFFE)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return Repeated(
        packed[:start] + deflate.compress(cut) + deflate.flush(zlib.Z_FULL_FLUSH), zero_blocks(1 << 24), 256
    )


def frames_hostile() -> list[Case]:
    """Tables of frames that are large or lie."""
    sound, rle = frames_file(), frames_file(syntax=RLE)
    cut = sound[: sound.rindex(b"\xe0\x7f\x10\x00")]
    made = {
        **{
            f"{n} frames": changed_elements(sound, element(0x00280008, b"IS", str(n).encode()))
            for n in (0, -1, 2, 4, 2**31, 10**30)
        },
        **{
            f"{n} frames of RLE": changed_elements(rle, element(0x00280008, b"IS", str(n).encode()))
            for n in (2, 4, 10**9)
        },
        "no shared groups": changed_elements(sound, element(0x52009229, b"SQ", b"")),
        "no groups of frames": changed_elements(sound, element(0x52009230, b"SQ", b"")),
        "30,000 frames of one pixel": frames_of_nothing(30_000),
        "9 GB of pixels": Sparse(NINE_GB, cut + element(0x7FE00010, b"OW", b"", 0xFFFFFFFE)),
        "4 GB out of 1 kB of RLE": changed_elements(rle, *_size(65535, 65535)),
        "nested": cut + nested(200_000, closed=True),
    }
    return [Case({"a.dcm": content}, note=note) for note, content in made.items()]


def frames_of_nothing(count: int) -> bytes:
    """Many frames whose groups are empty items."""
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    groups = element(0x52009230, b"SQ", item * count)
    return changed_elements(frames_file(), groups, element(0x00280008, b"IS", str(count).encode()))


def mutate(random: Random, cases) -> Case:
    """One slice changed, or all of them alike; now and then a file replaced or doubled."""
    seed = random.choice(cases)
    names = sorted(seed.files)
    name = random.choice(names)
    action = random.random()
    if action < 0.02:
        return changed(seed, name, random.choice(odd_files()), "odd")
    if action < 0.04:
        return changed(seed, "again.dcm", seed.files[name], "doubled")
    change = _inflated(mutate_dicom) if _is_deflated(seed.files[name]) else mutate_dicom
    if action < 0.4:
        state = random.random()
        files = {each: change(Random(state), content) for each, content in seed.files.items()}
        return Case(files, note="all changed alike")
    return changed(seed, name, change(random, seed.files[name]), "changed")


def _is_deflated(content: bytes) -> bool:
    return DEFLATED.encode() in content[:400]


def _inflated(inner: Mutator) -> Mutator:
    def change(random: Random, content: bytes) -> bytes:
        start = 132 + 12 + struct.unpack_from("<I", content, 140)[0]
        if random.random() < 0.3:
            return content[:start] + mutated(random, content[start:], BYTES)
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        plain = inner(random, zlib.decompress(content[start:], -15))
        return content[:start] + deflate.compress(plain) + deflate.flush()

    return change


def read(folder: Path, _: Case) -> None:
    """List the series of a folder and read the first."""
    from DeepSegmentLib.errors import VolumeFileError
    from DeepSegmentLib.files.dicom import list_series, read_series

    series = list_series(folder)
    if len(series) < 2:
        read_series(folder)
        return
    try:
        read_series(folder)
    except VolumeFileError:
        read_series(folder, next((each.uid for each in series if each.uid), None))


DOORS = (
    Door("dicom", seeds, mutate, read, hostile),
    Door("dicom-frames", frames_seeds, mutate, read, frames_hostile),
)
