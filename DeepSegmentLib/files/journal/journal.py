"""Corrections on disk as they happen: what is recorded survives a crash of the program and of the machine.

A journal is a folder: `start.seg.nrrd`, the labels that everything began with, and `journal.jsonl`, a header and one
line for each change, only ever appended to. Nothing in it is executed, and nothing unpacks to more than the labels can
hold.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from DeepSegmentLib import __version__
from DeepSegmentLib.correction.packed_changes import pack, put
from DeepSegmentLib.data import Box, LabelMap
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.files.leftovers import hidden_folder
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.opening import inside, open_file
from DeepSegmentLib.files.segmentations.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from DeepSegmentLib.files.volume_checks import check_file

from .lines import Entry, Header, entry_line, header_line
from .reading import newest_first, read_entries, read_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from DeepSegmentLib.correction.settings import CorrectionSettings
    from DeepSegmentLib.data import LabelUpdate, Prompt, Volume

    from .lines import Kind

START_FILE = "start.seg.nrrd"
LINES_FILE = "journal.jsonl"

_MOST_INFLATION = 1032
"""Bytes that one byte of deflate can hold at most (zlib, "Technical Details")."""


def copy_journal(folder: Path, target: Path) -> None:
    """Copy a journal, and nothing else that lies in its folder.

    Args:
        folder: Of the journal; it may be written to meanwhile.
        target: A folder that is not there yet.

    Raises:
        VolumeFileError: There is no journal, or a file of it is no plain one or lies elsewhere.
        OSError: It cannot be copied.
    """
    lines, start = _files_of(folder)
    for path in (start, lines):
        check_file(path)
    target.mkdir()
    for path in (start, lines):
        shutil.copyfile(path, target / path.name)


def volume_checksum(volume: Volume) -> str:
    """A digest of a volume's voxels: their values, type and shape, by which a journal knows its image again.

    The place of the voxels is left out: two ways to the same file round its affine differently. It is compared with a
    tolerance instead, see `Journal.check_volume`.

    References:
        Aumasson et al., BLAKE2: simpler, smaller, fast as MD5, ACNS 2013 (1 GB/s on one core).
    """
    return _digest(volume.voxels)


def _digest(array: NDArray[Any]) -> str:
    digest = blake2b(f"{array.dtype.name} {array.shape}".encode(), digest_size=16)
    little = array.dtype.newbyteorder("<")
    for index in np.ndindex(array.shape[:2]):
        digest.update(np.ascontiguousarray(array[index], dtype=little).data)
    return digest.hexdigest()


class Journal:
    """The record of a correcting session, open for more; one process at a time.

    Attributes:
        folder: Where it is.
        header: What it is about: image, grid, segments, model.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from DeepSegmentLib.data import Box, Geometry, LabelUpdate, Segment
        >>> grid = Geometry.from_spacing((2, 2, 2), (1, 1, 1))
        >>> empty = LabelMap(np.zeros((1, 2, 2, 2), np.uint8), grid, (Segment("Cyst", 1),))
        >>> box = Box((0, 0, 0), (1, 1, 1))
        >>> update = LabelUpdate(box, np.zeros(box.shape, np.uint8), np.ones(box.shape, np.uint8))
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with Journal.create(Path(parent) / "scan", empty, volume_checksum="") as journal:
        ...         journal.record_edit(update)
        ...     with Journal.open(Path(parent) / "scan") as journal:
        ...         print(journal.labels().layers.sum())
        1
    """

    def __init__(self, folder: Path) -> None:
        """Open what is there; `create` and `open` say what they are for.

        Raises:
            VolumeFileError: See `open`.
        """
        self.folder = folder
        self._lines, start = _files_of(folder)
        with ExitStack() as stack, _naming(folder):
            stack.enter_context(exclusive(folder))
            self.header, self._state = read_state(self._lines)
            _check_claim(self.header, start)
            self._file = stack.enter_context(self._lines.open("rb+"))
            self._resources = stack.pop_all()

    @classmethod
    def create(
        cls, folder: Path, labels: LabelMap, *, volume_checksum: str, model: Mapping[str, str] | None = None
    ) -> Self:
        """Begin a journal with labels as they are.

        Args:
            folder: New, or empty; its parent must exist.
            labels: What is going to be corrected.
            volume_checksum: Of the image, see `volume_checksum`.
            model: What the labels carry with them: model, model_version, model_sha256 and the like.

        Raises:
            InvalidInputError: There is something in the folder.
            VolumeFileError: It cannot be written; nothing is left.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidInputError(f"{folder} is not empty; resume the journal in it, or choose another folder")
        header = Header.of(
            labels,
            library=f"DeepSegment {__version__}",
            created=_now(),
            volume_checksum=volume_checksum,
            start_checksum=_digest(labels.layers),
            model=dict(model or {}),
        )
        with _naming(folder), hidden_folder(folder) as staged:
            staged.mkdir()
            write_seg_nrrd(labels, staged / START_FILE, level=1)
            with atomic_path(staged / LINES_FILE) as fresh:
                fresh.write_bytes(header_line(header))
            _put_in_place(staged, folder)
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Go on with a journal; an entry that was cut off by a crash while it was written is dropped.

        Raises:
            VolumeFileError: There is none, another process has it, or it is damaged before its end; the message tells
                the line, and what is good before it.
        """
        return cls(folder)

    def record(self, prompt: Prompt, settings: CorrectionSettings, update: LabelUpdate, segment: str) -> None:
        """Record a correction; when this returns, it is on the disk.

        Raises:
            InvalidInputError: The prompt is for another segment, or the update does not fit the labels.
            VolumeFileError: It cannot be written, and is not recorded.
        """
        if prompt.segment != segment:
            raise InvalidInputError(f"the prompt is for segment {prompt.segment!r}, not for {segment!r}")
        if segment not in {known.name for known in self.header.segments}:
            raise InvalidInputError(f"the journal knows no segment {segment!r}; begin a new journal")
        self._append("correction", update, prompt, settings)

    def record_edit(self, update: LabelUpdate) -> None:
        """Record an edit that was made by other means; raises as `record`."""
        self._append("edit", update)

    def record_undo(self, update: LabelUpdate) -> None:
        """Record that the last change was taken back, by this update; raises as `record`."""
        self._append("undo", update)

    def record_redo(self, update: LabelUpdate) -> None:
        """Record that the change undone last was done again, by this update; raises as `record`."""
        self._append("redo", update)

    def entries(self) -> Iterator[Entry]:
        """All entries, the oldest first, read one by one."""
        return (entry for entry, _ in read_entries(self._lines, self.header, self._state.end))

    def start(self) -> LabelMap:
        """The labels that everything began with, to the last bit.

        Raises:
            VolumeFileError: They are damaged.
        """
        stored, header = read_seg_nrrd(inside(self.folder, START_FILE)).layers, self.header
        layers = np.ascontiguousarray(stored, dtype=header.dtype)
        if layers.shape != (header.layers, *header.shape) or _digest(layers) != header.start_checksum:
            raise VolumeFileError(f"{self.folder / START_FILE} is not the file that the journal began with; restore it")
        return LabelMap(layers, header.geometry, header.segments)

    def labels(self) -> LabelMap:
        """The labels after all entries, to the last bit.

        Raises:
            VolumeFileError: The start labels are damaged.
        """
        start = self.start()
        layers = start.layers.copy()
        for entry in self.entries():
            put(entry.change, layers[entry.change.layer])
        return LabelMap(layers, start.geometry, start.segments)

    def prompts(self, segment: str) -> tuple[Prompt, ...]:
        """The prompts for a segment that were not undone, the oldest first."""
        done = reversed(list(newest_first(self._state.done)))
        return tuple(prompt for prompt in done if prompt is not None and prompt.segment == segment)

    def check_volume(self, volume: Volume) -> None:
        """Refuse a volume that is not the one that was corrected.

        Raises:
            InvalidInputError: Its voxels or its place differ.
        """
        grid = self.header.geometry
        if not volume.geometry.is_close(grid):
            raise InvalidInputError(
                f"{volume.name or 'the volume'} lies elsewhere than the one that the journal {self.folder} is about "
                f"({volume.geometry.shape} voxels of {volume.geometry.spacing_mm} mm, there {grid.shape} of "
                f"{grid.spacing_mm} mm); open the volume that was corrected"
            )
        if volume_checksum(volume) != self.header.volume_checksum:
            raise InvalidInputError(
                f"{volume.name or 'the volume'} is not the one that the journal {self.folder} is about: its voxels "
                "differ; open the volume that was corrected"
            )

    def close(self) -> None:
        """Let others have the journal; recording is over."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(
        self, kind: Kind, update: LabelUpdate, prompt: Prompt | None = None, settings: CorrectionSettings | None = None
    ) -> None:
        self._check_fit(update)
        entry = Entry(self._state.number + 1, _now(), kind, pack(update), prompt, settings)
        line = entry_line(entry, self._state.crc)
        state = self._state.after(entry, line)
        try:
            self._write(line)
        except OSError as error:
            raise VolumeFileError(
                f"{self._lines} cannot be written: {error.strerror or error}; this change is not in the journal: free "
                "some disk space, or save the segmentation and begin a new journal"
            ) from error
        self._state = state

    def _write(self, line: bytes) -> None:
        """Put a line on the disk; what an earlier failure left behind the good ones goes first."""
        self._file.seek(self._state.end)
        self._file.truncate()
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _check_fit(self, update: LabelUpdate) -> None:
        header = self.header
        inside = Box.of_shape(header.shape).contains(update.box) and update.layer < header.layers
        if not inside or update.after.dtype != header.dtype:
            raise InvalidInputError(
                f"the update of layer {update.layer}, {update.box}, {update.after.dtype} does not fit the journal's "
                f"{header.layers} layers, shape {header.shape}, {header.dtype}; begin a new journal"
            )


