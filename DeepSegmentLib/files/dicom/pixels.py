"""Pixels of slices as numbers in the units of their modality; compressed ones by the decoders of pydicom.

A frame is decoded only when its own header claims what the file does. Nothing is filled in where a file lacks pixels.

References:
    DICOM PS3.5 section 8 (pixel data, unused bits), A.4 (encapsulated pixels); pydicom, "Plugins for pixel data".
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data.progress import check_stop
from DeepSegmentLib.errors import MissingPackageError, VolumeFileError
from DeepSegmentLib.files.opening import open_file

from .codestreams import check_run_lengths, read_jpeg, read_jpeg_2000
from .content import DamagedError, ForeignError, refusal
from .headers import BIG_ENDIAN, UNCOMPRESSED
from .jpeg_lossless import decode_lossless

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from .codestreams import Claim
    from .content import Content
    from .headers import Image, Slice

_JPEG = "1.2.840.10008.1.2.4."
_JPEG_8_BITS = frozenset({_JPEG + "50", _JPEG + "51"})
_JPEG_LOSSLESS = frozenset({_JPEG + "57", _JPEG + "70"})
_JPEG_LS = frozenset({_JPEG + "80", _JPEG + "81"})
_JPEG_2000 = frozenset({_JPEG + "90", _JPEG + "91", *(f"{_JPEG}20{n}" for n in (1, 2, 3))})
_RUN_LENGTHS = "1.2.840.10008.1.2.5"
_PLUGINS = {
    **dict.fromkeys(_JPEG_8_BITS, ("pillow", "pillow")),
    **dict.fromkeys(_JPEG_LS, ("pyjpegls", "pyjpegls")),
    **dict.fromkeys(_JPEG_2000, ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg")),
    _RUN_LENGTHS: ("pydicom", "pydicom"),
}
_LOSSLESS_PROCESS = 0xC3
_MOST_PADDING = 16  # bytes behind a codestream


def number_type(slices: Sequence[Slice]) -> np.dtype[Any]:
    """The numbers of a volume: integers where slopes and intercepts are whole, else float32."""
    bounds, width = [], 0
    for each in slices:
        allocated, stored, _ = each.image.bits
        low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if each.image.signed else (0, (1 << stored) - 1)
        if not (each.slope.is_integer() and each.intercept.is_integer()):
            return np.dtype(np.float32)
        bounds += [low * int(each.slope) + int(each.intercept), high * int(each.slope) + int(each.intercept)]
        width = max(width, allocated // 8)
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32):
        limits = np.iinfo(kind)
        if limits.bits >= 8 * width and limits.min <= min(bounds) and max(bounds) <= limits.max:
            return np.dtype(kind)
    return np.dtype(np.float32)


def read_pixels(slices: Sequence[Slice], voxels: NDArray[Any]) -> None:
    """Fill planes of voxels (k, j, i) with slices, each with its own slope and intercept.

    Raises:
        VolumeFileError: A slice is damaged, or compressed in a way that is not read.
        MissingPackageError: A decoder is not installed.
    """
    files: dict[int, list[int]] = {}
    for k, each in enumerate(slices):
        files.setdefault(id(each.image), []).append(k)
    for planes in files.values():
        frames = _frames(slices[planes[0]].image, [slices[k].frame for k in planes])
        for k, plane in zip(planes, frames, strict=True):
            check_stop()
            _rescale(plane, slices[k], voxels[k])


def _rescale(plane: NDArray[Any], each: Slice, voxels: NDArray[Any]) -> None:
    kind = voxels.dtype
    if kind.kind == "f":
        with np.errstate(over="ignore"):  # infinity is refused where voxels are checked
            voxels[...] = plane * np.float64(each.slope) + each.intercept
    elif each.slope != 1:  # what does not fit on the way wraps, and wraps back
        np.multiply(plane, _wrapped(each.slope, kind), out=voxels, dtype=kind, casting="unsafe")
        np.add(voxels, _wrapped(each.intercept, kind), out=voxels)
    elif each.intercept:
        np.add(plane, _wrapped(each.intercept, kind), out=voxels, dtype=kind, casting="unsafe")
    else:
        voxels[...] = plane


def _wrapped(number: float, kind: np.dtype[Any]) -> Any:
    """A whole number in arithmetic modulo the range of a type."""
    return np.array(int(number) % (1 << 8 * kind.itemsize), f"u{kind.itemsize}").astype(kind)


def _frames(image: Image, frames: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Frames of a file (row, column), as they are stored."""
    with open_file(image.path) as file:
        content = image.content(file)
        try:
            pieces = None if image.syntax in UNCOMPRESSED else _pieces(image, content)
            for frame in frames:
                plane = _stored(image, content, frame) if pieces is None else _decode(image, content, pieces[frame])
                yield _used_bits(plane, image)
        except DamagedError as error:
            raise refusal(image.path, error) from error
        except OSError as error:
            raise VolumeFileError(f"{image.path} cannot be read: {error.strerror or error}; copy it again") from error


