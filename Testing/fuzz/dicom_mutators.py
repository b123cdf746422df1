"""DICOM files gone wrong, element by element (DICOM PS3.5 section 7)."""

from __future__ import annotations

import struct
from random import Random

from .mutators import BYTES, NUMBER_WORDS, NUMBERS, WORDS, mutated

PREAMBLE = bytes(128) + b"DICM"
PIXELS = b"\xe0\x7f\x10\x00"
_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV")
_VRS = (
    *_LONG,
    b"US",
    b"SS",
    b"UL",
    b"SL",
    b"FL",
    b"FD",
    b"DS",
    b"IS",
    b"UI",
    b"LO",
    b"PN",
    b"DA",
    b"AT",
    b"XX",
    b"\0\0",
)
_TEXTS = (b"DS", b"IS", b"UI", b"LO", b"SH", b"CS", b"PN", b"DA", b"TM", b"UT", b"ST", b"LT")
_LENGTHS = (0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFF, 0x10000, 999_999)
_UNDEFINED = 0xFFFFFFFF


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit little endian; `length` where it shall lie."""
    size = len(value) if length is None else length
    head = struct.pack("<2H", tag >> 16, tag & 0xFFFF) + vr
    return head + (b"\0\0" + struct.pack("<I", size) if vr in _LONG else struct.pack("<H", size & 0xFFFF)) + value


def nested(depth: int, *, closed: bool) -> bytes:
    """Sequences in sequences, of undefined length."""
    opened = element(0x00081140, b"SQ", b"", _UNDEFINED) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return opened * depth + (b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth if closed else b"")


ELEMENTS = (
    *(
        element(0x00080005, b"CS", text)
        for text in (b"XYZ ", b"ISO 2022 IR 87\\ISO 2022 IR 13", b"ISO_IR 192", b"\\" * 5000)
    ),
    *(element(0x00280008, b"IS", text) for text in (b"2 ", b"-1", b"0 ", b"2147483647", b"9" * 400)),
    *(element(0x00280010, b"US", struct.pack("<H", number)) for number in (0, 1, 65535)),
    *(element(0x00280011, b"US", struct.pack("<H", number)) for number in (0, 1, 65535)),
    *(element(0x00280100, b"US", struct.pack("<H", number)) for number in (0, 1, 7, 8, 12, 32, 64, 65535)),
    *(element(0x00280101, b"US", struct.pack("<H", number)) for number in (0, 1, 12, 17, 65535)),
    *(element(0x00280002, b"US", struct.pack("<H", number)) for number in (0, 3, 4, 65535)),
    *(element(0x00281053, b"DS", text) for text in (b"nan ", b"1e308 ", b"0 ", b"abc ", b"1\\2 ", b"")),
    *(element(0x00281052, b"DS", text) for text in (b"inf ", b"-1e308", b"1e-400", b"\\\\\\ ")),
    *(element(0x00200032, b"DS", text) for text in (b"nan\\nan\\nan ", b"1e308\\1\\1", b"1\\2 ", b"a\\b\\c ", b"")),
    *(
        element(0x00200037, b"DS", text)
        for text in (b"0\\0\\0\\0\\0\\0 ", b"1\\0\\0\\1\\0\\0 ", b"1\\0\\0 ", b"1e200\\0\\0\\0\\1\\0 ")
    ),
    *(element(0x00280030, b"DS", text) for text in (b"0\\0 ", b"-1\\-1 ", b"nan\\1 ", b"1e-300\\1e-300 ", b"1 ")),
    *(element(0x0020000E, b"UI", text) for text in (b"", b"1.2.3", b"x" * 5000, b"../..", b"1\\2 ")),
    *(element(0x0008103E, b"LO", text) for text in (b"\x1b[2J", b"%s%n", b"\xff\xfe", b"d" * 5000)),
    element(0x00020010, b"UI", b"1.2.840.10008.1.2.4.90"),
    element(0x00020010, b"UI", b"1.2.840.10008.1.2.1.99"),
    element(0x00020010, b"UI", b"1.2.3.4.5.6.7.8.9\0"),
    element(0x00020000, b"UL", b"\xff\xff\xff\xff"),
    element(0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\LOCALIZER"),
    element(0x00280004, b"CS", b"PALETTE COLOR "),
    element(0x00280004, b"CS", b"RGB "),
    element(0x00280103, b"US", b"\x07\0"),
    element(0x7FE00010, b"OB", b"", _UNDEFINED),
    element(0x7FE00010, b"OW", b"", 0xFFFFFFFE),
    element(0x7FE00010, b"OW", b"ab", 0x7FFFFFFF),
    element(0x7FE00008, b"OF", bytes(192)),
    element(0x7FE00009, b"OD", bytes(384)),
    element(0x00091001, b"UN", bytes(64), _UNDEFINED),
    nested(50, closed=True),
    nested(2000, closed=True),
    nested(2000, closed=False),
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
)
"""Elements that ask for too much, or contradict themselves."""


def split(content: bytes) -> list[bytes]:
    """The elements of a file in explicit little endian, the preamble first; the rest that cannot be split last."""
    start = 132 if content[128:132] == b"DICM" else 0
    parts, at = [content[:start]], start
    while at + 8 <= len(content):
        vr = content[at + 4 : at + 6]
        if not vr.isalpha():
            break
        head, kind = (12, "<I") if vr in _LONG else (8, "<H")
        if at + head > len(content):
            break
        (length,) = struct.unpack_from(kind, content, at + head - struct.calcsize(kind))
        if length == _UNDEFINED or at + head + length > len(content):
            break
        parts.append(content[at : at + head + length])
        at += head + length
    return [*parts, content[at:]] if at < len(content) else parts


def mutate_dicom(random: Random, content: bytes) -> bytes:
    """A few elements or bytes gone wrong."""
    if random.random() < 0.25:
        return mutated(random, content, BYTES)
    parts = split(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(random, parts)
    return b"".join(parts)


def _change(random: Random, parts: list[bytes]) -> None:
    at = random.randrange(len(parts))
    action = random.randrange(12)
    if action == 0:
        del parts[at]
        parts.append(b"")
    elif action == 1:
        parts[at:at] = [parts[at]] * random.choice((1, 2, 1000)) if len(parts[at]) < 1000 else [parts[at]]
    elif action == 2:
        parts[at], parts[-1] = parts[-1], parts[at]
    elif action == 3:
        _put(random, parts, random.choice(ELEMENTS))
    elif action in (4, 5, 6):
        _replace(parts, random.choice(ELEMENTS))
    elif action == 7:
        parts[at] = _of_length(random, parts[at])
    elif action == 8:
        parts[at] = parts[at][:4] + random.choice(_VRS) + parts[at][6:]
    elif action == 9:
        parts[-1] = mutated(random, parts[-1] or b"\0", BYTES)
    else:
        parts[at] = _of_value(random, parts[at])


def _put(random: Random, parts: list[bytes], fresh: bytes) -> None:
    parts.insert(random.randrange(len(parts) + 1), fresh)


def _replace(parts: list[bytes], fresh: bytes) -> None:
    """In the place of the element with this tag, or before the pixels."""
    places = [n for n, part in enumerate(parts) if part[:4] == fresh[:4]]
    if places:
        parts[places[0]] = fresh
    else:
        parts.insert(len(parts) - 1, fresh)


def _of_length(random: Random, part: bytes) -> bytes:
    """The element with another length before the same value."""
    if part[4:6] in _LONG:
        return part[:8] + struct.pack("<I", random.choice(_LENGTHS)) + part[12:]
    return part[:6] + struct.pack("<H", random.choice(_LENGTHS) & 0xFFFF) + part[8:]


def _of_value(random: Random, part: bytes) -> bytes:
    """The element with another value, of a length that is right."""
    vr = part[4:6]
    if len(part) < 8 or not vr.isalpha():
        return mutated(random, part or b"\0", BYTES)
    value = part[12:] if vr in _LONG else part[8:]
    if vr in _TEXTS:
        words = [random.choice((*NUMBER_WORDS, "")).encode() for _ in range(random.choice((1, 1, 2, 3, 6)))]
        fresh = random.choice((b"\\".join(words), random.choice(WORDS), value * 2, value[:-1]))
    elif vr in (b"US", b"SS", b"UL", b"SL"):
        fresh = struct.pack("<I", random.choice(NUMBERS) & 0xFFFFFFFF)[: random.choice((len(value), len(value), 1, 4))]
    else:
        fresh = mutated(random, value or b"\0", BYTES)
    tag = int.from_bytes(part[:2], "little") << 16 | int.from_bytes(part[2:4], "little")
    return element(tag, vr, fresh + b" " * (len(fresh) % 2 if vr in _TEXTS else 0))
