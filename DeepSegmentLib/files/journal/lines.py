"""The lines of a journal: one JSON object each, numbered, with a checksum that runs through all lines before it."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from collections.abc import Mapping  # noqa: TC003 - `from_json` looks the annotations up
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from DeepSegmentLib.correction.packed_changes import Change
from DeepSegmentLib.correction.settings import CorrectionSettings  # noqa: TC001 - looked up likewise
from DeepSegmentLib.data import Box, Geometry, LabelMap, Segment
from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.opening import parse_json
from DeepSegmentLib.files.prompts import StoredPrompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from DeepSegmentLib.data import Prompt

FORMAT = 1
"""Version of the format; readers refuse others."""

Kind = Literal["correction", "edit", "undo", "redo"]

_TAIL = re.compile(rb',"crc":"([0-9a-f]{8})"}\n')
_TAIL_BYTES = len(b',"crc":"00000000"}\n')
_LINE_BYTES = 1 << 24
"""What a line may hold beside its labels: a scribble of as many corners as one may have."""

_MOST_VALUES = 1 << 21
"""Values in a line: a few hundred megabytes as Python's, where the labels' text is none of them."""

_AT_ONCE = 1 << 20
"""Bytes that are unpacked at once to see whether labels are what they must be."""


@dataclass(frozen=True)
class _Row:
    """A segment and its layer, which the JSON of a segment leaves out.

    Attributes:
        layer: Which layer of the labels holds it.
        segment: What it is.
    """

    layer: int
    segment: Segment


@dataclass(frozen=True)
class Header:
    """The first line: what the journal is about.

    Attributes:
        format: Version of the format.
        library: Who wrote it.
        created: When, as ISO 8601 in UTC.
        volume_checksum: Of the image that was corrected, as `volume_checksum` gives it.
        start_checksum: Of the labels that everything began with.
        shape: Extent (k, j, i) in voxels.
        affine: Rows of the 4x4 matrix from index (k, j, i) to RAS mm.
        layers: How many the labelmap has.
        dtype: The label type.
        table: The segments.
        model: What made the start labels: model, model_version, model_sha256 and the like; may be empty.
    """

    format: int
    library: str
    created: str
    volume_checksum: str
    start_checksum: str
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, float, float, float], ...]
    layers: int
    dtype: Literal["uint8", "uint16"]
    table: tuple[_Row, ...]
    model: Mapping[str, str]

    @classmethod
    def of(cls, labels: LabelMap, **known: Any) -> Header:
        """The header of a journal of a labelmap; `known` are library, created, the checksums and the model."""
        return cls(
            format=FORMAT,
            shape=labels.geometry.shape,
            affine=tuple(map(tuple, labels.geometry.affine.tolist())),
            layers=len(labels.layers),
            dtype="uint8" if labels.layers.dtype == np.uint8 else "uint16",
            table=tuple(_Row(segment.layer, segment) for segment in labels.segments),
            **known,
        )

    @property
    def geometry(self) -> Geometry:
        """The grid of the labels."""
        return Geometry(self.shape, np.array(self.affine))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The table of segments."""
        return tuple(replace(row.segment, layer=row.layer) for row in self.table)

    @property
    def label_bytes(self) -> int:
        """What the labels take in memory."""
        return self.layers * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def longest_line(self) -> int:
        """More bytes than any entry can have: all voxels changed, and nothing of it compressible."""
        changed = math.prod(self.shape) * (1 / 8 + 2 * np.dtype(self.dtype).itemsize)
        return _LINE_BYTES + int(1.4 * changed)


@dataclass(frozen=True, eq=False)
class Entry:
    """Something that happened to the labels.

    Attributes:
        number: 1 for the first.
        time: When, as ISO 8601 in UTC.
        kind: A correction by a prompt, an edit by other means, or one of them undone or done again.
        change: What changed; of an undo, what it changed back.
        prompt: Of a correction, else None.
        settings: Of a correction, else None.
    """

    number: int
    time: str
    kind: Kind
    change: Change
    prompt: Prompt | None = None
    settings: CorrectionSettings | None = None


@dataclass(frozen=True)
class _StoredChange:
    """The voxels that changed; the last three are deflate (zlib) in base64.

    Attributes:
        start: First index (k, j, i) of the box.
        stop: One past the last index (k, j, i) of the box.
        layer: Which layer of the labels.
        where: The changed voxels of the box as bits in raster order, the highest bit first.
        before: Their labels before, in raster order, little-endian.
        after: Their labels after, likewise.
    """

    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    layer: int
    where: str
    before: str
    after: str


@dataclass(frozen=True)
class _StoredEntry:
    """A line after the first, as it is stored.

    Attributes:
        number: 1 for the first.
        time: When, as ISO 8601 in UTC.
        kind: A correction by a prompt, an edit by other means, or one of them undone or done again.
        prompt: Of a correction, else null.
        settings: Of a correction, else null.
        change: What changed; of an undo, what it changed back.
    """

    number: int
    time: str
    kind: Kind
    prompt: StoredPrompt | None
    settings: CorrectionSettings | None
    change: _StoredChange


def header_line(header: Header) -> bytes:
    """A header as the first line."""
    return _line(to_json(header), 0)