def _kind(image: Image) -> np.dtype[Any]:
    allocated = image.bits[0]
    if allocated not in (8, 16, 32):
        raise ForeignError(f"its pixels have {allocated} bits, where 8, 16 and 32 are read; convert it first")
    order = ">" if image.syntax == BIG_ENDIAN else "<"
    return np.dtype(f"{order}{'i' if image.signed else 'u'}{allocated // 8}")


def _stored(image: Image, content: Content, frame: int) -> NDArray[Any]:
    kind, length = _kind(image), image.frame_bytes
    raw = content.at(image.pixels[0][0] + frame * length, length)
    if len(raw) != length:
        raise DamagedError("its pixel data is cut off")
    numbers = np.frombuffer(raw, kind)
    if image.syntax == BIG_ENDIAN and image.words and kind.itemsize == 1:
        numbers = _unswapped(numbers)
    return numbers.reshape(image.size[::-1])


def _unswapped(numbers: NDArray[Any]) -> NDArray[Any]:
    """Bytes that were written in words of the other order."""
    if len(numbers) % 2:
        raise DamagedError("it has an odd number of bytes in words of 16 bits")
    return numbers.reshape(-1, 2)[:, ::-1].ravel()


def _used_bits(plane: NDArray[Any], image: Image) -> NDArray[Any]:
    """Numbers without the bits that are not theirs (overlays in old files), with their sign."""
    allocated, stored, high = image.bits
    if stored == allocated:
        return plane
    if high == stored - 1 and not image.signed:
        return np.asarray(plane & np.array((1 << stored) - 1, plane.dtype.newbyteorder("=")))
    native = plane.astype(plane.dtype.newbyteorder("="))
    return np.asarray((native << (allocated - 1 - high)) >> (allocated - stored))


def _pieces(image: Image, content: Content) -> list[tuple[tuple[int, int], ...]]:
    """The fragments of each frame; the first fragment is the table of offsets."""
    table, fragments = image.pixels[:1], image.pixels[1:]
    if not table or not fragments:
        raise DamagedError("it has no compressed pixels")
    if image.frames == 1:
        return [fragments]
    if len(fragments) == image.frames:
        return [(each,) for each in fragments]
    return _by_offsets(content.at(*table[0]), fragments, image.frames)


def _by_offsets(table: bytes, fragments: Sequence[tuple[int, int]], frames: int) -> list[tuple[tuple[int, int], ...]]:
    """Fragments of each frame by the place where its first one begins."""
    if len(table) != 4 * frames:
        raise DamagedError(f"its {len(fragments)} fragments do not tell which of {frames} frames they belong to")
    starts = np.frombuffer(table, "<u4").astype(np.int64) + fragments[0][0] - 8
    places = [start - 8 for start, _ in fragments]
    if starts[0] != places[0] or (np.diff(starts) <= 0).any() or not np.isin(starts, places).all():
        raise DamagedError("its table of frames is damaged")
    belongs = np.searchsorted(starts, places, side="right") - 1
    return [tuple(fragments[n] for n in np.flatnonzero(belongs == frame).tolist()) for frame in range(frames)]


