"""Volumes from DICOM say of which modality they are, whatever is done with them."""

import pytest
from dicom_series import write_slices

from DeepSegmentLib.data import Box
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.files.volumes.reading import read_channels


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    write_slices(folder, Modality="MR")
    return folder


def test_a_series_tells_and_its_parts_do(folder):
    volume = read_channels(folder, ())
    assert volume.modality == "MR"
    assert volume.oriented("LPI").modality == "MR"
    assert volume.crop(Box((0, 0, 0), (2, 3, 4))).modality == "MR"


def test_channels_of_several_sources_tell_what_they_share(folder, tmp_path):
    write_volume(read_channels(folder, ()), tmp_path / "copy.nrrd")
    assert read_channels(tmp_path / "copy.nrrd", ()).modality == ""
    assert read_channels(folder, (folder,)).modality == "MR"
    assert read_channels(folder, (tmp_path / "copy.nrrd",)).modality == ""
