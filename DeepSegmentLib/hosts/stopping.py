"""Signals that end a command: all stop it where Ctrl-C would, so that it takes back what is half done."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_LATER_S = 0.05
_DEAF_S = 5.0  # after a signal, so that impatience does not interrupt the clearing up


class StopSignal(KeyboardInterrupt):
    """A signal came that ends the process.

    Attributes:
        exit_code: As shells tell it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block lasts, signals raise `StopSignal` in it; those that are ignored (nohup) stay so.

    Does nothing outside the main thread, which alone gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that come while the block lasts count at its end; within `stoppable`, for moments only."""
    stop = signal.getsignal(signal.SIGINT)
    if not isinstance(stop, _Stop):
        stop = signal.getsignal(signal.SIGTERM)
    if not isinstance(stop, _Stop) or threading.current_thread() is not threading.main_thread():
        yield
        return
    stop.holds = True
    try:
        yield
    finally:
        stop.holds = False
    kept, stop.kept = stop.kept, None
    if kept is not None:
        stop(kept, None)


class _Stop:
    """The handler.

    Attributes:
        holds: Whether a signal has to wait.
        kept: The one that waits.
    """

    def __init__(self) -> None:
        self._heard = -_DEAF_S
        self.holds = False
        self.kept: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.holds:
            self.kept = number
        elif _is_importing(frame):
            again = threading.Timer(_LATER_S, signal.raise_signal, [number])
            again.daemon = True
            again.start()
        elif time.monotonic() - self._heard > _DEAF_S:
            self._heard = time.monotonic()
            raise StopSignal(number)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a package is being imported: torch's C++ aborts where Python raises in the middle of that."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
