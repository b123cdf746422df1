"""Many cases in a row: while one is computed, the next is read and the one before is written."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.files.models import load_model
from DeepSegmentLib.imaging.memory import available_memory_bytes
from DeepSegmentLib.service.preflight import estimate
from DeepSegmentLib.service.segment import run_case

from .work_case import close_case, open_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.service.segment import CaseRead, SegmentRequest

    from .work_case import Opened

UNDER_WAY = 3
"""So many cases may be begun and not ended: one is read, one computed, one written."""

# Of the bytes of a file: packed scans grow two- to fourfold, and so much again is in use while they are read.
_UNPACKED = 8


def work_cases(
    requests: Sequence[SegmentRequest],
    on_progress: Callable[[int, Progress], None],
    on_end: Callable[[int, dict[str, Any] | Exception], None],
    *,
    skip_existing: bool = False,
    load: Callable[[Path, str], Model] = load_model,
) -> None:
    """Work cases as `work_case` does, with the same results; an error is that of its case.

    At most one case is read ahead, and only where its voxels leave the memory that the case before needs. Models and
    networks are used by the calling thread alone, which also makes all calls.

    Args:
        requests: The cases.
        on_progress: Told how far the case of this number is; may raise `Cancelled`.
        on_end: Gets the report of each case, or what went wrong, in their order.
        skip_existing: As of `work_case`.
        load: Gives the model of a folder on a device.

    Raises:
        Cancelled: Raised by `on_progress`. What was being written by then is written to its end.
    """
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        row = _Row(requests, reader, writer, skip_existing=skip_existing)
        for number in range(len(requests)):
            try:
                row.work(number, on_progress, on_end, load)
            except Cancelled:
                raise
            except Exception as error:
                row.tell_written(on_end)
                on_end(number, error)
        row.tell_written(on_end)


class _Row:
    """What is read ahead, and what is being written.

    Args:
        requests: The cases.
        reader: Reads, in a thread of its own.
        writer: Writes, in a thread of its own.
        skip_existing: As of `work_case`.
    """

    def __init__(
        self,
        requests: Sequence[SegmentRequest],
        reader: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
        *,
        skip_existing: bool,
    ) -> None:
        self._requests, self._reader, self._writer = requests, reader, writer
        self._open = partial(open_case, skip_existing=skip_existing)
        self._ahead: Future[Opened] | None = None
        self._written: tuple[int, Future[dict[str, Any]]] | None = None

    def work(
        self,
        number: int,
        on_progress: Callable[[int, Progress], None],
        on_end: Callable[[int, dict[str, Any] | Exception], None],
        load: Callable[[Path, str], Model],
    ) -> None:
        """Read a case, unless that is done; compute it, and have it written while the next one is begun."""

        def progress(event: Progress) -> None:
            self.tell_written(on_end, wait=False)
            on_progress(number, event)

        progress(Progress("read", 0.0))
        opened = self._read(number)
        if opened.case is None:
            self.tell_written(on_end)
            on_end(number, opened.left_out)
            return
        self._read_ahead(number + 1, opened.case, on_end)
        done = run_case(opened.case, progress, load=load)
        progress(Progress("write", 1.0, 0.0))
        self.tell_written(on_end)
        self._written = number, self._writer.submit(close_case, opened, done)

    def tell_written(self, on_end: Callable[[int, dict[str, Any] | Exception], None], *, wait: bool = True) -> None:
        """Tell of the case that was being written, if there is one."""
        if self._written is None or not (wait or self._written[1].done()):
            return
        (number, future), self._written = self._written, None
        error = future.exception()
        on_end(number, future.result() if error is None else _plain(error))

    def _read(self, number: int) -> Opened:
        """What was read ahead. A case that failed then is tried again in its turn, when nothing else takes memory."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.exception() is None:
            return ahead.result()
        return self._reader.submit(self._open, self._requests[number]).result()

    def _read_ahead(
        self, number: int, case: CaseRead, on_end: Callable[[int, dict[str, Any] | Exception], None]
    ) -> None:
        """Begin to read the next case where there is memory for that; where there is too little, finish writing."""
        upcoming = self._requests[number : number + 1]
        if _has_room(case, upcoming):
            self._ahead = self._reader.submit(self._open, upcoming[0]) if upcoming else None
        else:
            self.tell_written(on_end)


def _plain(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def _has_room(case: CaseRead, upcoming: Sequence[SegmentRequest]) -> bool:
    """Whether the memory that is free is enough for the run of a case, and for reading others meanwhile."""
    free = available_memory_bytes()
    if free is None:
        return False
    request = case.request
    needed = estimate(case.spec, case.volume.geometry, request.settings, request.device).memory_bytes
    ahead = sum(max(2 * case.volume.voxels.nbytes, _UNPACKED * _bytes_of(each)) for each in upcoming)
    return needed + ahead <= free


def _bytes_of(request: SegmentRequest) -> int:
    """Of its files, as far as they can be seen; those of a folder with all that is in it."""
    return sum(_size(path) for path in (request.source, *request.channels))


def _size(path: Path) -> int:
    try:
        files: Iterable[Path] = path.iterdir() if path.is_dir() else (path,)
        return sum(each.stat().st_size for each in files)
    except OSError:
        return 0
