"""Data elements of a DICOM file, found without recursion and without reading what nobody asked for.

References:
    DICOM PS3.5 section 7 (data elements, sequences, undefined lengths), 6.2 (value representations), A (transfer
    syntaxes: byte order, explicit or implicit representation).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .content import DamagedError
from .tags import BINARY, PIXEL_TAGS, WANTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .content import Content

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

_MOST_ELEMENTS = 1_000_000  # an enhanced image of 10,000 frames has some 600,000
_DEEPEST = 64  # of nested sequences; structured reports reach about 10
_LONGEST_VALUE = 4096  # bytes of the values that are asked for; the standard allows 16 letters a number
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_NUMBERS = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d"}


@dataclass(frozen=True)
class Syntax:
    """How elements are written."""

    implicit: bool
    big_endian: bool = False

    @cached_property
    def order(self) -> str:
        """Of bytes, as `struct` writes it."""
        return ">" if self.big_endian else "<"


@dataclass(frozen=True, slots=True)
class Element:
    """Where a value lies: its representation (empty where implicit), first byte and length."""

    vr: bytes
    start: int
    length: int


class Elements:
    """The wanted elements of a data set or of an item of a sequence."""

    def __init__(self, content: Content, syntax: Syntax) -> None:
        self.content, self.syntax = content, syntax
        self.found: dict[int, Element] = {}

    def __contains__(self, tag: int) -> bool:
        return tag in self.found

    def scan(self, start: int, end: int | None = None, *, only_group: int | None = None) -> int:
        """Find the elements from a place on, to the end of their item or to the pixels.

        Args:
            start: Of the first element.
            end: Where the item ends; None where that shows.
            only_group: Of tags; the first of another one ends the scan. None for all.

        Returns:
            The place after them.

        Raises:
            DamagedError: They make no sense, are cut off, or are too many; what was found before is kept.
        """
        place = start
        for _ in range(_MOST_ELEMENTS):
            if end is not None and place >= end:
                return place
            if only_group is not None and self._group(place) != only_group:
                return place
            head = _head(self.content, place, self.syntax)
            if head is None and end is None:
                return place
            if head is None:
                raise DamagedError("it is cut off within its header")
            tag, element = head
            if tag == ITEM_END:
                return element.start
            self._keep(tag, element)
            if tag in PIXEL_TAGS:
                return element.start
            place = _after(self.content, element, self.syntax)
        raise DamagedError(f"it has more than {_MOST_ELEMENTS} elements in its header")

    def raw(self, tag: int) -> bytes:
        """The value as it is; empty where it is missing.

        Raises:
            DamagedError: It is longer than such values are.
        """
        element = self.found.get(tag)
        if element is None:
            return b""
        if element.length > _LONGEST_VALUE:
            raise DamagedError(
                f"its element {_name(tag)} has {element.length} bytes, where {_LONGEST_VALUE} are too many"
            )
        return self.content.at(element.start, element.length)

    def words(self, tag: int) -> tuple[str, ...]:
        """The values of an element of plain letters (codes, UIDs)."""
        text = self.raw(tag).decode("ascii", "replace")
        return tuple(_plain(part) for part in text.split("\\")) if text.strip(" \0") else ()

    def word(self, tag: int) -> str:
        """The first of its values; empty where there is none."""
        return next(iter(self.words(tag)), "")

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The numbers of an element, however they are written; none where it is missing.

        Raises:
            DamagedError: They are no numbers, or not finite.
        """
        raw, vr = self.raw(tag), self.found[tag].vr if tag in self.found else b""
        kind = _NUMBERS.get(vr) or (BINARY.get(tag) if vr in (b"", b"UN") else None)
        numbers = self._unpack(raw, kind, tag) if kind else _read_numbers(raw, tag)
        if not all(map(math.isfinite, numbers)):
            raise DamagedError(f"its element {_name(tag)} holds {numbers}, where finite numbers belong")
        return numbers

    def number(self, tag: int) -> float | None:
        """The first of its numbers; None where there is none."""
        return next(iter(self.numbers(tag)), None)

    def whole(self, tag: int) -> int:
        """A whole number; 0 where it is missing.

        Raises:
            DamagedError: It is no whole number from 0 to 2^31.
        """
        number = self.number(tag) or 0
        if number != int(number) or not 0 <= number < 1 << 31:
            raise DamagedError(f"its element {_name(tag)} holds {number}, where a whole number belongs")
        return int(number)

    def items(self, tag: int) -> Iterator[Elements]:
        """The items of a sequence, one after the other.

        Raises:
            DamagedError: The sequence is damaged.
        """
        element = self.found.get(tag)
        if element is None:
            return
        syntax = Syntax(implicit=True) if element.vr == b"UN" else self.syntax
        place = element.start
        end = None if element.length == UNDEFINED else place + element.length
        while end is None or place < end:
            mark, length = _item_head(self.content, place, syntax)
            if mark == SEQUENCE_END and end is None:
                return
            if mark != ITEM:
                raise DamagedError(f"its sequence {_name(tag)} is damaged")
            item = Elements(self.content, syntax)
            place = item.scan(place + 8, None if length == UNDEFINED else place + 8 + length)
            yield item

    def item(self, tag: int) -> Elements:
        """The first item of a sequence; an empty one where there is none."""
        return next(self.items(tag), Elements(self.content, self.syntax))

    def _group(self, place: int) -> int:
        return int.from_bytes(self.content.at(place, 2), "big" if self.syntax.big_endian else "little")

    def _keep(self, tag: int, element: Element) -> None:
        if tag not in WANTED:
            return
        if tag in self.found:
            raise DamagedError(f"it has the element {_name(tag)} twice")
        self.found[tag] = element

    def _unpack(self, raw: bytes, kind: str, tag: int) -> tuple[float, ...]:
        count, rest = divmod(len(raw), struct.calcsize(kind))
        if rest:
            raise DamagedError(f"its element {_name(tag)} has {len(raw)} bytes, which make no numbers")
        return tuple(map(float, struct.unpack(f"{self.syntax.order}{count}{kind}", raw)))