def _decode(image: Image, content: Content, pieces: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """A compressed frame (row, column)."""
    stream = b"".join(content.at(*piece) for piece in pieces)
    kind = _kind(image)
    if image.syntax == _RUN_LENGTHS:
        check_run_lengths(stream, image.size, kind.itemsize)
        return _by_pydicom(image, stream)
    claim, stream = _claim(image, stream)
    if claim.size != image.size or claim.samples != 1 or claim.bits > image.bits[0]:
        raise DamagedError(
            f"its compressed pixels are {claim.size[0]} x {claim.size[1]} of {claim.samples} x {claim.bits} bits, its "
            f"header claims {image.size[0]} x {image.size[1]} of {image.bits[0]} bits"
        )
    if image.syntax in _JPEG_LOSSLESS:
        return decode_lossless(stream, claim).astype(kind)
    return _by_pydicom(image, stream)


def _claim(image: Image, stream: bytes) -> tuple[Claim, bytes]:
    """What a codestream claims, and the codestream without what surrounds it."""
    if image.syntax in _JPEG_2000:
        start = max(stream.find(b"\xff\x4f\xff\x51"), 0)  # some writers put a JP2 file around it
        stream = _trimmed(stream[start:])
        return read_jpeg_2000(stream), stream
    if image.syntax not in _PLUGINS and image.syntax not in _JPEG_LOSSLESS:
        raise ForeignError(
            f"its transfer syntax {image.syntax or '(none)'} is not read; convert it with gdcmconv --raw"
        )
    stream = _trimmed(stream)
    claim = read_jpeg(stream)
    lossless = claim.process == _LOSSLESS_PROCESS
    if image.syntax in _JPEG_LOSSLESS and not lossless:
        raise DamagedError("its JPEG is not the lossless one that its transfer syntax says")
    if image.syntax in _JPEG_8_BITS and (claim.bits != 8 or lossless):
        raise ForeignError(f"its JPEG of {claim.bits} bits is not read; convert it with gdcmconv --raw")
    return claim, stream


def _trimmed(stream: bytes) -> bytes:
    """A codestream without the padding behind its end, if it has one."""
    end = stream.rfind(b"\xff\xd9") + 2
    return stream[:end] if len(stream) - _MOST_PADDING <= end else stream


def _by_pydicom(image: Image, stream: bytes) -> NDArray[Any]:
    """A frame by a decoder of pydicom."""
    plugin, packages = _PLUGINS[image.syntax]
    decoder = _decoder(image.syntax, plugin, packages)
    from pydicom.encaps import encapsulate

    options = {
        "rows": image.size[1],
        "columns": image.size[0],
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "bits_allocated": image.bits[0],
        "bits_stored": image.bits[1],
        "pixel_representation": int(image.signed),
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
    }
    if image.syntax == _RUN_LENGTHS:
        options["correct_unused_bits"] = False  # the highest bit may be another than it thinks
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plane, _ = decoder.as_array(encapsulate([stream]), index=0, raw=True, decoding_plugin=plugin, **options)
    except Exception as error:  # decoders refuse in many ways
        raise DamagedError(f"it cannot be decoded ({' '.join(str(error).split())[-200:]})") from error
    if plane.shape != image.size[::-1]:
        raise DamagedError(f"its compressed pixels give {plane.shape} where its header claims {image.size[::-1]}")
    return np.asarray(plane).astype(_kind(image), copy=False)


def _decoder(syntax: str, plugin: str, packages: str) -> Any:
    remedy = f"pip install {packages}"
    try:
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID
    except ImportError as error:
        raise MissingPackageError("reading compressed DICOM needs pydicom 3; pip install 'pydicom>=3.0'") from error
    decoder = get_decoder(UID(syntax))
    if plugin not in decoder.available_plugins:
        raise MissingPackageError(f"reading this DICOM series ({UID(syntax).name}) needs a decoder; {remedy}")
    return decoder
