"""Volumes on disk: what is written is read back, at the place where SimpleITK sees it."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import geometries, shapes, volumes

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.inputs import read_input
from DeepSegmentLib.files.volumes import read_frames, read_volume, volume_stem, write_volume

several_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@several_files
@given(volume=volumes(), suffix=st.sampled_from([".nrrd", ".mha"]))
def test_saving_and_loading_is_the_identity(tmp_path, volume, suffix):
    path = tmp_path / f"volume{suffix}"
    write_volume(volume, path)
    again = read_volume(path)
    assert np.array_equal(again.voxels, volume.voxels)
    assert again.voxels.dtype == volume.voxels.dtype
    assert again.geometry.is_close(volume.geometry, tolerance_mm=1e-6)
    assert again.name == "volume"


@several_files
@given(volume=volumes(most_channels=1), suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_nifti_keeps_voxels_and_place(tmp_path, volume, suffix):
    """NIfTI stores the place in single precision."""
    path = tmp_path / f"{suffix.count('.')}{suffix}"
    write_volume(volume, path)
    again = read_volume(path)
    assert np.array_equal(again.voxels, volume.voxels)
    assert again.geometry.is_close(volume.geometry, tolerance_mm=1e-2)


@several_files
@given(geometry=geometries(shape=shapes(5)), index=st.tuples(*[st.integers(0, 20)] * 3))
def test_places_are_those_of_simpleitk(tmp_path, geometry, index):
    path = tmp_path / "volume.nrrd"
    write_volume(Volume(np.zeros((1, *geometry.shape), np.uint8), geometry), path)
    image = sitk.ReadImage(str(path))
    there = image.TransformContinuousIndexToPhysicalPoint([float(n) for n in reversed(index)])
    ras = np.array(there) * [-1, -1, 1]
    assert np.allclose(read_volume(path).geometry.index_to_ras(index), ras, atol=1e-6 * (1 + np.abs(ras).max()))


def test_a_file_of_several_frames_is_read_frame_by_frame(tmp_path):
    frames = np.arange(3 * 2 * 3 * 4, dtype=np.int16).reshape(3, 2, 3, 4)
    image = sitk.GetImageFromArray(frames, isVector=False)
    image.SetSpacing((1, 2, 3, 1))
    sitk.WriteImage(image, str(tmp_path / "cine.nii.gz"))
    read = list(read_frames(tmp_path / "cine.nii.gz"))
    assert [np.array_equal(volume.voxels[0], frame) for volume, frame in zip(read, frames, strict=True)] == [True] * 3
    assert read[0].geometry.spacing_mm == pytest.approx((3, 2, 1))
    with pytest.raises(VolumeFileError, match="3 frames"):
        read_volume(tmp_path / "cine.nii.gz")


def test_a_fourth_dimension_of_one_is_dropped(tmp_path):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.ones((1, 2, 3, 4), np.int16), isVector=False), str(tmp_path / "one.nii.gz")
    )
    assert read_volume(tmp_path / "one.nii.gz").voxels.shape == (1, 2, 3, 4)


def test_big_endian_files_are_read(tmp_path):
    voxels = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    header = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
    header += "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nendian: big\nencoding: raw\n\n"
    (tmp_path / "big.nrrd").write_bytes(header.encode() + voxels.tobytes())
    assert np.array_equal(read_volume(tmp_path / "big.nrrd").voxels[0], voxels)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.nii.gz", "a"), ("a.b.nrrd", "a.b"), ("A.SEG.NRRD", "A"), ("a.seg.nrrd", "a"), ("x.mha", "x"), ("y", "y")],
)
def test_stems(tmp_path, name, stem):
    assert volume_stem(tmp_path / name) == stem


def test_real_files_of_odd_geometry(shared_data):
    oblique = read_input(shared_data / "geometry" / "flair_oblique19deg.nii.gz")
    assert oblique.geometry.obliquity_degrees == pytest.approx(19, abs=1)
    flipped = read_input(shared_data / "mr" / "brain1_image.nrrd")
    assert np.linalg.det(flipped.geometry.affine[:3, :3]) != 0
    image = sitk.ReadImage(str(shared_data / "mr" / "brain1_image.nrrd"))
    corner = [float(n - 1) for n in image.GetSize()]
    ras = np.array(image.TransformContinuousIndexToPhysicalPoint(corner)) * [-1, -1, 1]
    assert np.allclose(flipped.geometry.index_to_ras(corner[::-1]), ras)


def test_a_written_file_leaves_nothing_beside_it(tmp_path):
    geometry = Geometry.from_spacing((2, 2, 2), (1, 1, 1))
    write_volume(Volume(np.zeros((1, 2, 2, 2), np.float16), geometry), tmp_path / "half.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["half.nii.gz"]
    assert read_volume(tmp_path / "half.nii.gz").voxels.dtype == np.float32
