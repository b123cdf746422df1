"""Bytes, text and numbers gone wrong."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

NUMBERS = (
    *(0, 1, -1, 2, 3, 4, 5, 7, 8, 9, 100, 255, 256, 65535, 65536, 99999, 1 << 24),
    *((1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, -(1 << 63), 1 << 64),
    *(10**30, -(10**30)),
)
"""Whole numbers at which counters, sizes and signs turn over."""

NUMBER_WORDS = (
    *map(str, NUMBERS),
    *("nan", "inf", "-inf", "1e308", "-1e308", "1e-308", "1e-4", "1000", "0.0", "-0.0", "1e30", "1e999", "0x10"),
    *("1_000", "+1", "1.5", "1e5", "--1", "1,2", "", "९", "1" * 400, "1" * 5000),
)

WORDS = (
    *(b"%s%n%s%n", b"%d%d%d", b"%99999999d", b"/etc/passwd", b"../outside", b"@FOLDER@/outside.txt", b"\0", b"\xff"),
    *(b"\xe9", b"\xed\xa0\x80", b"\r\n", b"\r", b"\n\n", b"\t", b"a" * 300, b"a" * 5000, b"(" * 500, b"{}", b"[]"),
    *(b"\\", b'"', b"'", b"NaN", b"null", b"true", b"-", b"LIST", b"LOCAL", b"none", b"\x1b[2J", b"=HYPERLINK(1)"),
)
"""What C parsers, paths and terminals stumble over."""

Mutator = Callable[[Random, bytes], bytes]
_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf")
_LONGEST = 1 << 20  # bytes; what grows by duplication stays small enough for thousands of cases


def flip_bits(random: Random, content: bytes) -> bytes:
    """A few bits turned over."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, content: bytes) -> bytes:
    """A few bytes replaced by random ones."""
    at = random.randrange(len(content))
    fresh = random.randbytes(random.choice((1, 2, 4, 16)))
    return content[:at] + fresh + content[at + len(fresh) :]


def overwrite_number(random: Random, content: bytes) -> bytes:
    """Some bytes replaced by a binary number that is often wrong."""
    kind = random.choice("bhiqfd")
    if kind in "fd":
        number = struct.pack("<" + kind, random.choice((0, -1, 1e-30, 1e30, float("nan"), float("inf"), 65536)))
    else:
        bits = 8 * struct.calcsize("<" + kind)
        number = (random.choice(NUMBERS) % (1 << bits)).to_bytes(bits // 8, random.choice(("little", "big")))
    at = random.randrange(len(content))
    return content[:at] + number + content[at + len(number) :]


def truncate(random: Random, content: bytes) -> bytes:
    """The first part."""
    return content[: random.randrange(len(content))]


def insert(random: Random, content: bytes) -> bytes:
    """Random bytes or a word more."""
    at = random.randrange(len(content))
    return (
        content[:at] + random.choice((random.randbytes(random.randrange(1, 64)), random.choice(WORDS))) + content[at:]
    )


def _slice(random: Random, content: bytes) -> tuple[int, int]:
    start = random.randrange(len(content))
    return start, min(len(content), start + random.choice((1, 4, 16, 64, 512, 4096)))


def delete(random: Random, content: bytes) -> bytes:
    """A slice less."""
    start, stop = _slice(random, content)
    return content[:start] + content[stop:]


def duplicate(random: Random, content: bytes) -> bytes:
    """A slice twice, or a hundred times."""
    start, stop = _slice(random, content)
    times = random.choice((1, 1, 3, 100))
    return (content[:stop] + content[start:stop] * times + content[stop:])[:_LONGEST]


def blank(random: Random, content: bytes) -> bytes:
    """A slice of zeros or ones."""
    start, stop = _slice(random, content)
    return content[:start] + random.choice((b"\0", b"\xff", b" ")) * (stop - start) + content[stop:]


BYTES: tuple[Mutator, ...] = (
    *(flip_bits, flip_bits, overwrite, overwrite, overwrite_number, overwrite_number),
    *(truncate, insert, delete, duplicate, blank),
)


def change_number(random: Random, text: bytes) -> bytes:
    """A number of a text replaced by another."""
    places = list(_NUMBER.finditer(text))
    if not places:
        return insert(random, text or b" ")
    place = random.choice(places)
    return text[: place.start()] + random.choice(NUMBER_WORDS).encode() + text[place.end() :]


def change_lines(random: Random, text: bytes) -> bytes:
    """A line less, twice, elsewhere, or ten thousand times."""
    lines = text.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    times = random.choice((0, 1, 2, 2, random.choice((10, 10_000))))
    at = random.randrange(len(lines) + 1)
    lines[at:at] = [line] * times
    return b"\n".join(lines)[:_LONGEST]


def change_value(random: Random, text: bytes) -> bytes:
    """What follows a colon or an equals sign replaced by another line's, or by a word."""
    lines = text.split(b"\n")
    at = random.randrange(len(lines))
    values = [value for line in lines for _, mark, value in [_parts(line)] if mark]
    key, mark, value = _parts(lines[at])
    fresh = random.choice((random.choice(WORDS), random.choice(NUMBER_WORDS).encode(), *values[:1], *values[-1:]))
    lines[at] = key + mark + random.choice((fresh, b" " + fresh, value + b" " + fresh, b""))
    return b"\n".join(lines)


def _parts(line: bytes) -> tuple[bytes, bytes, bytes]:
    found = re.search(rb":=|: |=", line)
    return (line[: found.start()], found[0], line[found.end() :]) if found else (line, b"", b"")


def add_line(*dictionary: bytes) -> Mutator:
    """A line of a dictionary more, at any place."""

    def mutate(random: Random, text: bytes) -> bytes:
        lines = text.split(b"\n")
        lines.insert(random.randrange(len(lines) + 1), random.choice(dictionary))
        return b"\n".join(lines)

    return mutate


def replace_line(*dictionary: bytes) -> Mutator:
    """The line of the same key replaced by one of the dictionary."""

    def mutate(random: Random, text: bytes) -> bytes:
        fresh = random.choice(dictionary)
        key = re.split(rb":|=", fresh)[0].strip().lower()
        return b"\n".join(
            fresh if re.split(rb":|=", line)[0].strip().lower() == key else line for line in text.split(b"\n")
        )

    return mutate


TEXT: tuple[Mutator, ...] = (change_number, change_number, change_number, change_lines, change_value, change_value)


def splice(random: Random, first: bytes, second: bytes) -> bytes:
    """The head of one and the tail of another."""
    return first[: random.randrange(len(first) + 1)] + second[random.randrange(len(second) + 1) :]


def mutated(random: Random, content: bytes, mutators: Sequence[Mutator], others: Sequence[bytes] = ()) -> bytes:
    """One to four changes one after another, now and then a splice."""
    if others and random.random() < 0.05:
        content = splice(random, content, random.choice(others))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        content = random.choice(mutators)(random, content or b"\0")
    return content