def looks_explicit(content: Content, start: int) -> bool:
    """Whether the element there says how its value is represented."""
    letters = content.at(start, 6)[4:]
    return letters in _LONG or letters in _SHORT


def looks_like_elements(head: bytes) -> bool:
    """Whether bytes without DICOM's mark begin as its elements do: with group 2 or 8, in ascending order."""
    big = head[:1] == b"\0"
    if head[:2] not in (b"\x08\0", b"\x02\0", b"\0\x08"):
        return False
    content = _Memory(head)
    syntax = Syntax(implicit=not looks_explicit(content, 0), big_endian=big)
    last, place = -1, 0
    try:
        for n in range(4):
            found = _head(content, place, syntax)
            if found is None or not last < found[0] < 0x0021_0000 or found[1].length > len(head):
                return n > 2
            last, place = found[0], found[1].start + found[1].length
    except DamagedError:
        return False
    return True


class _Memory:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def at(self, start: int, length: int) -> bytes:
        return self._content[start : start + length]

    def holds(self, end: int) -> bool:
        return end <= len(self._content)


def _head(content: Content, place: int, syntax: Syntax) -> tuple[int, Element] | None:
    """The tag of the element there, and where its value lies; None at the end of the content."""
    head = content.at(place, 12)
    if len(head) < 8:
        if head.strip(b"\0"):
            raise DamagedError("it is cut off within its header")
        return None
    group, number, length = struct.unpack_from(syntax.order + "HHI", head)
    tag = group << 16 | number
    if not group:  # of messages, never of files: the zeros of a damaged one
        raise DamagedError(f"it has no element but nonsense at byte {place}")
    if syntax.implicit or group == 0xFFFE:
        return tag, Element(b"", place + 8, length)
    vr = head[4:6]
    if vr in _SHORT:
        return tag, Element(vr, place + 8, struct.unpack_from(syntax.order + "H", head, 6)[0])
    if vr not in _LONG or len(head) < 12:
        raise DamagedError(f"it has no element but nonsense at byte {place}")
    return tag, Element(vr, place + 12, struct.unpack_from(syntax.order + "I", head, 8)[0])


def _after(content: Content, element: Element, syntax: Syntax) -> int:
    """The place after a value."""
    if element.length == UNDEFINED:
        return _skip_sequence(content, element, syntax)
    end = element.start + element.length
    if not content.holds(end):
        raise DamagedError("it is cut off within its header")
    return end


def _skip_sequence(content: Content, element: Element, syntax: Syntax) -> int:
    """The place after a sequence of undefined length, however deep others lie in it."""
    place, inner = element.start, [Syntax(implicit=True) if element.vr == b"UN" else syntax]
    for _ in range(_MOST_ELEMENTS):
        head = _head(content, place, inner[-1])
        if head is None:
            raise DamagedError("it is cut off within a sequence")
        tag, part = head
        place = part.start
        if tag in (ITEM_END, SEQUENCE_END):
            inner.pop()
            if not inner:
                return place
        elif part.length == UNDEFINED:
            inner.append(Syntax(implicit=True) if part.vr == b"UN" else inner[-1])
        else:
            place = _after(content, part, inner[-1])
        if len(inner) > _DEEPEST:
            raise DamagedError(f"its sequences are nested deeper than {_DEEPEST}")
    raise DamagedError(f"it has more than {_MOST_ELEMENTS} elements in a sequence")


def _item_head(content: Content, place: int, syntax: Syntax) -> tuple[int, int]:
    head = _head(content, place, syntax)
    if head is None:
        raise DamagedError("it is cut off within a sequence")
    return head[0], head[1].length


def _read_numbers(raw: bytes, tag: int) -> tuple[float, ...]:
    text = raw.decode("ascii", "replace").strip(" \0")
    try:
        return tuple(float(part) for part in text.split("\\") if part.strip())
    except ValueError as error:
        raise DamagedError(f"its element {_name(tag)} holds {text[:40]!r}, where numbers belong") from error


def _plain(text: str) -> str:
    text = text.strip(" \0")
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read_text(elements: Elements, tag: int, charset: tuple[str, ...]) -> str:
    """Text for people, in the character set that the file names, without signs that steer a terminal."""
    raw = elements.raw(tag)
    if raw.isascii() and b"\x1b" not in raw:
        return _plain(raw.decode("ascii"))
    return _plain(_decode_text(raw, charset))


def _decode_text(raw: bytes, charset: tuple[str, ...]) -> str:
    import warnings

    import pydicom.charset as sets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            encodings: Any = sets.convert_encodings(list(charset))
            return str(sets.decode_bytes(raw, encodings, set()))
        except (LookupError, ValueError, TypeError, AttributeError):
            return raw.decode("latin-1")
