"""Arrays between processes: what is written is read, and nothing is left."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.hosts.worker import shared_arrays as arrays
from DeepSegmentLib.hosts.worker.shared_arrays import (
    has_room,
    is_running,
    make_folder,
    read_array,
    remove_arrays,
    remove_folder,
    sweep,
    write_array,
)

TYPES = st.sampled_from(["u1", "i2", ">i2", "u4", "i8", "f2", "f4", "<f8", ">f4", "?"])


@pytest.fixture
def folder():
    folder = make_folder()
    yield folder
    remove_folder(folder)


@st.composite
def any_arrays(draw):
    """Arrays of all layouts: contiguous, transposed, reversed, with steps, empty, of no axis."""
    array = draw(arrays_of.arrays(np.dtype(draw(TYPES)), arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0)))
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    steps = draw(st.lists(st.sampled_from([-2, -1, 1, 2]), min_size=array.ndim, max_size=array.ndim))
    return array[tuple(slice(None, None, step) for step in steps)]


class TestLaws:
    @given(any_arrays(), st.integers(1, 64))
    def test_what_is_written_is_read_and_the_file_is_gone(self, array, slab_bytes):
        folder = make_folder()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(arrays, "_SLAB_BYTES", slab_bytes)
            description = write_array(folder, array)
        read = read_array(folder, description)
        assert (read.dtype, read.shape) == (array.dtype, array.shape)
        assert np.array_equal(read, array, equal_nan=array.dtype.kind == "f")
        assert not list(folder.iterdir())
        remove_folder(folder)
        assert read.tobytes() == array.tobytes()  # the map outlives its folder

    @given(any_arrays())
    def test_another_size_than_described_is_refused(self, array):
        folder = make_folder()
        description = write_array(folder, array)
        with (folder / description["file"]).open("ab") as file:
            file.write(b"!")
        with pytest.raises(InvalidInputError, match="does not hold"):
            read_array(folder, description)
        remove_folder(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../escape.array"},
        {"file": ".."},
        {"shape": [-2, -3]},
        {"shape": [2.0, 3]},
        {"shape": [True, 6]},
        {"dtype": "O"},
        {"dtype": "u1,u1"},
        {"dtype": "U4"},
    ],
)
def test_descriptions_that_are_none_are_refused(folder, change):
    (folder.parent / "escape.array").write_bytes(b"123456")
    try:
        description = write_array(folder, np.zeros((2, 3), np.uint8)) | change
        with pytest.raises(InvalidInputError):
            read_array(folder, description)
    finally:
        (folder.parent / "escape.array").unlink()


def test_what_was_read_cannot_be_written_to(folder):
    read = read_array(folder, write_array(folder, np.zeros(5)))
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1


def test_no_room_says_how_much_is_needed_and_leaves_nothing(folder):
    resource = pytest.importorskip("resource", reason="Windows has no limit for the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(ResourceError, match=r"no room in .* for 0\.1 GB .*free some space"):
            write_array(folder, np.zeros(100_000_000, np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(folder.iterdir())


def test_unread_arrays_can_be_removed(folder):
    write_array(folder, np.zeros(5))
    (folder / "worker.log").write_text("kept")
    remove_arrays(folder)
    assert [path.name for path in folder.iterdir()] == ["worker.log"]


@pytest.mark.skipif(os.name != "posix", reason="rights are others on Windows")
def test_only_the_user_can_enter(folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no files in memory")
class TestPlace:
    def test_large_arrays_go_where_there_is_room(self, monkeypatch):
        monkeypatch.setattr(arrays, "_LEAST_FREE", 0)
        in_memory, on_disk = make_folder(1), make_folder(1 << 60)
        assert in_memory.parent == Path("/dev/shm")
        assert on_disk.parent == Path(tempfile.gettempdir())
        assert has_room(in_memory, 1)
        assert not has_room(in_memory, 1 << 60)
        assert has_room(on_disk, 1 << 60)  # no better place is known
        for folder in (in_memory, on_disk):
            remove_folder(folder)

    def test_a_socket_fits_however_long_the_name_of_the_temporary_folder_is(self, monkeypatch, tmp_path):
        long = tmp_path / ("x" * 90)
        long.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(long))
        folder = make_folder(1 << 60)
        assert len(str(folder / "socket")) <= 104
        remove_folder(folder)


def test_no_place_at_all_is_said(monkeypatch):
    monkeypatch.setattr(arrays, "_MEMORY_FOLDER", Path("/nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(ResourceError, match="TMPDIR"):
        make_folder()


def test_folders_of_the_dead_are_swept_and_those_of_the_living_kept(folder):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert is_running(os.getpid())
    assert not is_running(gone.pid)
    words = folder.name.split("-")
    orphan = folder.with_name("-".join([*words[:2], str(gone.pid), "orphan"]))
    elsewhere = folder.with_name("-".join([words[0], "f" * 8, str(gone.pid), "elsewhere"]))
    for place in (orphan, elsewhere):
        place.mkdir()
        (place / "x.array").write_bytes(b"x")
    sweep()
    assert not orphan.exists()
    assert folder.exists()
    assert elsewhere.exists()  # the process numbers of another machine or container say nothing here
    remove_folder(elsewhere)


def test_a_folder_that_is_written_to_goes_all_the_same():
    code = """
import sys, pathlib
for n in range(10**9):
    try:
        (pathlib.Path(sys.argv[1]) / f"{n}.array").write_bytes(b"x")
    except FileNotFoundError:
        break
"""
    for _ in range(3):
        folder = make_folder()
        writer = subprocess.Popen([sys.executable, "-c", code, str(folder)])
        while not any(folder.iterdir()):
            pass
        remove_folder(folder)
        assert writer.wait(timeout=30) == 0
        assert not list(folder.parent.glob(f"{folder.name}*"))
