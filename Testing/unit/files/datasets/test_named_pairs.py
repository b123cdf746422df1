"""Volumes find their labels by name, whatever each kind of file ends with."""

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.datasets.named_pairs import find_pairs
from DeepSegmentLib.files.volumes import write_volume

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))


def _write(path):
    write_volume(Volume(np.zeros((1, *GRID.shape), np.int16), GRID), path)


@pytest.mark.parametrize(
    ("image", "label", "suffixes"),
    [
        ("a.nii.gz", "a.nrrd", {}),
        ("a_0000.nii.gz", "a.nii.gz", {}),
        ("a_ct.nii.gz", "a_seg.nii.gz", {"image_suffix": "_ct", "label_suffix": "_seg"}),
        ("a.nii.gz", "a_seg.nii.gz", {"label_suffix": "_seg"}),
    ],
)
def test_pairs_are_found_by_name_and_strangers_are_left_out(tmp_path, image, label, suffixes):
    for path in (tmp_path / "i" / image, tmp_path / "l" / label, tmp_path / "i" / "alone.nii.gz"):
        _write(path)
    (tmp_path / "i" / "notes.txt").write_text("a")
    (pair,) = find_pairs(tmp_path / "i", tmp_path / "l", **suffixes)
    assert (pair.name, pair.volume.name, pair.labels.name) == ("a", image, label)


def test_no_pair_and_no_folder_are_refused(tmp_path):
    _write(tmp_path / "i" / "a.nii.gz")
    with pytest.raises(InvalidInputError, match="--image-suffix"):
        find_pairs(tmp_path / "i", tmp_path / "i")  # a file is not its own labels
    with pytest.raises(InvalidInputError, match="is no folder"):
        find_pairs(tmp_path / "i", tmp_path / "l")
