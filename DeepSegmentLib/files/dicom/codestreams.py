"""What compressed frames claim of themselves, checked before a decoder sees them.

References:
    ITU-T T.81 annex B (JPEG), T.87 annex C (JPEG-LS), T.800 annex A (JPEG 2000), DICOM PS3.5 annex G (RLE).
"""

from __future__ import annotations

from dataclasses import dataclass

from .content import DamagedError

_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_FRAME_STARTS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # of JPEG and JPEG-LS
_SCAN, _END, _EXTENSION = 0xDA, 0xD9, 0xF8
_MOST_RUN = 64  # bytes that a byte of RLE holds at most: runs of 128 take two
_MOST_TILES = 65535  # JPEG 2000 part 1


@dataclass(frozen=True)
class Claim:
    """What a codestream says it holds.

    Attributes:
        size: Columns and rows.
        samples: Numbers of each pixel.
        bits: Of a number.
        process: Marker of the frame in JPEG, which tells the kind of coding; else 0.
        data: First byte of the coded data in JPEG.
    """

    size: tuple[int, int]
    samples: int
    bits: int
    process: int = 0
    data: int = 0


def read_jpeg(stream: bytes) -> Claim:
    """The claims of a JPEG or JPEG-LS codestream.

    Raises:
        DamagedError: It is no such codestream, has several frames, or is cut off.
    """
    _check_ends(stream, b"\xff\xd8", b"\xff\xd9")
    place, claim = 2, None
    while True:
        marker, length = stream[place + 1 : place + 2], int.from_bytes(stream[place + 2 : place + 4], "big")
        if stream[place : place + 1] != b"\xff" or not marker or place + 2 + length > len(stream):
            raise DamagedError("its compressed pixels are damaged")
        kind, body = marker[0], stream[place + 4 : place + 2 + length]
        if kind == 0xFF:
            place += 1
            continue
        if kind in _ALONE or kind == _END or length < 2 or (kind == _EXTENSION and body[:1] == b"\x04"):
            raise DamagedError("its compressed pixels are damaged")
        if kind in _FRAME_STARTS:
            if claim is not None or len(body) < 6:
                raise DamagedError("its compressed pixels are damaged: they have two headers")
            claim = Claim((_two(body, 3), _two(body, 1)), body[5], body[0], kind)
        place += 2 + length
        if kind == _SCAN:
            break
    if claim is None:
        raise DamagedError("its compressed pixels have no header")
    return Claim(claim.size, claim.samples, claim.bits, claim.process, place)


def read_jpeg_2000(stream: bytes) -> Claim:
    """The claims of a JPEG 2000 codestream.

    Raises:
        DamagedError: It is no such codestream or is cut off.
    """
    _check_ends(stream, b"\xff\x4f\xff\x51", b"\xff\xd9")
    if len(stream) < 45 or _two(stream, 40) != 1:
        raise DamagedError("its compressed pixels have several channels")
    right, bottom, left, top, width, height, tiles_left, tiles_top = (_four(stream, 8 + 4 * n) for n in range(8))
    if not (left < right and top < bottom and width and height and tiles_left <= left and tiles_top <= top):
        raise DamagedError("its compressed pixels have a damaged header")
    tiles = -(-(right - tiles_left) // width) * -(-(bottom - tiles_top) // height)
    if tiles > _MOST_TILES or stream[43:45] != b"\x01\x01":
        raise DamagedError("its compressed pixels have a damaged header")
    return Claim((right - left, bottom - top), 1, (stream[42] & 0x7F) + 1)


def check_run_lengths(stream: bytes, size: tuple[int, int], sample_bytes: int) -> None:
    """Check that RLE can hold a frame at all.

    Raises:
        DamagedError: It cannot, or its segments are not in it.
    """
    offsets = [int.from_bytes(stream[4 * n : 4 * n + 4], "little") for n in range(1, sample_bytes + 1)]
    if int.from_bytes(stream[:4], "little") != sample_bytes or len(stream) < 64 or offsets[0] != 64:
        raise DamagedError("its compressed pixels have a damaged header")
    lengths = [end - start for start, end in zip(offsets, [*offsets[1:], len(stream)], strict=True)]
    if min(lengths) * _MOST_RUN < size[0] * size[1]:
        raise DamagedError(f"its compressed pixels cannot hold {size[0]} x {size[1]}")


def _check_ends(stream: bytes, first: bytes, last: bytes) -> None:
    if not stream.startswith(first):
        raise DamagedError("its compressed pixels are of another kind than its transfer syntax says")
    if not stream.endswith(last):
        raise DamagedError("its compressed pixels are cut off")


def _two(stream: bytes, place: int) -> int:
    return int.from_bytes(stream[place : place + 2], "big")


def _four(stream: bytes, place: int) -> int:
    return int.from_bytes(stream[place : place + 4], "big")
