"""Edits that can be taken back, in kilobytes each."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import LabelUpdate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box


@dataclass(frozen=True)
class Change:
    """A label update in few bytes: where its box changed, and what was and is there.

    Attributes:
        box: The update's box.
        layer: Which layer of the labelmap.
        dtype: The label type's name, "uint8" or "uint16".
        where: The changed voxels as bits in raster order, compressed.
        before: Their labels before, in raster order, compressed.
        after: Their labels after.
    """

    box: Box
    layer: int
    dtype: str
    where: bytes
    before: bytes
    after: bytes

    @property
    def size_bytes(self) -> int:
        """What this change takes in memory, but for a few fixed fields."""
        return len(self.where) + len(self.before) + len(self.after)


def pack(update: LabelUpdate) -> Change:
    """An update as a change."""
    changed = update.changed
    return Change(
        update.box,
        update.layer,
        update.after.dtype.name,
        zlib.compress(np.packbits(changed).tobytes()),
        zlib.compress(_plain(update.before[changed])),
        zlib.compress(_plain(update.after[changed])),
    )


def unpack(change: Change, labels: NDArray[Any], *, backward: bool = False) -> LabelUpdate:
    """A change as the update of labels as they are now.

    Args:
        change: What to do.
        labels: The layer (k, j, i) that it shall be applied to.
        backward: Whether to take the change back instead.
    """
    before = labels[change.box.to_slices()].copy()
    bits = np.frombuffer(zlib.decompress(change.where), dtype=np.uint8)
    changed = np.unpackbits(bits, count=before.size).astype(bool).reshape(before.shape)
    values = zlib.decompress(change.before if backward else change.after)
    after = before.copy()
    after[changed] = np.frombuffer(values, dtype=np.dtype(change.dtype).newbyteorder("<"))
    return LabelUpdate(change.box, before, after, change.layer)


def labels_in(change: Change, *, after: bool) -> list[int]:
    """The labels of the voxels that change, before or after it; each once."""
    values = zlib.decompress(change.after if after else change.before)
    return [int(value) for value in np.unique(np.frombuffer(values, dtype=np.dtype(change.dtype).newbyteorder("<")))]


def put(change: Change, labels: NDArray[Any]) -> None:
    """Do a change to the layer (k, j, i), in place; only voxels that change are touched, however large the box is.

    Args:
        change: What to do.
        labels: The whole layer; writable.
    """
    values = np.frombuffer(zlib.decompress(change.after), dtype=np.dtype(change.dtype).newbyteorder("<"))
    places = np.unravel_index(_places(zlib.decompress(change.where)), change.box.shape)
    labels[change.box.to_slices()][places] = values


def _places(bits: bytes) -> NDArray[np.int64]:
    """Where bits are set, in order; bytes without any cost next to nothing."""
    packed = np.frombuffer(bits, dtype=np.uint8)
    filled = np.flatnonzero(packed)
    row, column = np.nonzero(np.unpackbits(packed[filled][:, None], axis=1))
    return np.asarray(8 * filled[row] + column, dtype=np.int64)


def _plain(labels: NDArray[Any]) -> bytes:
    """Labels as little-endian bytes, the same on every machine."""
    return labels.astype(labels.dtype.newbyteorder("<")).tobytes()
