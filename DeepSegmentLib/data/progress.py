"""What long work tells its caller, and how the caller stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from DeepSegmentLib.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

_Result = TypeVar("_Result")

_TELL_EVERY_S = 0.05
_WAIT_S = 0.02


@dataclass(frozen=True)
class Progress:
    """One report of how far the work is.

    Attributes:
        stage: What is being done, a short phrase such as "predict".
        fraction: Part of the whole work that is done, 0 to 1.
        eta_s: Seconds to go, or None while unknown.
        memory_bytes: Peak memory of the process so far, or None where it cannot be read.

    Example:
        >>> Progress("predict", 0.5, eta_s=12.4)
        Progress(stage='predict', fraction=0.5, eta_s=12.4, memory_bytes=None)
    """

    stage: str
    fraction: float
    eta_s: float | None = None
    memory_bytes: int | None = None


ProgressCallback = Callable[[Progress], None]
"""Receives progress, the same event several times where a step is long; raises `Cancelled` to stop the work."""


def tell_part(on_progress: ProgressCallback, begin: float, end: float, event: Progress) -> None:
    """Tell the progress of a part of the work, which goes from `begin` to `end`, as that of the whole."""
    on_progress(replace(event, fraction=begin + (end - begin) * event.fraction))


def silent(_: Progress) -> None:
    """Ignore progress."""


def unwatched() -> None:
    """What a caller passes that does not want to be called between the steps of a work."""


class _Watch:
    """A callback that is told its last event again when it is asked whether the work shall stop."""

    def __init__(self, on_progress: ProgressCallback) -> None:
        self._on_progress, self._last, self._told = on_progress, Progress("prepare", 0.0), 0.0
        self._reason: BaseException | None = None

    def __call__(self, event: Progress) -> None:
        self._last = event
        self._tell()

    def ask(self) -> None:
        """Raise what the callback raises; once it has, the same again: a library may have swallowed it."""
        if self._reason is not None:
            raise self._reason
        if time.monotonic() - self._told >= _TELL_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        try:
            self._on_progress(self._last)
        except BaseException as reason:
            self._reason = reason
            raise

    def forget(self) -> None:
        """Let go of the reason, whose traceback holds all that the work had in memory."""
        self._reason = None


_watch: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(on_progress: ProgressCallback) -> Iterator[ProgressCallback]:
    """While the block lasts, `check_stop` in it asks a callback, by its last event; gives what to tell events to."""
    watch = _Watch(on_progress)
    before = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(before)
        watch.forget()


def check_stop() -> None:
    """Stop here if who watches the work wants that; to be called wherever a part of a second may have gone by.

    Costs next to nothing. Whoever catches any error of a library calls it first, see `_Watch.ask`.

    Raises:
        Cancelled: By the callback of `watching`.
    """
    watch = _watch.get()
    if watch is not None:
        watch.ask()


def waited_for(work: Callable[[], _Result], on_stop: Callable[[], object] = unwatched) -> _Result:
    """What some work gives whose steps are long; it runs in a thread, so that who waits for it can be stopped at once.

    Then `check_stop` in the work stops it, too; until then, or to its end, it goes on and keeps its memory.

    Args:
        work: What to do.
        on_stop: Called when the caller is stopped; may end the work.

    Raises:
        Cancelled: By the callback of `watching`.
    """
    if _watch.get() is None:
        return work()
    from concurrent.futures import ThreadPoolExecutor, wait  # slow to import, and seldom needed

    _own.executor = executor = _own.executor or ThreadPoolExecutor(1, "waited for")
    left = threading.Event()
    try:
        future = executor.submit(_until, left, work)
    except RuntimeError:  # no thread can be had, where memory is short
        _own.executor = None
        return work()
    try:
        while not wait([future], _WAIT_S).done:
            check_stop()
    except BaseException:
        left.set()
        on_stop()
        _left.add(future)
        _own.executor = None
        executor.shutdown(wait=False)
        raise
    try:
        return future.result()
    finally:
        del future  # an error in it holds this


def _until(left: threading.Event, work: Callable[[], _Result]) -> _Result:
    """Do some work, and stop it when its caller has left."""

    def stop(_: Progress) -> None:
        if left.is_set():
            raise Cancelled("stopped")

    with watching(stop):
        return work()


class _Own(threading.local):
    """Of each thread: where what it waits for runs; always the same thread, as those of OpenMP belong to it."""

    executor: ThreadPoolExecutor | None = None


_own = _Own()
_left: WeakSet[Future[Any]] = WeakSet()


def is_work_left() -> bool:
    """Whether work whose caller was stopped still runs."""
    return any(not future.done() for future in tuple(_left))
