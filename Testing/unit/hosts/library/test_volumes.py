"""Laws of the forms that a volume may come in: each says the same of the same voxels, in memory as in files."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import geometries, shapes, spacings, volumes

from DeepSegmentLib import Geometry, InvalidInputError, VolumeFileError, read_volume, to_nibabel, to_sitk, write_volume
from DeepSegmentLib.data import Volume

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
MILLIMETRES = spacings(0.3, 5)
GRID = Geometry.from_spacing((4, 3, 2), (3, 2, 1))


def same(a, b):
    assert np.array_equal(a.voxels, b.voxels)
    assert a.voxels.dtype == b.voxels.dtype
    assert a.geometry.is_close(b.geometry)


def typed(volume, code):
    return Volume(volume.voxels.astype(code), volume.geometry)


@given(volumes(), st.sampled_from(DTYPES))
def test_images_and_pairs_come_back_as_they_went(volume, code):
    known = typed(volume, code)
    for form in (to_sitk(known), to_nibabel(known), (known.voxels, known.geometry.affine), known):
        same(read_volume(form), known)


@given(volumes(most_channels=1), st.randoms())
def test_a_voxel_is_where_simpleitk_and_nibabel_say_that_it_is(volume, chance):
    k, j, i = (chance.randrange(extent) for extent in volume.geometry.shape)
    place = volume.geometry.index_to_ras((k, j, i))
    number = volume.voxels[0, k, j, i]
    by_itk, by_nibabel = to_sitk(volume), to_nibabel(volume)
    assert np.allclose(by_itk.TransformIndexToPhysicalPoint((i, j, k)) * np.array([-1, -1, 1]), place, atol=1e-6)
    assert by_itk[i, j, k] == number
    assert np.allclose(by_nibabel.affine @ (i, j, k, 1), (*place, 1), atol=1e-6)
    assert by_nibabel.get_fdata()[i, j, k] == number


@given(volumes(most_channels=1))
def test_a_pair_is_right_in_whatever_order_its_axes_are(volume):
    image = to_nibabel(volume)
    pair = read_volume((np.asanyarray(image.dataobj), image.affine))
    assert pair.geometry.shape == volume.geometry.shape[::-1]
    same(pair.oriented("RAS"), volume.oriented("RAS"))


# ITK drops axes of one voxel from NIfTI files with channels.
@given(volumes(geometries(shapes(6, 2), MILLIMETRES)), st.sampled_from([".nii.gz", ".nrrd", ".mha"]))
def test_simpleitk_reads_the_file_that_a_path_names(tmp_path_factory, volume, suffix):
    path = tmp_path_factory.mktemp("forms") / f"a{suffix}"
    write_volume(volume, path)
    same(read_volume(sitk.ReadImage(str(path))), read_volume(path))


@given(volumes(geometries(spacing=MILLIMETRES), most_channels=2), st.data())
def test_nibabel_reads_the_file_that_a_path_names_scaled_as_it_may_be(tmp_path_factory, volume, data):
    image = to_nibabel(typed(volume, data.draw(st.sampled_from(DTYPES))))
    path = tmp_path_factory.mktemp("forms") / "a.nii.gz"
    if data.draw(st.booleans()):
        image.header.set_slope_inter(
            data.draw(st.sampled_from([0.5, 2.0, 1.0])), data.draw(st.sampled_from([-3.5, 0.0]))
        )
    unit = data.draw(st.sampled_from(["mm", "unknown"]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    same(read_volume(nibabel.load(path)), read_volume(path))


def test_nibabels_units_count(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume(image).geometry.spacing_mm == pytest.approx((3, 2, 1))
    same(read_volume(nibabel.load(tmp_path / "a.nii")), read_volume(tmp_path / "a.nii"))


def test_numbers_of_other_kinds_become_those_that_files_may_hold():
    ones = np.ones(GRID.shape)
    for given_type, kept in [("?", "u1"), (">i2", "i2"), ("f2", "f2"), ("g", "f8"), (">f8", "f8")]:
        assert read_volume((ones.astype(given_type), GRID.affine)).voxels.dtype == np.dtype(kept)
    assert to_nibabel((ones.astype("f2"), GRID.affine)).get_data_dtype() == np.float32
    assert to_sitk((ones.astype("f2"), GRID.affine)).GetPixelIDValue() == sitk.sitkFloat32


def test_tensors_and_lists_in_pairs_are_arrays():
    tensor = torch.arange(24).reshape(4, 3, 2)
    read = read_volume((tensor, torch.eye(4)))
    assert np.array_equal(read.voxels[0], tensor.numpy())
    assert read_volume(([[[1, 2]]], np.eye(4).tolist())).voxels.tolist() == [[[[1, 2]]]]


def test_a_list_has_a_volume_for_each_channel(tmp_path):
    first, second = np.zeros(GRID.shape, np.int16), np.ones(GRID.shape, np.float32)
    write_volume((first, GRID.affine), tmp_path / "t1.nii.gz")
    joined = read_volume([tmp_path / "t1.nii.gz", to_sitk((second, GRID.affine))])
    assert joined.voxels[:, 0, 0, 0].tolist() == [0, 1]
    assert joined.name == "t1"
    with pytest.raises(InvalidInputError, match=r"channel 2 \(4 x 3 x 2 voxels .* is not on the grid of the first"):
        read_volume([(first, GRID.affine), (second, np.eye(4))])
    with pytest.raises(InvalidInputError, match="a list of volumes is empty"):
        read_volume([])


def test_a_volume_in_memory_is_not_what_it_was_given_in():
    image = to_sitk((np.zeros(GRID.shape, np.int16), GRID.affine))
    read = read_volume(image)
    image[0, 0, 0] = 7
    assert not read.voxels.any()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (np.zeros((4, 3, 2)), r"does not say where its voxels are; give the pair \(array, affine\)"),
        (torch.zeros(4, 3, 2), r"does not say where its voxels are; give the pair \(array, affine\)"),
        (None, "a volume is a path, a SimpleITK or nibabel image, .* got NoneType"),
        (3, "got int"),
        ("", "the path is empty"),
        (sitk.Image([4, 4], sitk.sitkInt16), r"the SimpleITK image is 2D, a volume is 3D; give .*JoinSeries"),
        (sitk.Cast(sitk.Image([4, 4, 4], sitk.sitkUInt8), sitk.sitkLabelUInt8), r"itk::LabelMap; give SimpleITK.Cast"),
        (nibabel.Nifti1Image(np.zeros((4, 3, 2), np.int16), None), "has no affine"),
        ((np.ma.masked_less(np.zeros((4, 3, 2)), 1), np.eye(4)), r"the array is masked; give array.filled"),
        (sitk.Image([4, 4, 4, 4], sitk.sitkInt16), r"the SimpleITK image is 4D, .* image\[:, :, :, 0\]"),
        (sitk.Image([4, 4, 4], sitk.sitkComplexFloat32), "holds complex64, a volume integers or real numbers"),
        (
            nibabel.Nifti1Image(np.zeros((4, 4), np.int16), np.eye(4)),
            r"has the shape \(4, 4\), a volume has three axes",
        ),
        (
            nibabel.Nifti1Image(np.zeros((4, 4, 4, 5), np.int16), np.eye(4)),
            r"\(4, 4, 4, 5\).* \(image.slicer\[..., 0\]\)",
        ),
        ((np.zeros((3, 2)), np.eye(4)), r"the array has the shape \(3, 2\)"),
        ((np.zeros((0, 3, 2)), np.eye(4)), "the array has no voxels"),
        ((np.zeros((4, 3, 2)), np.eye(3)), "affine must be a finite 4x4 matrix"),
        ((np.zeros((4, 3, 2)), GRID), "no array with its affine, a 4x4 matrix"),
        ((np.zeros((4, 3, 2)), None), "affine must be a finite 4x4 matrix"),
        ((np.zeros((4, 3, 2)), np.zeros((4, 4))), "the last row of the affine"),
        ((np.full((4, 3, 2), "x"), np.eye(4)), "the array holds <U1"),
        ((np.full((4, 3, 2), np.nan), np.eye(4)), "the array has 24 voxels that are NaN or infinite"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_remedy(form, message):
    with pytest.raises(InvalidInputError, match=message):
        read_volume(form)


def test_two_positions_of_a_nibabel_image_are_told():
    image = nibabel.Nifti1Image(np.zeros((4, 3, 2), np.int16), np.diag([2, 2, 2, 1]))
    assert not read_volume(image).notes
    image.header.set_qform(np.diag([-2, 2, 2, 1]), 1)
    image.header.set_sform(np.diag([2, 2, 2, 1]), 1)
    turned = nibabel.Nifti1Image.from_bytes(image.to_bytes())
    assert np.allclose(read_volume(turned).geometry.affine[:, [2, 1, 0, 3]], turned.affine)
    (note,) = read_volume(turned).notes
    assert "holds two positions" in note


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_volume((np.zeros(GRID.shape, np.int16), GRID.affine), "~/new/a.nii.gz")
    assert (tmp_path / "new" / "a.nii.gz").is_file()
    assert read_volume("~/new/a.nii.gz").name == "a"
    with pytest.raises(InvalidInputError, match=r"~nobody-here/a.nii: .*write the folder out"):
        read_volume("~nobody-here/a.nii")


def test_one_frame_of_four_axes_is_a_volume():
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1), np.eye(4))
    assert read_volume(image).voxels.shape == (1, 4, 3, 2)
    frames = nibabel.Nifti1Image(np.arange(48, dtype=np.int16).reshape(2, 3, 4, 2), np.eye(4))
    assert read_volume([frames.slicer[..., n] for n in range(2)]).voxels[:, 0, 0, 0].tolist() == [0, 1]


def test_series_are_for_folders():
    with pytest.raises(InvalidInputError, match="series= chooses among the DICOM series of a folder"):
        read_volume((np.zeros(GRID.shape), GRID.affine), series="3")


def test_files_are_not_replaced_unasked_and_the_message_names_the_argument(tmp_path):
    pair = (np.zeros(GRID.shape, np.int16), GRID.affine)
    write_volume(pair, str(tmp_path / "new" / "a.nii.gz"))
    with pytest.raises(InvalidInputError, match=r"a.nii.gz exists; ask to replace it \(replace=True\), or choose"):
        write_volume(pair, tmp_path / "new" / "a.nii.gz")
    write_volume(pair, tmp_path / "new" / "a.nii.gz", replace=True)
    with pytest.raises(VolumeFileError, match="unknown suffix"):
        write_volume(pair, tmp_path / "a.jpg")
    with pytest.raises(VolumeFileError, match="does not exist"):
        read_volume(Path("nowhere.nii"))
