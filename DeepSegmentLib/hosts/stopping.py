"""Signals that end a command: all stop it where Ctrl-C would, so that it takes back what is half done."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import NoReturn

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_LATER_S = 0.05
_PATIENCE_S = 0.7
_LOOK_EVERY_S = 0.02
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
def stoppable(last_words: Callable[[], None] | None = None) -> Iterator[None]:
    """While the block lasts, signals raise `StopSignal` in it; those that are ignored (nohup) stay so.

    Does nothing outside the main thread, which alone gets signals.

    Args:
        last_words: Called where nothing can be raised within 0.7 s, in a long call of a library or an import; after
            them the process ends, see `leave_at_once`. None to wait for the end of the call, however long it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        with ExitStack() as listening:
            if last_words is not None:
                listening.enter_context(_listening(stop, last_words))
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _listening(stop: _Stop, last_words: Callable[[], None]) -> Iterator[None]:
    """While the block lasts, a thread hears of signals, too, and ends the process where the handler does nothing."""
    import socket  # the help of the command needs none of it

    ear, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        with ear:
            while number := ear.recv(1):
                if number[0] in _SIGNALS and not stop.raises_within(_PATIENCE_S):
                    last_words()
                    leave_at_once(128 + number[0])

    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    with suppress(RuntimeError):  # no thread can be had, where memory is short
        threading.Thread(target=listen, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        mouth.close()


def leave_at_once(code: int) -> NoReturn:
    """End the process whatever it is doing, and leave nothing half-written behind."""
    from DeepSegmentLib.files.leftovers import discard

    discard()
    os._exit(code)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that come while the block lasts count at its end, of blocks within each other at that of the outer one.

    Within `stoppable`, for moments only.
    """
    stop = signal.getsignal(signal.SIGINT)
    if not isinstance(stop, _Stop):
        stop = signal.getsignal(signal.SIGTERM)
    if not isinstance(stop, _Stop) or threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, stop.holds = stop.holds, True
    try:
        yield
    finally:
        stop.holds = outer
    if outer:
        return
    kept, stop.kept = stop.kept, None
    if kept is not None:
        stop(kept, None)


class _Stop:
    """The handler.

    Attributes:
        holds: Whether a signal has to wait.
        kept: The one that waits.
        raised: Whether one has been raised.
    """

    def __init__(self) -> None:
        self._heard = -_DEAF_S
        self.holds = False
        self.kept: int | None = None
        self.raised = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.holds:
            self.kept = number
        elif _is_importing(frame):
            again = threading.Timer(_LATER_S, signal.raise_signal, [number])
            again.daemon = True
            again.start()
        elif time.monotonic() - self._heard > _DEAF_S:
            self._heard, self.raised = time.monotonic(), True
            raise StopSignal(number)

    def raises_within(self, seconds: float) -> bool:
        """Wait until a signal is raised; seconds in which they have to wait do not count."""
        until = time.monotonic() + seconds
        while not self.raised and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
            if self.holds:
                until = time.monotonic() + seconds
        return self.raised


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a package is being imported: torch's C++ aborts where Python raises in the middle of that."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
