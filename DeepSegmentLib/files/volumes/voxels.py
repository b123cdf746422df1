"""Voxels of any format, read straight into the array that they are given out in."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import ResourceError, VolumeFileError
from DeepSegmentLib.files.opening import open_file

from .header_text import header_lines
from .text_numbers import HexBytes, TextNumbers
from .unpacking import ByteSource, DamagedError, PlainBytes, UnpackedBytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from .header import VolumeHeader

_SPARE = 512  # bytes behind the voxels, which writers that fill blocks leave
_BLOCK = 1 << 18  # numbers that are scaled at once
_CHUNK = 1 << 20
# CIFTI has the longest extensions that we know of, some ten million bytes.
_MOST_SKIPPED = 1 << 26
# Bytes that one packed byte can hold at most. Deflate: zlib, "Technical Details". bzip2: 900,000 bytes of runs, five of
# them for 255, in a block of at least 21 bytes.
_MOST_INFLATION = {"gzip": 1032, "zlib": 1032, "bzip2": 2_200_000}


def check_storage(path: Path, header: VolumeHeader) -> None:
    """Check that the files can hold the voxels, as far as their sizes tell; none of them is read.

    Raises:
        VolumeFileError: They cannot, or one of them is missing.
    """
    storage = header.storage
    packed = storage.packing in _MOST_INFLATION
    if packed and not 0 <= storage.skip <= _MOST_SKIPPED:
        raise VolumeFileError(
            f"{path} is damaged: its header says that the voxels start at byte {storage.skip} of what is packed; copy "
            "it again from its source"
        )
    least = _least_bytes(header)
    for file in storage.files:
        left = _size(file) - storage.start
        if storage.packed_bytes is not None:
            left = min(left, storage.packed_bytes)
        left = max(0, left if packed else left - max(storage.skip, -storage.skip - 1))
        if least > left * _MOST_INFLATION.get(storage.packing, 1):
            raise VolumeFileError(
                f"{path} is cut off: {left} {'packed ' * packed}bytes of voxels cannot hold the {least} that its "
                "header claims; copy it again from its source"
            )


def bytes_left(header: VolumeHeader) -> int:
    """How many bytes follow the voxels of plain files, where they may be slices that the header does not claim; else 0.

    Packed files are checked when they are read.

    Raises:
        VolumeFileError: A file is missing.
    """
    storage = header.storage
    if storage.packing != "raw" or storage.skip < 0 or storage.lines:
        return 0
    needed = storage.start + storage.skip + _least_bytes(header)
    left = max(_size(file) - needed for file in storage.files)
    return left if left > _most_spare(header) else 0


def read_frames(path: Path, header: VolumeHeader) -> Iterator[NDArray[Any]]:
    """The frames (channel, k, j, i), one at a time.

    Integers stay what they are, unless the file scales them: then they become float32 (float64 from 32 bits on).

    Raises:
        VolumeFileError: The file is damaged or incomplete.
        ResourceError: The voxels do not fit into memory.
    """
    axes, shape = header.storage.axes, header.stored_shape
    with _Stream(path, header) as stream:
        if axes[0] == "t":
            for _ in range(header.frames):
                yield _in_order(_read(path, stream, header, shape[1:]), axes[1:])
            return
        numbers = _read(path, stream, header, shape)
        frames = np.moveaxis(numbers, axes.index("t"), 0) if "t" in axes else numbers[None]
        for frame in frames:
            yield _in_order(frame, axes.replace("t", ""))


def value_type(dtype: np.dtype[Any], scale: tuple[float, float]) -> np.dtype[Any]:
    """What stored numbers become; without a scale they stay what they are."""
    if scale == (1.0, 0.0):
        return dtype
    wide = dtype.itemsize > 2 and dtype.newbyteorder("=") != np.float32
    return np.dtype(np.float64 if wide else np.float32)


def _least_bytes(header: VolumeHeader) -> int:
    """What one file must have, unpacked."""
    numbers = _numbers_per_file(header)
    if header.storage.packing == "text":
        return 2 * numbers - 1  # a digit and a space
    return numbers * header.dtype.itemsize * (2 if header.storage.packing == "hex" else 1)


def _numbers_per_file(header: VolumeHeader) -> int:
    count = 1
    for extent in header.stored_shape:
        count *= extent
    return count // len(header.storage.files)


def _size(file: Path) -> int:
    with open_file(file) as opened:
        return os.fstat(opened.fileno()).st_size


def _in_order(numbers: NDArray[Any], axes: str) -> NDArray[Any]:
    """A view (channel, k, j, i)."""
    if "c" not in axes:
        numbers, axes = numbers[None], "c" + axes
    return numbers.transpose([axes.index(axis) for axis in "ckji"])


def _read(path: Path, stream: _Stream, header: VolumeHeader, shape: tuple[int, ...]) -> NDArray[Any]:
    values = _empty(path, shape, value_type(header.dtype, header.scale))
    if header.scale == (1.0, 0.0):
        stream.fill(_bytes_of(values))
        return _native(values)
    flat, (slope, intercept) = values.reshape(-1), header.scale
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        stored = np.empty(block.size, header.dtype)
        stream.fill(_bytes_of(stored))
        with np.errstate(all="ignore"):  # what is not finite afterwards is refused
            block[...] = _native(stored)
            np.multiply(block, slope, out=block)
            np.add(block, intercept, out=block)
    return values


def _empty(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        raise ResourceError(f"{path}: {error}; close other programs, or crop or downsample the volume") from error


def _bytes_of(numbers: NDArray[Any]) -> memoryview:
    return memoryview(numbers.reshape(-1).view(np.uint8).data)


def _native(numbers: NDArray[Any]) -> NDArray[Any]:
    """Numbers in the machine's byte order, swapped in place."""
    return numbers if numbers.dtype.isnative else numbers.byteswap(inplace=True).view(numbers.dtype.newbyteorder())


