"""JPEG lossless (process 14, first-order prediction), common in old CT archives.

No decoder with a free licence and wheels for all systems reads it without crashing on damaged frames. Each bit is a
possible start of a code: what follows it is looked up for all of them at once, and one chain of jumps tells the real
ones.

References:
    ITU-T T.81 annexes C (Huffman tables) and H (lossless coding); DICOM PS3.5 section A.4.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .content import DamagedError, ForeignError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .codestreams import Claim

_LONGEST_CODE = 16
_SYMBOLS = 17  # a difference has 0 to 16 bits
_PADDING = 6  # bytes behind the data, so that each bit has a window
_LARGEST_STREAM = 8 << 20  # bytes of a frame: 2048 x 2048 of 16 bits that do not compress


def decode_lossless(stream: bytes, claim: Claim) -> NDArray[np.uint16]:
    """The numbers (row, column) of a codestream of one component.

    Args:
        stream: Of which `claim` was read.
        claim: With the place of the coded data.

    Raises:
        DamagedError: It is damaged, or coded in a way that is not read here.
    """
    table, shift = _headers(stream, claim)
    columns, rows = claim.size
    differences = _differences(_unstuff(stream[claim.data : -2]), table, rows * columns).reshape(rows, columns)
    differences[0, 0] += 1 << (claim.bits - shift - 1)
    differences[:, 0] = np.cumsum(differences[:, 0])
    return ((np.cumsum(differences, axis=1) & 0xFFFF) << shift).astype(np.uint16)


def _headers(stream: bytes, claim: Claim) -> tuple[tuple[NDArray[Any], NDArray[Any]], int]:
    """Lengths of codes and their symbols by the next 16 bits, and the point transform."""
    tables, place = {}, 2
    while place < claim.data:
        kind, length = stream[place + 1], int.from_bytes(stream[place + 2 : place + 4], "big")
        body = stream[place + 4 : place + 2 + length]
        if kind == 0xFF:
            place += 1
            continue
        if kind == 0xC4:
            tables.update(_tables(body))
        elif kind == 0xDD and any(body):
            raise ForeignError("its JPEG has restart intervals, which are not read; convert it with gdcmconv --raw")
        place += 2 + length
    if len(body) != 6 or body[0] != 1 or body[3] != 1:
        raise ForeignError("its JPEG uses a prediction that is not read; convert it with gdcmconv --raw")
    if body[2] >> 4 not in tables or claim.bits <= body[5]:
        raise DamagedError("its compressed pixels have a damaged header")
    return tables[body[2] >> 4], body[5] & 15


def _tables(body: bytes) -> dict[int, tuple[NDArray[Any], NDArray[Any]]]:
    tables = {}
    while body:
        counts, total = list(body[1:17]), sum(body[1:17])
        symbols = body[17 : 17 + total]
        if len(counts) < _LONGEST_CODE or len(symbols) < total or (total and max(symbols) >= _SYMBOLS):
            raise DamagedError("its compressed pixels have a damaged code table")
        tables[body[0]] = _lookup(counts, symbols)
        body = body[17 + total :]
    return tables


def _lookup(counts: list[int], symbols: bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    lengths, values = np.zeros(1 << _LONGEST_CODE, np.int64), np.zeros(1 << _LONGEST_CODE, np.int64)
    code = n = 0
    for length, count in enumerate(counts, start=1):
        width = 1 << (_LONGEST_CODE - length)
        for symbol in symbols[n : n + count]:
            lengths[code : code + width], values[code : code + width] = length, symbol
            code += width
        n += count
    if code > 1 << _LONGEST_CODE:
        raise DamagedError("its compressed pixels have a damaged code table")
    return lengths, values


def _unstuff(data: bytes) -> NDArray[np.uint8]:
    """The coded bytes without the zeros that follow each 0xFF; other markers end them."""
    if data.count(b"\xff") != data.count(b"\xff\0"):
        raise DamagedError("its compressed pixels are damaged")
    return np.frombuffer(data.replace(b"\xff\0", b"\xff") + b"\xff" * _PADDING, np.uint8)


def _differences(data: NDArray[np.uint8], table: tuple[NDArray[Any], NDArray[Any]], count: int) -> NDArray[np.int64]:
    """The differences, one after the other."""
    if len(data) > _LARGEST_STREAM:
        raise ForeignError(f"its JPEG frame has {len(data)} bytes, more than the {_LARGEST_STREAM} that are read")
    lengths, sizes = table
    windows, starts = _windows(data), 8 * (len(data) - _PADDING)
    chain = _chain(np.where(lengths > 0, lengths + sizes % 16, 0).astype(np.uint8)[windows[:starts]].tobytes(), count)
    size, behind = sizes[windows[chain]], chain + lengths[windows[chain]]
    if chain[-1] + lengths[windows[chain[-1]]] + size[-1] % 16 > starts:
        raise DamagedError("its compressed pixels are cut off")
    bits = windows[behind].astype(np.int64) >> (16 - size)
    negative = (size > 0) & (bits < (1 << np.maximum(size - 1, 0)))
    return np.where(size == 16, 32768, bits - np.where(negative, (1 << size) - 1, 0))


def _chain(jumps: bytes, count: int) -> NDArray[np.int64]:
    """Where the codes start: the first at bit 0, each by its jump after the one before."""
    places, place = [0] * count, 0
    try:
        for n in range(count):
            places[n] = place
            place += jumps[place]
    except IndexError as error:
        raise DamagedError("its compressed pixels are cut off") from error
    chain = np.array(places, np.int64)
    if (np.diff(chain) == 0).any() or not jumps[places[-1]]:
        raise DamagedError("its compressed pixels are damaged")
    return chain


def _windows(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The 16 bits from each bit on."""
    wide = data.astype(np.int32)
    three = (wide[:-2] << 16) | (wide[1:-1] << 8) | wide[2:]
    return ((three[:, None] >> (8 - np.arange(8, dtype=np.int32))) & 0xFFFF).ravel()