def entry_line(entry: Entry, crc: int) -> bytes:
    """An entry as a line, after one whose checksum is `crc`."""
    change, packed = entry.change, (entry.change.where, entry.change.before, entry.change.after)
    where, before, after = (base64.b64encode(part).decode("ascii") for part in packed)
    stored = _StoredEntry(
        entry.number,
        entry.time,
        entry.kind,
        None if entry.prompt is None else StoredPrompt.of(entry.prompt),
        entry.settings,
        _StoredChange(change.box.start, change.box.stop, change.layer, where, before, after),
    )
    return _line(to_json(stored), crc)


def checksum_of(line: bytes) -> int:
    """The checksum that a line carries."""
    found = _TAIL.fullmatch(line[-_TAIL_BYTES:])
    if found is None:
        raise InvalidInputError("it has no checksum")
    return int(found[1], 16)


def read_header(line: bytes) -> Header:
    """The header of a first line.

    Raises:
        InvalidInputError: It is damaged or of another format.
    """
    document = _document(line, 0)
    if document.get("format") != FORMAT:
        raise InvalidInputError(f"its format is {document.get('format')!r}, this version reads {FORMAT}")
    header: Header = _parsed(Header, document)
    _check_labels(header)
    return header


def _check_labels(header: Header) -> None:
    """Refuse a header that no labelmap can have; no array of its shape is made."""
    shape = (header.layers, *header.shape)
    if min(shape) < 1 or math.prod(shape) >= 1 << 48:
        raise InvalidInputError(f"it claims labels of shape {shape}")
    LabelMap(np.broadcast_to(np.zeros(1, header.dtype), shape), header.geometry, header.segments)


def read_entry(line: bytes, crc: int, number: int, header: Header) -> Entry:
    """The entry of a line.

    Args:
        line: With its line feed.
        crc: Checksum of the line before.
        number: Which entry it must be.
        header: What the journal is about; a change must fit it.

    Raises:
        InvalidInputError: It is damaged, out of turn, or asks for what cannot be.
    """
    stored: _StoredEntry = _parsed(_StoredEntry, _document(line, crc))
    if stored.number != number:
        raise InvalidInputError(f"it has the number {stored.number} instead of {number}")
    if (stored.kind == "correction") != (stored.prompt is not None and stored.settings is not None):
        raise InvalidInputError(f"prompt and settings go with a correction, this is: {stored.kind}")
    prompt = None if stored.prompt is None else stored.prompt.prompt()
    return Entry(stored.number, stored.time, stored.kind, _change(stored.change, header), prompt, stored.settings)


def _line(document: Any, crc: int) -> bytes:
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    body = text[:-1].encode("ascii")
    return body + b',"crc":"%08x"}\n' % zlib.crc32(body, crc)


def _document(line: bytes, crc: int) -> dict[str, Any]:
    """The object of a line whose checksum is right."""
    if checksum_of(line) != zlib.crc32(line[:-_TAIL_BYTES], crc):
        raise InvalidInputError("its checksum differs")
    if sum(line.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        raise InvalidInputError(f"it has more than {_MOST_VALUES} values")
    try:
        document = parse_json(line[:-_TAIL_BYTES] + b"}")
    except ValueError as error:
        raise InvalidInputError(f"it is no JSON that can be read: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInputError("it is no JSON object")
    return document


def _parsed(kind: Any, document: dict[str, Any]) -> Any:
    try:
        return from_json(kind, document, "it")
    except ModelError as error:
        raise InvalidInputError(str(error)) from error


def _change(stored: _StoredChange, header: Header) -> Change:
    """A change that fits the labels, and whose parts hold as much as they must, no more."""
    box = Box(stored.start, stored.stop)
    if not Box.of_shape(header.shape).contains(box) or not 0 <= stored.layer < header.layers:
        raise InvalidInputError(f"it changes {box} of layer {stored.layer}, outside the labels of {header.shape}")
    parts = tuple(_decoded(text) for text in (stored.where, stored.before, stored.after))
    count = _count_bits(parts[0], box.size)
    for part in parts[1:]:
        _count_bytes(part, count * np.dtype(header.dtype).itemsize)
    return Change(box, stored.layer, header.dtype, *parts)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"its labels are no base64: {error}") from error


def _count_bits(packed: bytes, size: int) -> int:
    """How many of so many bits are set in what deflate unpacks to."""
    left, count = size, 0
    for part in _unpacked(packed, -(-size // 8)):
        bits = np.frombuffer(part, dtype=np.uint8)
        count += int(_BITS[bits].sum()) if bits.any() else 0
        left -= 8 * bits.size
    if left < 0 and bits[-1] & ((1 << -left) - 1):
        raise InvalidInputError(f"its labels do not unpack to {size} bits")
    return count


def _count_bytes(packed: bytes, size: int) -> None:
    """Refuse what deflate does not unpack to so many bytes."""
    for _ in _unpacked(packed, size):
        pass


_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.int64)


def _unpacked(packed: bytes, size: int) -> Iterator[bytes]:
    """What deflate unpacks to, part by part, if that is exactly so many bytes; never unpacks more."""
    inflate, left = zlib.decompressobj(), size
    while True:
        try:
            part = inflate.decompress(packed, min(left, _AT_ONCE) + 1)
        except zlib.error as error:
            raise InvalidInputError(f"its labels cannot be unpacked: {error}") from error
        packed, left = inflate.unconsumed_tail, left - len(part)
        if left < 0 or (not part and not inflate.eof):
            raise InvalidInputError(f"its labels do not unpack to {size} bytes")
        if part:
            yield part
        if inflate.eof:
            break
    if left or inflate.unused_data:
        raise InvalidInputError(f"its labels do not unpack to {size} bytes")