def _check_claim(header: Header, start: Path) -> None:
    """Refuse a header that claims more labels than the file can hold that everything began with."""
    with open_file(start) as file:
        size = os.fstat(file.fileno()).st_size
    if header.label_bytes > _MOST_INFLATION * size:
        raise VolumeFileError(
            f"{start} has {size} bytes, which cannot be {header.layers} layers of {header.shape} labels, as "
            f"{LINES_FILE} says; restore it"
        )


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Let what the system refuses name the folder."""
    try:
        yield
    except OSError as error:
        raise VolumeFileError(
            f"the journal {folder} cannot be opened: {error.strerror or error}; check the free space and the rights of "
            "the folder"
        ) from error


def _files_of(folder: Path) -> tuple[Path, Path]:
    """The changes, and the labels that everything began with."""
    if not os.path.lexists(folder / LINES_FILE):
        raise VolumeFileError(f"{folder} holds no journal: there is no {LINES_FILE}; check the name")
    return inside(folder, LINES_FILE), inside(folder, START_FILE)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _put_in_place(staged: Path, folder: Path) -> None:
    """Rename a finished folder, and make sure that a crash of the machine does not undo it."""
    _flush_folder(staged)
    if folder.exists():
        folder.rmdir()
    os.replace(staged, folder)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """Force a folder's list of files to the disk, where the system can: Windows cannot, and need not."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
