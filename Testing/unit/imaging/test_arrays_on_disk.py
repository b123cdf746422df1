"""Arrays in files without a name."""

import gc
import os

import numpy as np
import pytest

from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.imaging.arrays_on_disk import zeros_on_disk


def test_it_is_an_array_like_any_other_and_leaves_nothing(tmp_path):
    array = zeros_on_disk(tmp_path, (3, 4, 5))
    assert type(array) is np.ndarray
    assert array.dtype == np.float32
    assert not array.any()
    array[1, ::-1] = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(array[1], np.arange(20).reshape(4, 5)[::-1])
    if os.name == "posix":
        assert not list(tmp_path.iterdir())
    del array
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(ResourceError, match=r"no room for a map of 4 MB: No space left.*make room"):
        zeros_on_disk(tmp_path, (100, 100, 100))
    with pytest.raises(ResourceError):
        zeros_on_disk(tmp_path / "nothing", (1, 1, 1))
    assert not list(tmp_path.iterdir())


def test_room_is_taken_also_where_the_system_has_no_call_for_it(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    assert zeros_on_disk(tmp_path, (700, 700, 1)).sum() == 0
