"""One writer at a time: others are refused or wait, and whoever is killed holds nothing."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.lock import LOCK_FILE, exclusive

_HOLDER = """
import sys
from pathlib import Path
from DeepSegmentLib.files.lock import exclusive

with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is told a line, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def _free(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def test_another_process_is_refused_by_the_name_of_the_folder(tmp_path, holder):
    with pytest.raises(VolumeFileError, match="somebody else is writing to") as refusal, exclusive(tmp_path):
        pytest.fail("two have the lock")
    assert str(tmp_path) in str(refusal.value)
    _free(holder)
    assert holder.wait() == 0
    with exclusive(tmp_path):
        assert (tmp_path / LOCK_FILE).read_bytes() == b""


def test_who_waits_gets_it_when_the_other_is_done(tmp_path, holder):
    threading.Timer(0.1, _free, [holder]).start()
    with exclusive(tmp_path, wait_s=60):
        assert holder.wait() == 0


def test_who_waits_in_vain_is_refused(tmp_path, holder):
    with pytest.raises(VolumeFileError, match="try again"), exclusive(tmp_path, wait_s=0.05):
        pytest.fail("two have the lock")
    assert holder.poll() is None


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_killed_writer_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    with exclusive(tmp_path, wait_s=60):
        assert holder.wait() == -signal.SIGKILL


def test_threads_that_wait_never_meet(tmp_path):
    inside, most, done = [], [], []

    def work():
        for _ in range(5):
            with exclusive(tmp_path, wait_s=60):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(most), len(done)) == (1, 15, 3)


def test_work_of_another_name_is_not_kept_waiting(tmp_path):
    with exclusive(tmp_path, ".one"), exclusive(tmp_path, ".other"):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".one", ".other"]


def test_it_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), exclusive(tmp_path):
        raise KeyError
    with exclusive(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_no_lock(tmp_path, kind):
    lock, elsewhere = tmp_path / LOCK_FILE, tmp_path / "elsewhere"
    if kind == "link":
        lock.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(VolumeFileError), exclusive(tmp_path, wait_s=60):
        pytest.fail("something else was locked")
    assert not elsewhere.exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VolumeFileError, match="no folder cannot be written"), exclusive(tmp_path / "no folder"):
        pytest.fail("nothing was locked")
