"""Memory figures are plausible, and a container's limit counts."""

import subprocess
import sys

import numpy as np
import pytest

from DeepSegmentLib.imaging import memory


def test_figures_are_plausible():
    total, available, peak = memory.total_memory_bytes(), memory.available_memory_bytes(), memory.peak_memory_bytes()
    assert 0 < available <= total
    assert 1 << 20 < peak < total


def test_the_peak_grows_with_an_array():
    before = memory.peak_memory_bytes()
    size = before + (64 << 20)
    assert np.ones(size, np.uint8).sum() == size
    assert memory.peak_memory_bytes() >= size


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_freed_memory_is_kept_until_the_end():
    """In a process of its own, as other tests leave memory behind."""
    code = """
import numpy as np
from DeepSegmentLib.imaging.memory import freed_memory_kept, resident_memory_bytes as now, return_freed_memory
SIZE = 256 << 20
def used():
    before = now()
    array = np.ones(SIZE, np.uint8)
    del array
    return now() - before
assert used() < SIZE / 8
with freed_memory_kept():
    with freed_memory_kept():
        first = now()
        assert used() > SIZE / 2
    assert used() < SIZE / 8  # the same place
    assert now() - first > SIZE / 2
    return_freed_memory()
    assert now() - first < SIZE / 8
    assert used() > SIZE / 2
assert now() - first < SIZE / 8
assert used() < SIZE / 8
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_memory_is_kept_for_threads_too():
    code = """
import resource, threading
import numpy as np
from DeepSegmentLib.imaging.memory import freed_memory_kept
def fresh_pages():
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    arrays = [np.ones(40 << 20, np.uint8) for _ in range(3)]  # each fits in a heap of a thread, and no two do
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
def work():
    fresh_pages()
    found.append(fresh_pages())
found = []
with freed_memory_kept():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
assert found[0] < 100, found
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert memory.available_memory_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory_bytes() > 600_000


def test_the_limit_of_a_group_around_this_one_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    (tmp_path / "own").write_text("4:cpu,memory:/old/job\n1:cpu:/other\n0::/user/app\n")
    for folder, (limit, used, cache) in {
        "cpu,memory/old": memory._CGROUP_FILES[1],
        "user": memory._CGROUP_FILES[0],
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / limit).write_text("900000\n")
        (tmp_path / folder / used).write_text("400000\n")
        (tmp_path / folder / "memory.stat").write_text(f"anon 5\n{cache}50000\n")
    assert memory.available_memory_bytes() == 550_000
    (tmp_path / "user" / "memory.max").write_text("800000\n")
    assert memory.available_memory_bytes() == 450_000


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux tells how many addresses a process has.")
def test_the_limit_of_the_shell_counts():
    code = "from DeepSegmentLib.imaging.memory import available_memory_bytes as left; print(left())"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); {code}"
    left = int(subprocess.run([sys.executable, "-c", limited], capture_output=True, check=True, text=True).stdout)
    assert 0 < left < 1 << 31
