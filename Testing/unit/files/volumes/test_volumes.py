"""Volumes on disk: what is written is read back, at the place where SimpleITK sees it."""

import struct
from itertools import product

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import geometries, shapes, volumes

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import ResourceError, VolumeFileError
from DeepSegmentLib.files.volumes import read_frames, read_input, read_volume, volume_stem, write_volume

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
@given(volume=volumes(), suffix=st.sampled_from([".nii", ".nii.gz"]))
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


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_file_of_several_frames_is_read_frame_by_frame(tmp_path, suffix):
    frames = np.arange(3 * 2 * 3 * 4, dtype=np.int16).reshape(3, 2, 3, 4)
    image = sitk.GetImageFromArray(frames, isVector=False)
    image.SetSpacing((1, 2, 3, 1))
    path = tmp_path / f"cine{suffix}"
    sitk.WriteImage(image, str(path))
    read = list(read_frames(path))
    assert [np.array_equal(volume.voxels[0], frame) for volume, frame in zip(read, frames, strict=True)] == [True] * 3
    assert read[0].geometry.spacing_mm == pytest.approx((3, 2, 1))
    with pytest.raises(VolumeFileError, match="3 frames"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_fourth_dimension_of_one_is_dropped(tmp_path, suffix):
    image = sitk.GetImageFromArray(np.ones((1, 2, 3, 4), np.int16), isVector=False)
    sitk.WriteImage(image, str(tmp_path / f"one{suffix}"))
    assert read_volume(tmp_path / f"one{suffix}").voxels.shape == (1, 2, 3, 4)


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


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_numbers_keep_their_type(tmp_path, kind, suffix):
    volume = Volume(np.arange(24).reshape(1, 2, 3, 4).astype(kind), Geometry.from_spacing((2, 3, 4), (1, 1, 1)))
    write_volume(volume, tmp_path / f"a{suffix}")
    again = read_volume(tmp_path / f"a{suffix}")
    assert again.voxels.dtype == volume.voxels.dtype
    assert np.array_equal(again.voxels, volume.voxels)


def _nifti(
    path, *, order="<", pixdim=(1, 2, 3, 4), codes=(1, 1), quaternion=(0, 0, 0), sform=None, units=2, slope=(0, 0)
):
    """A NIfTI-1 file of 60 numbers from 0, made by hand (offsets: nifti1.h)."""
    header = bytearray(352)
    shape = (3, 5, 4, 3, 1, 1, 1, 1)
    for offset, kind, values in (
        (0, "i", [348]),
        (40, "8h", shape),
        (70, "2h", [4, 16]),
        (76, "4f", pixdim),
        (108, "3f", [352, *slope]),
        (123, "B", [units]),
        (252, "2h", codes),
        (256, "3f", quaternion),
        (268, "3f", [7, 8, 9]),
        (280, "12f", np.zeros(12) if sform is None else np.ravel(sform)),
        (344, "4s", [b"n+1"]),
    ):
        struct.pack_into(order + kind, header, offset, *values)
    path.write_bytes(bytes(header) + np.arange(60, dtype=order + "i2").tobytes())
    return path


STRAIGHT = np.array([[2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30]])
TURNED = np.array([[0.0, 3, 0, 10], [2, 0, 0, 20], [0, 0, -4, 30]])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1), (0, 4), (1, 1), (1, 2), (2, 1), (1, 4), (4, 4)])
@pytest.mark.parametrize("sform", [STRAIGHT, TURNED])
@pytest.mark.parametrize("turn", list(product([(0, 0, 0), (0, 0, 1), (0.1, 0.5, -0.3)], [1, -1])))
def test_nifti_lies_where_itk_puts_it(tmp_path, order, codes, sform, turn):
    """Codes are those of qform and sform; the turn is the quaternion and the sense of the third axis."""
    quaternion, handedness = turn
    path = _nifti(
        tmp_path / "a.nii", order=order, codes=codes, sform=sform, quaternion=quaternion, pixdim=(handedness, 2, 3, 4)
    )
    volume, image = read_volume(path), sitk.ReadImage(str(path))
    assert np.array_equal(volume.voxels[0], sitk.GetArrayFromImage(image))
    for index in ((0, 0, 0), (4, 3, 2), (4, 0, 1)):
        ras = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        assert np.allclose(volume.geometry.index_to_ras(index[::-1]), ras, atol=1e-4)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 1.5), (0.9, 1.2, 3.6), (0.7, 0.7, 5.0)])
