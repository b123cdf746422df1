"""A file of the web on the disk: in parts that survive a broken line, of the length and the kind that was promised.

Beside a part lies a note of what it is a part of: address, the server's mark of the version, and length. With these the
rest is asked for (RFC 9110: 14.2 Range, 13.1.5 If-Range). A server without marks or parts gives all of it again.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, Self

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import ChecksumError, DownloadError, VolumeFileError

from .atomic import write_text
from .opening import open_file, read_json
from .output_checks import check_room
from .web_requests import FAULTS, BrokenLineError, broken_line, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from email.message import Message
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback

    from .web_requests import Answer

LARGEST_DOWNLOAD = 32 << 30
"""Bytes of one file; as much as an archive of a model may unpack to."""

_BLOCK = 1 << 18
_BLOCKS_AHEAD = 8
_LOOK_EVERY_S = 0.1
_PAUSES_S = (0.5, 2.0, 5.0)
"""Between attempts that brought nothing, after one that did."""

_LARGEST_NOTE = 1 << 16
_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")
# How files begin: zip (APPNOTE 4.3.7), which newer .pt and .ts are too; pickles from protocol 2 on.
_BEGINNINGS = {".zip": (b"PK",), ".ts": (b"PK",), ".pt": (b"PK", b"\x80"), ".pth": (b"PK", b"\x80")}


@dataclass(frozen=True)
class RemoteFile:
    """A file of the web.

    Attributes:
        address: https, or http.
        checksum: As published, "sha256:" or "sha1:" and the hexadecimal digest; empty where it is not.
        size: Its bytes, as published; None where they are not.
    """

    address: str
    checksum: str = ""
    size: int | None = None


@dataclass(frozen=True)
class _Note:
    """What a part is a part of.

    Attributes:
        address: Where it comes from.
        mark: The server's strong ETag, or its Last-Modified; empty where it tells neither.
        length: Of the whole file, or None where that is not told.
    """

    address: str = ""
    mark: str = ""
    length: int | None = None


def download(remote: RemoteFile, target: Path, on_progress: ProgressCallback, stage: str = "download") -> str:
    """Bring a file from the web to the disk, or go on with it where an earlier call was stopped.

    Args:
        remote: Which.
        target: Where to, in a folder that is there. A complete file stays as it is. Its suffix tells what it must be.
        on_progress: Told how far it is, several times a second also where nothing comes; may raise `Cancelled`.
        stage: What progress is called.

    Returns:
        Its SHA-256, hexadecimal.

    Raises:
        DownloadError: It cannot be got, or is not what it should be; see `web_requests.request`.
        ChecksumError: It is not what was published, and was deleted.
        ResourceError: The disk has no room for it.
        Cancelled: By `on_progress`; what came is kept, also where the process is killed.
    """
    if not target.exists():
        _Download(remote, target, on_progress, stage).complete()
    kind, _, published = remote.checksum.partition(":")
    digests = _digests(target, ["sha256", *([kind] if kind else [])], on_progress, f"{stage}: check")
    if kind and digests[kind] != published:
        target.unlink()
        raise ChecksumError(
            f"{remote.address} gave a file with the {kind} {digests[kind]}, but {published} is published; it was "
            "deleted: try again, and do not use it if it happens again"
        )
    return digests["sha256"]


def part_of(target: Path) -> Path:
    """Where the part lies that came so far."""
    return target.with_name(f"{target.name}.part")


class _Download:
    """One file on its way."""

    def __init__(self, remote: RemoteFile, target: Path, on_progress: ProgressCallback, stage: str) -> None:
        self._remote, self._target, self._part = remote, target, part_of(target)
        self._note = target.with_name(f"{target.name}.note")
        self._on_progress, self._stage = on_progress, stage
        self._told = 0.0

    def complete(self) -> None:
        """Ask until the file is whole."""
        pauses: Iterator[float] = iter(())  # a line that never stood is told at once
        while True:
            before = _size(self._part)
            try:
                whole = self._go_on()
            except BrokenLineError as broken:
                pauses = iter(_PAUSES_S) if _size(self._part) > before else pauses
                self._wait(next(pauses, None), broken)
                continue
            if whole:
                self._part.replace(self._target)
                self._note.unlink(missing_ok=True)
                return

    def _go_on(self) -> bool:
        """Ask once for what is missing, and write what comes; whether that is the end of it."""
        note = _read_note(self._note)
        have = _size(self._part) if note.mark and note.address == self._remote.address else 0
        if have and have == note.length:
            return True
        headers = {"Range": f"bytes={have}-", "If-Range": note.mark} if have else {}
        with _Line(self._remote.address, headers) as line:
            answer: Answer = self._next(line)
            if answer.status == 200:
                have, note = 0, self._new_note(answer.headers)
            elif not have:
                raise self._wrong(f"an answer of kind {answer.status}")
            elif answer.status != 206 or not _goes_on(answer.headers, note, have):
                self._part.unlink()  # another version, or a server that counts otherwise
                return False
            self._check_answer(answer, note)
            check_room({self._part: max(0, (note.length or self._remote.size or 0) - have)})
            self._write(line, note, have)
        return self._is_whole(note)

    def _new_note(self, headers: Message) -> _Note:
        """Of a file that comes from its beginning; what came before goes."""
        note = _Note(self._remote.address, _mark(headers), _number(headers.get("Content-Length")))
        self._part.write_bytes(b"")
        write_text(self._note, json.dumps(asdict(note)))
        return note

    def _check_answer(self, answer: Answer, note: _Note) -> None:
        if answer.headers.get_content_type() == "text/html":
            raise self._wrong("a web page")
        wanted = self._remote.size
        if None not in (wanted, note.length) and wanted != note.length:
            raise self._wrong(f"{note.length} bytes, where {wanted} are published,")
        if (note.length or 0) > LARGEST_DOWNLOAD:
            raise self._wrong(f"{note.length} bytes")

    def _write(self, line: _Line, note: _Note, have: int) -> None:
        begun, begin = time.monotonic(), have
        total = note.length or self._remote.size
        with self._part.open("r+b") as file:
            file.seek(begin)
            file.truncate()
            while block := self._next(line, _progress(self._stage, have, total, (have - begin, begun))):
                if have == 0:
                    self._check_beginning(block)
                file.write(block)
                have += len(block)
                if have > (self._remote.size or LARGEST_DOWNLOAD):
                    raise self._wrong(f"more than {have - len(block)} bytes")

    def _check_beginning(self, block: bytes) -> None:
        signs = _BEGINNINGS.get(self._target.suffix.lower(), ())
        page = block.lstrip()[:9].lower().startswith(_PAGE)
        if page or (signs and not any(block[: len(sign)] == sign[: len(block)] for sign in signs)):
            raise self._wrong("a web page" if page else f"no {self._target.suffix} file")

    def _is_whole(self, note: _Note) -> bool:
        have, wanted = _size(self._part), note.length or self._remote.size
        if wanted is not None and have < wanted:
            raise BrokenLineError(f"{self._remote.address} broke off after {have} of {wanted} bytes")
        return True

    def _wrong(self, what: str) -> DownloadError:
        """It came, and is something else; nothing of it is kept."""
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        return DownloadError(
            f"{self._remote.address} gave {what} instead of the model. Is there a page of your network to log in at? "
            "Otherwise get the file with your browser, and add it from your disk"
        )

    def _next(self, line: _Line, progress: Progress | None = None) -> Any:
        """What comes next; meanwhile and before, progress is told."""
        while True:
            self._tell(progress or Progress(self._stage, 0.0))
            with suppress(Empty):
                return line.next_item(_LOOK_EVERY_S)

    def _tell(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told >= _LOOK_EVERY_S:
            self._told = now
            self._on_progress(progress)

    def _wait(self, pause_s: float | None, broken: BrokenLineError) -> None:
        """Wait before the next attempt, or give up."""
        if pause_s is None:
            kept = "; what came is kept: try again, and it goes on there" if _size(self._part) else ""
            raise DownloadError(f"{broken}{kept}") from broken
        end = time.monotonic() + pause_s
        while time.monotonic() < end:
            self._tell(Progress(f"{self._stage}: waiting for the line", 0.0))
            time.sleep(_LOOK_EVERY_S)


class _Line:
    """A request in a thread of its own, so that its owner can stop at any time, whatever the server does.

    The thread ends by itself when nobody listens any more, at the latest when the server has been silent too long.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._items: Queue[Any] = Queue(_BLOCKS_AHEAD)
        self._left = threading.Event()
        threading.Thread(target=self._read, args=(address, headers), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def next_item(self, patience_s: float) -> Any:
        """The answer, then its bytes as they come, then none.

        Raises:
            queue.Empty: Nothing came in time.
            DownloadError: See `web_requests.request`; also where the answer breaks off.
        """
        item = self._items.get(timeout=patience_s)
        if isinstance(item, Exception):
            raise item
        return item

    def _read(self, address: str, headers: Mapping[str, str]) -> None:
        try:
            with request(address, headers) as answer:
                self._put(answer)
                while not self._left.is_set() and (block := answer.read1(_BLOCK)):
                    self._put(block)
                self._put(b"")
        except FAULTS as error:
            self._put(broken_line(address, error))
        except Exception as error:  # told where somebody can read it
            self._put(error)

    def _put(self, item: Any) -> None:
        while not self._left.is_set():
            with suppress(Full):
                self._items.put(item, timeout=_LOOK_EVERY_S)
                return


def _progress(stage: str, have: int, total: int | None, pace: tuple[int, float]) -> Progress:
    """How far a download is, by the bytes that came since a time."""
    if not total:
        return Progress(stage, 0.0)
    came, begun = pace
    seconds = time.monotonic() - begun
    eta_s = (total - have) * seconds / came if came and seconds > 1 else None
    return Progress(stage, min(1.0, have / total), eta_s)


def _goes_on(headers: Message, note: _Note, have: int) -> bool:
    """Whether an answer of status 206 is what was asked for: from this byte on, of this version and length."""
    unit, _, rest = str(headers.get("Content-Range", "")).partition(" ")
    place, _, length = rest.partition("/")
    first = place.partition("-")[0]
    same = _mark(headers) in ("", note.mark) and (_number(length) == note.length or length == "*")
    return unit == "bytes" and _number(first) == have and same


def _mark(headers: Message) -> str:
    """What tells this version of a file from others; a weak ETag does not (RFC 9110, 13.1.5)."""
    tag = str(headers.get("ETag", "")).strip()
    return tag if tag.startswith('"') else str(headers.get("Last-Modified", "")).strip()


def _number(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 16 else None


def _read_note(path: Path) -> _Note:
    with suppress(VolumeFileError, TypeError):
        note = _Note(**read_json(path, largest=_LARGEST_NOTE))
        kinds = [type(value) for value in asdict(note).values()]
        if kinds in ([str, str, int], [str, str, type(None)]):
            return note
    return _Note()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digests(path: Path, kinds: Sequence[str], on_progress: ProgressCallback, stage: str) -> dict[str, str]:
    """Hexadecimal digests of a file."""
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    size, done = _size(path), 0
    with open_file(path) as file:
        while block := file.read(1 << 22):
            for each in hashes.values():
                each.update(block)
            done += len(block)
            on_progress(Progress(stage, done / max(size, done)))
    return {kind: each.hexdigest() for kind, each in hashes.items()}
