"""Samples made beside the training, in processes of their own."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .processes import count, rank, share_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from .settings import TrainSettings

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class SampleSource(Protocol):
    """Gives the training sample of an iteration; pickled, where processes beside the training make samples."""

    def __call__(self, iteration: int) -> tuple[Tensor, ...]:
        """Image (channel, k, j, i) and what the loss compares with; the same for the same iteration."""


@contextmanager
def batches(
    source: SampleSource,
    settings: TrainSettings,
    start: int,
    undisturbed: Callable[[], AbstractContextManager[object]],
) -> Iterator[Iterator[tuple[Tensor, ...]]]:
    """The batches from a step on; the processes that make them end with the block, however it ends.

    Of several processes that train together each gets its part of every batch.
    """
    in_a_step = settings.accumulate * settings.batch_size
    samples = _Samples(source, range(start * in_a_step + rank(), settings.iterations * in_a_step, count()))
    loader = DataLoader(
        samples,
        batch_size=share_of(settings.batch_size, count()),
        num_workers=settings.workers,
        shuffle=False,
        worker_init_fn=_leave_the_end_to_the_parent,
        # New processes, as on Windows and macOS: what locks threads of this one hold stays locked in a copy.
        multiprocessing_context="spawn" if settings.workers else None,
    )
    # A signal that comes while processes are begun would be lost, or end only half of them.
    with undisturbed(), _helpers_begin_deaf() if settings.workers else nullcontext():
        iterator: Any = iter(loader)
    try:
        yield iterator
    finally:
        end = getattr(iterator, "_shutdown_workers", None)
        if end is not None:  # or else they would wait as long as somebody keeps the error of this block
            end()


class _Samples(Dataset[tuple[Tensor, ...]]):
    def __init__(self, source: SampleSource, numbers: range) -> None:
        self._source, self._numbers = source, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, n: int) -> tuple[Tensor, ...]:
        return self._source(self._numbers[n])


@contextmanager
def _helpers_begin_deaf() -> Iterator[None]:
    """Processes that are begun in the block hear no signal until they leave the end to their parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        resource_tracker.ensure_running()  # by multiprocessing's own process, which lets signals through when it begins
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_the_end_to_the_parent(_: int) -> None:
    """Ctrl-C goes to all processes of a terminal; one that makes samples ends with its parent, not before it.

    A sample that is on its way when the parent ends is no error to tell.
    """
    sys.excepthook = _but_lost_connections  # called in the thread of multiprocessing that hands samples over
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _but_lost_connections(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
