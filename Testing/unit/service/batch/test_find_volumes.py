"""Volumes in several places, each once, and all channels of one."""

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.service.batch.find_volumes import channel_files, find_volumes, read_found


def _write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(np.full((1, 3, 4, 5), value, np.float32), Geometry.from_spacing((3, 4, 5), (1, 1, 1))), path)


def test_files_and_folders_give_each_volume_once(tmp_path):
    for name in ("a.nii.gz", "more/b.nii.gz"):
        _write(tmp_path / name, 1)
    found = find_volumes([tmp_path / "a.nii.gz", tmp_path, tmp_path / "more"])
    assert sorted(each.path.relative_to(tmp_path).as_posix() for each in found) == ["a.nii.gz", "more/b.nii.gz"]
    with pytest.raises(VolumeFileError, match="does not exist"):
        find_volumes([tmp_path / "nothing"])


def test_a_volume_is_read_with_its_further_channels(tmp_path):
    for n in range(2):
        _write(tmp_path / f"a_{n:04d}.nii.gz", n)
    (found,) = find_volumes([tmp_path])
    assert [path.name for path in channel_files(found, ["T1", "T2"])] == ["a_0001.nii.gz"]
    assert read_found(found, ["T1", "T2"]).voxels[:, 0, 0, 0].tolist() == [0, 1]
    with pytest.raises(InvalidInputError, match=r"beside .* is no a_0002\.nii\.gz"):
        read_found(find_volumes([tmp_path / "a_0000.nii.gz"])[0], ["T1", "T2", "FLAIR"])
