"""Everything that must be refused: with the name of the file, what is wrong, and nothing left behind."""

import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bad_inputs import DOORS

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.data.labels import Code, Terminology
from DeepSegmentLib.errors import DeepSegmentError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path, write_text
from DeepSegmentLib.files.lock import LOCK_FILE
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import write_volume

GRID = Geometry.from_spacing((2, 2, 2), (1, 1, 1))
VOLUME = Volume(np.zeros((1, 2, 2, 2), np.uint8), GRID)
LABELS = LabelMap(np.ones((1, 2, 2, 2), np.uint8), GRID, (Segment("a", 1),))


_LONGEST_SECONDS = 20
_LARGE = 1 << 20  # bytes; larger files are told by their size


@contextmanager
def _alarm():
    """Turn a hang into a failure."""

    def ring(*_):
        raise TimeoutError(f"no answer in {_LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _tree(folder):
    """What is in a folder and below: kinds, sizes and contents; a lock and the index of models stay by design."""
    stays = (LOCK_FILE, ".index.json")
    return {str(path): _content(path) for path in sorted(folder.rglob("*")) if path.name not in stays}


def _content(path):
    status = path.lstat()
    small = stat.S_ISREG(status.st_mode) and status.st_size < _LARGE
    return stat.S_IFMT(status.st_mode), 0 if path.is_dir() else status.st_size, path.read_bytes() if small else b""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders and no alarm")
@pytest.mark.parametrize(
    ("door", "name"),
    [pytest.param(door, name, id=f"{door.name}: {name!a}"[:90]) for door in DOORS for name in door.entries],
)
def test_a_bad_input_is_refused(tmp_path, door, name):
    """By a sentence that says what is wrong with which file, at once, and nothing is left behind."""
    make, message = door.entries[name]
    made = make(tmp_path)
    before = _tree(tmp_path)
    with _alarm(), pytest.raises(DeepSegmentError, match=message) as caught:
        door.use(made, tmp_path)
    said = str(caught.value)
    assert "sitk::ERROR" not in said
    assert "by a fault of DeepSegment" not in said
    assert "\n" not in said or "series" in said
    assert len(said) < 2000
    if isinstance(made, Path) and door.name != "DICOM folders":
        assert made.name.split(".")[0][:60] in said
    assert _tree(tmp_path) == before


def test_the_tables_hold_enough():
    assert sum(len(door.entries) for door in DOORS) >= 150
    assert all(len(door.entries) >= 5 for door in DOORS)


def _terminology(text):
    code = Code("SCT", "1", text)
    return LabelMap(LABELS.layers, GRID, (Segment("a", 1, (1, 2, 3), Terminology(code, code)),))


def _named(name):
    return LabelMap(LABELS.layers, GRID, (Segment(name, 1),))


@pytest.mark.parametrize(
    ("write", "name", "message"),
    [
        (lambda path: write_volume(VOLUME, path), "a.png", "unknown suffix"),
        (lambda path: write_volume(VOLUME, path), "folder.nrrd", "is a folder"),
        (lambda path: write_segmentation(LABELS, path), "a.txt", "unknown suffix"),
        (lambda path: write_segmentation(LABELS, path), "folder.seg.nrrd", "is a folder"),
        (lambda path: write_segmentation(_terminology("a~b"), path), "a.seg.nrrd", "separators"),
        (lambda path: write_text(path, "\udce9"), "a.json", "half a character"),
        (lambda path: write_volume(VOLUME, path), "a.nhdr", "unknown suffix"),
        (lambda path: write_segmentation(_named("a\rb"), path), "a.seg.nrrd", "character"),
        (lambda path: write_segmentation(_named("a\0b"), path), "a.seg.nrrd", "character"),
        (lambda path: write_segmentation(_named("\udce9"), path), "a.seg.nrrd", "character"),
        (lambda path: write_segmentation(LABELS, path, {"a:=b": ""}), "a.seg.nrrd", "key 'a:=b'"),
        (lambda path: write_segmentation(LABELS, path, {"a": "\r"}), "a.seg.nrrd", "character"),
    ],
)
def test_a_bad_place_to_write_is_refused(tmp_path, write, name, message):
    (tmp_path / "folder.nrrd").mkdir()
    (tmp_path / "folder.seg.nrrd").mkdir()
    with pytest.raises(VolumeFileError, match=message):
        write(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.nrrd", "folder.seg.nrrd"]


def _fail_halfway(path, error):
    with atomic_path(path) as fresh:
        fresh.write_text("ne")
        raise error


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(VolumeFileError, match="disk"):
        _fail_halfway(path, OSError(28, "no space left on the disk"))
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_an_error_of_ours_passes_unchanged(tmp_path):
    with pytest.raises(VolumeFileError, match=r"^just this$"):
        _fail_halfway(tmp_path / "a", VolumeFileError("just this"))
    assert not list(tmp_path.iterdir())


def test_a_bug_is_not_hidden(tmp_path):
    with pytest.raises(ZeroDivisionError):
        _fail_halfway(tmp_path / "a", ZeroDivisionError())
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.errors import DeepSegmentError, VolumeFileError
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import write_volume
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
noise = np.random.default_rng(0).integers(0, 9999, (1, 32, 32, 32)).astype(np.uint16)
grid = Geometry.from_spacing((32, 32, 32), (1, 1, 1))
resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))
for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.seg.nrrd"):
    path = Path(sys.argv[1]) / name
    try:
        write_segmentation(LabelMap(noise, grid), path) if "seg" in name else write_volume(Volume(noise, grid), path)
    except VolumeFileError as error:
        print(name, str(error).startswith(f"{path} cannot be written"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")
def test_a_full_disk_is_noticed(tmp_path, pytestconfig):
    """A limit for the size of files stands in for the full disk; ITK's NIfTI writer notices neither."""
    folder = tmp_path / "full"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [
        "a.nii",
        "True",
        "a.nii.gz",
        "True",
        "a.nrrd",
        "True",
        "a.mha",
        "True",
        "a.seg.nrrd",
        "True",
    ]
    assert not list(folder.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_folder_that_takes_no_files():
    """Not even from root."""
    with pytest.raises(VolumeFileError, match=r"^/proc/self/a\.nii cannot be written"):
        write_volume(VOLUME, Path("/proc/self/a.nii"))


def test_a_labelmap_is_written_with_its_table_or_not_at_all(tmp_path):
    write_segmentation(LABELS, tmp_path / "a.nrrd")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sheared = np.array([[0, 0.2, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    with pytest.raises(VolumeFileError, match="right angle"):
        write_segmentation(LabelMap(LABELS.layers, Geometry((2, 2, 2), sheared)), tmp_path / "a.nii")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
