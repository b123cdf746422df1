"""Long work can be stopped wherever it asks, and while somebody waits for it."""

import gc
import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from stop_examples import StopAfter, assert_stops, stops_in_time

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import check_stop, is_work_left, silent, waited_for, watching
from DeepSegmentLib.errors import Cancelled


def asking(seconds=30.0):
    """Work that asks often."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
        check_stop()


def test_where_nobody_watches_nobody_is_asked():
    check_stop()
    assert waited_for(threading.current_thread) is threading.current_thread()


def test_the_last_event_is_told_again_but_not_at_every_question():
    told = []
    with watching(told.append) as tell:
        tell(Progress("predict", 0.5))
        asking(0.5)
    assert set(told) == {Progress("predict", 0.5)}
    assert 2 <= len(told) <= 12


def test_work_that_asks_is_stopped():
    assert_stops(asking)


def test_an_outer_watch_counts_again_after_an_inner_one():
    stop = StopAfter(0.1)
    with stops_in_time(stop), watching(stop):
        with watching(silent):
            asking(0.2)
        asking()


def test_a_reason_that_a_library_swallowed_is_given_again():
    def once(_):
        reasons.pop()
        raise Cancelled("stopped")

    reasons = [1]
    with pytest.raises(Cancelled), watching(once):
        try:
            asking()
        except Exception as error:
            text = str(error)
        assert text == "stopped"
        check_stop()


def test_work_that_is_waited_for_gives_its_result_or_its_error():
    with watching(silent):
        assert waited_for(lambda: 1) == 1
        with pytest.raises(ZeroDivisionError):
            waited_for(lambda: 1 / 0)
        with pytest.raises(TimeoutError):
            waited_for(lambda: (_ for _ in ()).throw(TimeoutError()))


def test_the_same_thread_does_all_that_a_thread_waits_for():
    with watching(silent):
        first = waited_for(threading.current_thread)
        assert waited_for(threading.current_thread) is first
        assert waited_for(lambda: waited_for(threading.current_thread)) not in (first, threading.current_thread())


def test_who_waits_is_stopped_at_once_and_the_work_at_its_next_question():
    assert_stops(lambda: waited_for(asking))
    assert_stops(lambda: waited_for(lambda: waited_for(asking)))
    stop, end = StopAfter(0.1), threading.Event()
    with pytest.raises(Cancelled), watching(stop):
        waited_for(lambda: end.wait(30), end.set)
    assert end.is_set()
    with pytest.raises(Cancelled), watching(StopAfter(0.1)):
        waited_for(lambda: time.sleep(0.5))
    assert is_work_left()
    assert waited_for(lambda: 1) == 1  # who comes next does not wait for it
    time.sleep(0.7)
    assert not is_work_left()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_ends_the_waiting(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
        timer.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt), watching(silent):
            waited_for(asking)
        assert time.monotonic() - begun < 1.2
    finally:
        signal.signal(signal.SIGINT, before)


def test_nothing_of_stopped_work_stays_in_memory():
    held = []

    def work():
        large = np.zeros(1000)
        held.append(weakref.ref(large))
        asking()

    assert_stops(work, 0.1)
    assert_stops(lambda: waited_for(work), 0.1)
    time.sleep(0.1)
    gc.collect()
    assert [ref() for ref in held] == [None, None]
