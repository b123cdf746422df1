"""Everything that must be refused: with the name of the file, what is wrong, and nothing left behind."""

import numpy as np
import pytest
from bad_inputs import LABELMAPS, VOLUMES

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.data.labels import Code, Terminology
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path, write_text
from DeepSegmentLib.files.labelmaps import read_labelmap, write_segmentation
from DeepSegmentLib.files.volumes import read_volume, write_volume

GRID = Geometry.from_spacing((2, 2, 2), (1, 1, 1))
VOLUME = Volume(np.zeros((1, 2, 2, 2), np.uint8), GRID)
LABELS = LabelMap(np.ones((1, 2, 2, 2), np.uint8), GRID, (Segment("a", 1),))


def _check_refused(read, path, message):
    before = sorted(path.parent.iterdir())
    with pytest.raises(VolumeFileError, match=message) as caught:
        read(path)
    assert path.name.split(".")[0] in str(caught.value)
    assert "sitk::ERROR" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize("name", VOLUMES)
def test_a_bad_volume_is_refused(tmp_path, name):
    make, message = VOLUMES[name]
    _check_refused(read_volume, make(tmp_path), message)


@pytest.mark.parametrize("name", LABELMAPS)
def test_a_bad_labelmap_is_refused(tmp_path, name):
    make, message = LABELMAPS[name]
    _check_refused(read_labelmap, make(tmp_path), message)


def test_the_tables_hold_enough():
    assert len(VOLUMES) + len(LABELMAPS) >= 40


def _terminology(text):
    code = Code("SCT", "1", text)
    return LabelMap(LABELS.layers, GRID, (Segment("a", 1, (1, 2, 3), Terminology(code, code)),))


@pytest.mark.parametrize(
    ("write", "name", "message"),
    [
        (lambda path: write_volume(VOLUME, path), "a.png", "unknown suffix"),
        (lambda path: write_volume(VOLUME, path), "nowhere/a.nrrd", "does not exist"),
        (lambda path: write_volume(VOLUME, path), "folder.nrrd", "is a folder"),
        (lambda path: write_segmentation(LABELS, path), "a.txt", "unknown suffix"),
        (lambda path: write_segmentation(LABELS, path), "nowhere/a.seg.nrrd", "does not exist"),
        (lambda path: write_segmentation(LABELS, path), "folder.seg.nrrd", "is a folder"),
        (lambda path: write_segmentation(_terminology("a~b"), path), "a.seg.nrrd", "separators"),
        (lambda path: write_text(path, "x"), "nowhere/a.json", "does not exist"),
    ],
)
def test_a_bad_place_to_write_is_refused(tmp_path, write, name, message):
    (tmp_path / "folder.nrrd").mkdir()
    (tmp_path / "folder.seg.nrrd").mkdir()
    with pytest.raises(VolumeFileError, match=message):
        write(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.nrrd", "folder.seg.nrrd"]


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(VolumeFileError, match="disk"), atomic_path(path) as partial:
        partial.write_text("ne")
        raise OSError(28, "no space left on the disk")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_an_error_of_ours_passes_unchanged(tmp_path):
    with pytest.raises(VolumeFileError, match=r"^just this$"), atomic_path(tmp_path / "a") as partial:
        partial.write_text("x")
        raise VolumeFileError("just this")
    assert not list(tmp_path.iterdir())


def test_a_bug_is_not_hidden(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
