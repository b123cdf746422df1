"""Memory figures are plausible, and a container's limit counts."""

import numpy as np

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


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert memory.available_memory_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory_bytes() > 600_000