def test_oblique_nifti_has_the_spacing_that_itk_reads(tmp_path, spacing):
    """The lengths of an sform's axes are rounded to float32, those in pixdim are what was meant."""
    image = sitk.Image([4, 5, 6], sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0.21, -0.13, 0.3).GetMatrix())
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    expected = sitk.ReadImage(str(tmp_path / "a.nii.gz")).GetSpacing()[::-1]
    assert np.allclose(read_volume(tmp_path / "a.nii.gz").geometry.spacing_mm, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("quaternion", [(0, 0.70710677, 0.70710677), (0.5, 0.5, 0.70710677), (1, 0, 0)])
def test_half_turns_are_whole(tmp_path, quaternion):
    """What float32 leaves of the root of 1 - b^2 - c^2 - d^2 is no turn, as nifti1_io has it."""
    path = _nifti(tmp_path / "a.nii", codes=(1, 0), quaternion=quaternion, pixdim=(1, 2, 3, 4))
    direction = np.reshape(sitk.ReadImage(str(path)).GetDirection(), (3, 3))
    assert np.allclose(np.reshape(read_volume(path).geometry.to_itk()[2], (3, 3)), direction, atol=1e-6)


@pytest.mark.parametrize(
    ("codes", "moved", "told"),
    [((1, 1), 0.9, ()), ((1, 1), 3.0, "its sform was taken"), ((1, 2), 3.0, "its qform was taken"), ((0, 2), 3.0, ())],
)
def test_two_places_are_told_of(tmp_path, codes, moved, told):
    """Codes are those of qform and sform; nibabel takes the sform whatever its code."""
    sform = np.column_stack([np.diag([2.0, 3, 4]), [7 + moved, 8, 9]])
    notes = read_volume(_nifti(tmp_path / "a.nii", codes=codes, sform=sform)).notes
    assert told in notes[0] if told else notes == ()


@pytest.mark.parametrize("offset", [0, 348, 351.5])
def test_voxels_within_the_header_are_refused(tmp_path, offset):
    """ITK takes the flags of extensions for voxels, nibabel the header or nothing."""
    path = _nifti(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 108, offset)
    path.write_bytes(content)
    with pytest.raises(VolumeFileError, match="vox_offset to 352"):
        read_volume(path)


def test_an_axis_beyond_space_may_be_0_long(tmp_path):
    path = _nifti(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 40, 4)
    struct.pack_into("<h", content, 48, 0)
    path.write_bytes(content)
    assert np.array_equal(read_volume(path).voxels[0], sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def test_a_sheared_sform_is_kept_where_it_is_the_only_one(tmp_path):
    sheared = STRAIGHT.copy()
    sheared[0, 2] = 0.5
    only = read_volume(_nifti(tmp_path / "a.nii", codes=(0, 1), sform=sheared)).geometry
    assert np.allclose(only.affine[:3], sheared[:, [2, 1, 0, 3]])
    both = read_volume(_nifti(tmp_path / "b.nii", codes=(1, 1), sform=sheared)).geometry
    assert np.allclose(both.affine[:3, 3], [7, 8, 9])


@pytest.mark.parametrize(("units", "scale"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (10, 1)])
def test_nifti_units_become_millimetres(tmp_path, units, scale):
    path = _nifti(tmp_path / "a.nii", codes=(0, 1), sform=STRAIGHT, units=units)
    assert read_volume(path).geometry.spacing_mm == pytest.approx((4 * scale, 3 * scale, 2 * scale))


def test_nifti_values_are_scaled(tmp_path):
    scaled = read_volume(_nifti(tmp_path / "a.nii", slope=(0.5, -10))).voxels
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled.ravel(), np.arange(60) * 0.5 - 10)
    assert read_volume(_nifti(tmp_path / "b.nii", slope=(np.nan, 0))).voxels.dtype == np.int16


def test_a_nii_gz_beside_another_nii_is_itself(tmp_path):
    """ITK takes the voxels of a.nii for those of a.nii.gz."""
    grid = Geometry.from_spacing((2, 2, 2), (1, 1, 1))
    for value, suffix in ((1, ".nii"), (2, ".nii.gz")):
        write_volume(Volume(np.full((1, 2, 2, 2), value, np.uint8), grid), tmp_path / f"a{suffix}")
    assert read_volume(tmp_path / "a.nii").voxels.max() == 1
    assert read_volume(tmp_path / "a.nii.gz").voxels.max() == 2


def test_a_sheared_grid_is_kept_by_nrrd_and_refused_by_nifti(tmp_path):
    affine = np.array([[0, 0.2, 1, 5], [0, 2, 0, 6], [3, 0, 0, 7], [0, 0, 0, 1.0]])
    volume = Volume(np.zeros((1, 2, 3, 4), np.int16), Geometry((2, 3, 4), affine))
    for suffix in (".nrrd", ".mha"):
        write_volume(volume, tmp_path / f"a{suffix}")
        assert read_volume(tmp_path / f"a{suffix}").geometry.is_close(volume.geometry)
    with pytest.raises(VolumeFileError, match=r"a\.nii cannot.*5\.71 degrees.*\.nrrd"):
        write_volume(volume, tmp_path / "a.nii")


def test_a_volume_larger_than_memory_is_refused_by_its_header(tmp_path):
    content = "NRRD0004\ntype: double\ndimension: 3\nsizes: 4000 4000 4000\nendian: little\nencoding: raw\n"
    (tmp_path / "a.nhdr").write_text(content + "data file: ./a.raw\n\n")
    (tmp_path / "a.raw").touch()
    with pytest.raises(ResourceError, match=r"a\.nhdr .*512\.0 GB"):
        read_volume(tmp_path / "a.nhdr")


def test_agreement_on_real_files(shared_data):
    for name in ("geometry/CT_pitch.nii.gz", "geometry/flair_oblique19deg.nii.gz", "mr/sub-mri_label-6_T2w.nii.gz"):
        volume, image = read_volume(shared_data / name), sitk.ReadImage(str(shared_data / name))
        assert np.allclose(volume.voxels[0], sitk.GetArrayViewFromImage(image))
        corner = [n - 1 for n in image.GetSize()]
        ras = np.array(image.TransformIndexToPhysicalPoint(corner)) * [-1, -1, 1]
        assert np.allclose(volume.geometry.index_to_ras(corner[::-1]), ras, atol=1e-2)


@several_files
@given(
    volume=volumes(most_channels=1),
    kind=st.sampled_from([nibabel.Nifti1Image, nibabel.Nifti2Image]),
    order=st.sampled_from("<>"),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
    extension=st.binary(max_size=3000),
)
def test_what_nibabel_writes_is_read(tmp_path, volume, kind, order, suffix, extension):
    """NIfTI-1 and NIfTI-2 in both byte orders, with an extension before the voxels."""
    voxels = volume.voxels[0].T
    image = kind(voxels, volume.geometry.affine[:, [2, 1, 0, 3]], kind.header_class(endianness=order))
    image.set_data_dtype(voxels.dtype)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", extension))
    nibabel.save(image, tmp_path / f"a{suffix}")
    again = read_volume(tmp_path / f"a{suffix}")
    assert np.array_equal(again.voxels, volume.voxels)
    assert again.voxels.dtype == volume.voxels.dtype
    assert again.geometry.is_close(volume.geometry, tolerance_mm=1e-2)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("stored", ["u1", "i2", "i4", "i8", "f4", "f8"])
def test_scaled_values_are_those_of_nibabel(tmp_path, kind, stored):
    image = kind(np.arange(24, dtype=stored).reshape(2, 3, 4), np.eye(4), dtype=stored)
    image.header.set_slope_inter(0.25, -3)
    image.header["scl_slope"], image.header["scl_inter"] = 0.25, -3
    raw = tmp_path / "a.nii"
    nibabel.save(image, raw)
    content = bytearray(raw.read_bytes())
    place, word = (112, "<2f") if kind is nibabel.Nifti1Image else (176, "<2d")
    struct.pack_into(word, content, place, 0.25, -3)
    raw.write_bytes(content)
    assert np.allclose(read_volume(raw).voxels[0].T, nibabel.load(raw).get_fdata())


def test_a_nifti_2_file_of_channels_and_frames(tmp_path):
    numbers = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    nibabel.save(nibabel.Nifti2Image(numbers, np.eye(4)), tmp_path / "a.nii")
    frames = list(read_frames(tmp_path / "a.nii"))
    assert np.array_equal(np.stack([frame.voxels[0].T for frame in frames], axis=-1), numbers)
    nibabel.save(nibabel.Nifti2Image(numbers[:, :, :, None], np.eye(4)), tmp_path / "b.nii")
    assert np.array_equal(np.moveaxis(read_volume(tmp_path / "b.nii").voxels.T, -1, 3)[:, :, :], numbers)


def test_a_pair_of_nifti_2_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti2Pair(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / "a.img")
    (tmp_path / "a.hdr").rename(tmp_path / "a.nii")
    with pytest.raises(VolumeFileError, match="half of a NIfTI pair"):
        read_volume(tmp_path / "a.nii")
