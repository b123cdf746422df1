"""Signals end a command in good order, whenever they come."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_examples import Command, leftovers, write_head, write_model

from DeepSegmentLib.hosts.stopping import StopSignal, held_back, stoppable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def heeded():
    """Whoever runs the tests may ignore signals, as nohup and the background of shells do."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_each_signal_unwinds_with_its_exit_code_and_handlers_come_back(name, code):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(StopSignal) as stop, stoppable():
        os.kill(os.getpid(), number)
        time.sleep(1)
    assert stop.value.exit_code == code
    assert signal.getsignal(number) == before


def test_impatience_does_not_interrupt_the_clearing_up():
    cleared = False
    with pytest.raises(StopSignal), stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            cleared = True
    assert cleared


def test_a_signal_that_is_held_back_counts_at_the_end():
    done = False
    with pytest.raises(StopSignal) as stop, stoppable():
        with held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            done = True
        pytest.fail("it went on")
    assert done
    assert stop.value.exit_code == 143


def test_a_signal_that_is_held_back_waits_for_the_outermost_block():
    done = False
    with pytest.raises(StopSignal), stoppable(), held_back():
        with held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        done = True
    assert done


def test_holding_back_nothing_changes_nothing():
    with stoppable(), held_back():
        pass
    with held_back():  # where nobody listens
        pass


def test_an_import_ends_before_the_signal_counts(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import os, time; os.kill(os.getpid(), 15); time.sleep(0.2); DONE = 1")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StopSignal), stoppable():
        importlib.import_module("slow_to_import")
        time.sleep(1)
    assert sys.modules["slow_to_import"].DONE


def test_what_is_ignored_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_that_is_terminated_leaves_nothing_half_written(tmp_path):
    write_head(tmp_path / "in" / "a.nii.gz")
    write_head(tmp_path / "in" / "b.nii.gz", shape=(90, 90, 90))
    with Command(tmp_path / "in", tmp_path / "out", write_model(tmp_path)).start() as process:
        assert process.stdout.readline().startswith("1 of 2")
        process.terminate()
        lines = process.stdout.read()
    assert process.returncode == 143
    assert "nothing half-written is left" in lines
    assert not leftovers(tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", ">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("many", [True, False])
def test_streams_that_cannot_be_written_lose_no_result(tmp_path, streams, many):
    head = write_head(tmp_path / "in" / "a.nii.gz")
    source, target = (head.parent, tmp_path / "out") if many else (head, tmp_path / "out" / "a.seg.nrrd")
    command = Command(source, target, write_model(tmp_path)).arguments()
    shell = ["sh", "-c", f'"$@" {streams}', "sh", *map(str, command)]
    assert subprocess.run(shell, check=False, capture_output=True).returncode == 0
    assert (tmp_path / "out" / "a.seg.nrrd").is_file()


_DEAF = """
import hashlib, os, pathlib, sys, threading
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.hosts.stopping import stoppable

with stoppable(lambda: print("last words", flush=True)), atomic_path(pathlib.Path(sys.argv[1])) as fresh:
    fresh.write_text("half")
    threading.Timer(0.5, os.kill, [os.getpid(), int(sys.argv[2])]).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in one call
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_long_call_of_a_library_is_not_waited_for(tmp_path, name, code):
    call = [sys.executable, "-c", _DEAF, str(tmp_path / "result"), str(int(getattr(signal, name)))]
    done = subprocess.run(call, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, "last words\n"), done.stderr
    assert not list(tmp_path.iterdir())
