"""Work that is stopped after a while, and how long that took."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from DeepSegmentLib.data.progress import is_work_left, watching
from DeepSegmentLib.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from DeepSegmentLib.data import Progress

LAW_S = 1.0
"""A wish to stop is granted within so long."""


class StopAfter:
    """A callback for progress that raises `Cancelled` from some moment on.

    Attributes:
        wished: The moment, on the clock of `time.monotonic`.
    """

    def __init__(self, seconds: float) -> None:
        self.wished = time.monotonic() + seconds

    def __call__(self, _: Progress) -> None:
        if time.monotonic() >= self.wished:
            raise Cancelled("stopped")


@contextmanager
def stops_in_time(stop: StopAfter) -> Iterator[None]:
    """The block is stopped, not before its moment and soon after it; what it left in threads ends soon, too."""
    with pytest.raises(Cancelled):
        yield
    took = time.monotonic() - stop.wished
    assert 0 <= took < LAW_S
    until = time.monotonic() + LAW_S
    while is_work_left():
        assert time.monotonic() < until
        time.sleep(0.01)


def assert_stops(work: Callable[[], Any], seconds: float = 0.2) -> None:
    """Some long work is stopped after so many seconds."""
    stop = StopAfter(seconds)
    with stops_in_time(stop), watching(stop):
        work()