class _Stream:
    """The numbers of all files, one after the other; a file is checked to its end once its last number is read."""

    def __init__(self, path: Path, header: VolumeHeader) -> None:
        self._path = path
        self._header = header
        self._files = iter(header.storage.files)
        self._opened = ExitStack()
        self._piece = _numbers_per_file(header) * header.dtype.itemsize
        self._left = 0

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def fill(self, view: memoryview) -> None:
        """Read as many bytes as there is room for.

        Raises:
            VolumeFileError: A file is damaged or cut off.
        """
        with _translated(self._path):
            while len(view):
                if not self._left:
                    self._open_next()
                part = view[: self._left]
                self._read(part)
                view = view[len(part) :]

    def _read(self, part: memoryview) -> None:
        count = self._source.readinto(part)
        if count < len(part):
            raise VolumeFileError(
                f"{self._path} is cut off: {self._piece - self._left + count} of {self._piece} bytes of voxels are "
                "there; copy it again from its source"
            )
        self._left -= count
        if not self._left:
            self._source.finish()

    def _open_next(self) -> None:
        self._opened.close()
        file = self._opened.enter_context(open_file(next(self._files)))
        storage = self._header.storage
        file.seek(storage.start)
        lines = header_lines(self._path, file)
        for _ in range(storage.lines):
            if next(lines, None) is None:
                raise DamagedError("its voxels would start behind its end")
        if storage.packing not in _MOST_INFLATION:
            file.seek(*((storage.skip, os.SEEK_CUR) if storage.skip >= 0 else (self._from_end(), os.SEEK_END)))
        self._source = _source(file, self._header)
        self._left = self._piece
        if storage.packing in _MOST_INFLATION:
            _pass_over(self._source, storage.skip)

    def _from_end(self) -> int:
        return self._header.storage.skip + 1 - self._piece


def _source(file: IO[bytes], header: VolumeHeader) -> ByteSource:
    """The bytes of a file that stands at its (packed) voxels."""
    storage = header.storage
    if storage.packing == "raw":
        return PlainBytes(file)
    if storage.packing == "text":
        return TextNumbers(file, header.dtype)
    if storage.packing == "hex":
        return HexBytes(file)
    return UnpackedBytes(file, storage.packing, storage.packed_bytes, _most_spare(header))


def _most_spare(header: VolumeHeader) -> int:
    """Bytes that may follow the voxels; whole slices show that the header claims too few."""
    return max(_SPARE, _slice_bytes(header) - 1)


def _slice_bytes(header: VolumeHeader) -> int:
    _, rows, columns = header.geometry.shape
    return rows * columns * header.channels * header.dtype.itemsize


def _pass_over(source: ByteSource, count: int) -> None:
    scratch = memoryview(bytearray(min(count, _CHUNK)))
    while count:
        done = source.readinto(scratch[:count])
        if not done:
            raise DamagedError("its voxels would start behind its end")
        count -= done


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except DamagedError as error:
        raise VolumeFileError(f"{path} is damaged or cut off: {error}; copy it again from its source") from error
    except OSError as error:
        raise VolumeFileError(f"{path} cannot be read: {error.strerror or error}; copy it again") from error
