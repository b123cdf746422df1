"""DICOM series: places from positions, every irregular series refused with them."""

import re
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.dicom import list_series, read_series, series_files, slice_grid
from DeepSegmentLib.files.volumes import read_input


def _write_slice(
    path,
    *,
    syntax=ExplicitVRLittleEndian,
    sop_class=CTImageStorage,
    z=0.0,
    uid="1.2.3",
    shift=0.0,
    size=8,
    axes=(1, 0, 0, 0, 1, 0),
    value=7,
    **more,
):
    """A small CT slice made with pydicom."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = uid, "1.2"
    dataset.Modality, dataset.SeriesDescription = "CT", f"series {uid}"
    dataset.ImagePositionPatient = [10, 20 + shift, z]
    dataset.ImageOrientationPatient = list(axes)
    dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.75], 99
    dataset.Rows = dataset.Columns = size
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1000
    dataset.PixelData = np.full((size, size), value, np.int16).tobytes()
    for key, changed in more.items():
        if changed is None:
            delattr(dataset, key)
        else:
            setattr(dataset, key, changed)
    dataset.save_as(path, enforce_file_format=True)


def _series(folder, places, **more):
    for n, z in enumerate(places):
        _write_slice(folder / f"{n:03d}.dcm", z=z, value=n, **more)


def test_slices_are_sorted_by_position_and_rescaled(tmp_path):
    _series(tmp_path, [6.0, 0.0, 3.0])
    volume = read_series(tmp_path)
    assert volume.geometry.spacing_mm == pytest.approx((3, 0.5, 0.75))
    assert volume.voxels[0, :, 0, 0].tolist() == [2 * 1 - 1000, 2 * 2 - 1000, 2 * 0 - 1000]
    assert volume.geometry.index_to_ras((0, 0, 0)).tolist() == [-10, -20, 0]
    assert volume.geometry.index_to_ras((2, 0, 0)).tolist() == [-10, -20, 6]
    assert volume.name == "series 1.2.3"


def test_slices_against_the_normal_are_in_order_too(tmp_path):
    _series(tmp_path, [0.0, 2.0, 4.0], axes=(1, 0, 0, 0, -1, 0))
    volume = read_series(tmp_path)
    for n, z in enumerate([0.0, 2.0, 4.0]):
        k = np.flatnonzero(volume.voxels[0, :, 0, 0] == 2 * n - 1000)[0]
        assert volume.geometry.index_to_ras((k, 0, 0))[2] == pytest.approx(z)


def test_several_series_are_listed_and_chosen_by_uid(tmp_path):
    for uid in ("1.2.3", "1.2.4"):
        for n in range(3):
            _write_slice(tmp_path / f"{uid}-{n}.dcm", z=n, uid=uid)
    assert [series.slices for series in list_series(tmp_path)] == [3, 3]
    with pytest.raises(VolumeFileError, match=r"2 series(.|\n)*1\.2\.3(.|\n)*1\.2\.4"):
        read_input(tmp_path)
    assert read_input(tmp_path, "1.2.4").name == "series 1.2.4"
    with pytest.raises(VolumeFileError, match=r"no series 9\.9"):
        read_input(tmp_path, "9.9")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: None, "no DICOM image series"),
        (lambda d: (d / "readme.txt").write_text("hello"), "no DICOM image series"),
        (lambda d: _series(d, [0, 3, 9, 12]), r"3\.00 to 9\.00 mm"),
        (lambda d: _series(d, [0, 3, 6, 7]), r"6\.00 to 7\.00 mm"),
        (lambda d: _series(d, [0, 3, 3, 6]), r"two slices lie at 3\.00 mm"),
        (lambda d: _series(d, [0]), "single slice"),
        (lambda d: [_write_slice(d / f"{n}.dcm", z=3 * n, shift=n % 2) for n in range(4)], r"beside the line"),
        (lambda d: [_write_slice(d / f"{n}.dcm", z=3 * n, shift=9 * n) for n in range(4)], "that is no gantry tilt"),
        (lambda d: [_write_slice(d / f"{n}.dcm", z=n, size=8 + n // 3) for n in range(4)], "several sizes"),
        (
            lambda d: [_write_slice(d / f"{n}.dcm", z=n, axes=(1, 0, 0, 0, 0, 1) if n else (1, 0, 0, 0, 1, 0))
                       for n in range(3)],
            "turned",
        ),
        (lambda d: [_write_slice(d / f"{n}.dcm", z=n, PixelSpacing=[1 + n, 1]) for n in range(3)], "pixel spacing"),
        (
            lambda d: [_write_slice(d / f"{n}.dcm", z=n, ImagePositionPatient=None) for n in range(3)],
            "where it lies",
        ),
    ],
)  # fmt: skip
def test_an_irregular_series_is_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(VolumeFileError, match=message):
        read_series(tmp_path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("rest", [2, 60, 140, -200])
def test_a_slice_cut_off_is_refused(tmp_path, syntax, rest):
    """Down to the last pixel, or to the first bytes of its header."""
    _series(tmp_path, [0, 1, 2], syntax=syntax)
    content = (tmp_path / "002.dcm").read_bytes()
    (tmp_path / "002.dcm").write_bytes(content[:-rest])
    with pytest.raises(VolumeFileError, match=r"002\.dcm is cut off"):
        read_series(tmp_path)


def test_a_compressed_slice_cut_off_is_refused(tmp_path, shared_data):
    for path in (shared_data / "ct_dicom").iterdir():
        shutil.copy(path, tmp_path)
    some = sorted(tmp_path.iterdir())[4]
    some.write_bytes(some.read_bytes()[:-2000])
    with pytest.raises(VolumeFileError, match="is cut off"):
        read_series(tmp_path)


def test_the_same_as_gdcm(shared_data):
    """Its series reader, on a compressed series and on a plain one."""
    for folder, count in ((shared_data / "ct_dicom", 20), (shared_data / "dicom_seg" / "ct-3slice", 3)):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        reference = reader.Execute()
        volume = read_series(folder)
        assert len(volume.voxels[0]) == count
        assert np.array_equal(volume.voxels[0], sitk.GetArrayFromImage(reference))
        spacing, origin, direction = volume.geometry.to_itk()
        assert spacing == pytest.approx(reference.GetSpacing())
        assert origin == pytest.approx(reference.GetOrigin())
        assert direction == pytest.approx(reference.GetDirection())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(VolumeFileError, match="does not exist"):
        list_series(tmp_path / "nothing")


def test_a_real_compressed_series(shared_data):
    """JPEG 2000; the thickness tag says 3 mm, the positions say 2."""
    volume = read_input(shared_data / "ct_dicom")
    assert volume.voxels.shape == (1, 20, 512, 512)
    assert volume.geometry.spacing_mm == pytest.approx((2, 0.977, 0.977), abs=1e-3)
    reference = sitk.ReadImage(str(shared_data / "ct" / "example_seg_dicom.nii.gz"))
    assert reference.GetSize() == (512, 512, 20)
    ras = np.array(reference.TransformIndexToPhysicalPoint((0, 0, 0))) * [-1, -1, 1]
    corner = volume.geometry.ras_to_index(ras)
    assert np.allclose(corner, np.round(corner), atol=0.05)
    assert -1100 < volume.voxels.min() < -900


def test_a_copy_of_one_slice_is_noticed(tmp_path, shared_data):
    for path in (shared_data / "ct_dicom").iterdir():
        shutil.copy(path, tmp_path)
    some = sorted(tmp_path.iterdir())
    shutil.copy(some[3], tmp_path / "again.dcm")
    with pytest.raises(VolumeFileError, match="two slices lie at"):
        read_series(tmp_path)
    (tmp_path / "again.dcm").unlink()
    some[5].unlink()
    with pytest.raises(VolumeFileError, match="missing or unevenly spaced"):
        read_series(tmp_path)


def test_each_slice_has_its_own_slope(tmp_path):
    """As in PET."""
    for n, slope in enumerate([1, 0.5, 2.25]):
        _write_slice(tmp_path / f"{n}.dcm", z=n, value=101, RescaleSlope=slope, RescaleIntercept=0)
    volume = read_series(tmp_path)
    assert volume.voxels[0, :, 0, 0].tolist() == [101, 50.5, 227.25]
    assert volume.voxels.dtype == np.float32


@pytest.mark.parametrize("overviews", [1, 2])
def test_series_that_make_no_volume_need_no_choice(tmp_path, overviews):
    _series(tmp_path, [0.0, 3.0, 6.0])
    for n in range(overviews):
        _write_slice(
            tmp_path / f"scout{n}", z=n, uid="5.5", axes=(1, 0, 0, 0, 0, -1), ImageType=["A", "B", "LOCALIZER"]
        )
    volume = read_series(tmp_path)
    assert volume.geometry.shape == (3, 8, 8)
    assert "series 5.5" in volume.notes[0]
    assert {path.name for path in series_files(tmp_path)} == {"000.dcm", "001.dcm", "002.dcm"}


@pytest.mark.parametrize("lost", ["RescaleSlope", "RescaleIntercept"])
def test_a_slice_without_the_units_of_the_others_is_refused(tmp_path, lost):
    _series(tmp_path, [0.0, 3.0, 6.0])
    _write_slice(tmp_path / "last.dcm", z=9.0, **{lost: None})
    with pytest.raises(VolumeFileError, match=r"last\.dcm lacks the rescale"):
        read_series(tmp_path)


def test_positions_rounded_to_a_tenth_are_even(tmp_path):
    _series(tmp_path, [round(n * 0.625, 1) for n in range(40)])
    assert read_series(tmp_path).geometry.spacing_mm[0] == pytest.approx(0.625, abs=0.002)


def test_a_localizer_among_the_slices_is_left_out(tmp_path):
    _series(tmp_path, [0, 1, 2])
    kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    _write_slice(tmp_path / "scout.dcm", z=-50, size=16, axes=(0, 1, 0, 0, 0, -1), ImageType=kind)
    assert read_series(tmp_path).geometry.shape == (3, 8, 8)


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.7"])
def test_other_dicom_files_are_passed_over(tmp_path, sop_class):
    """Structure sets, reports, screenshots lie beside the slices."""
    _series(tmp_path, [0, 1, 2])
    _write_slice(tmp_path / "other.dcm", uid="9.9", sop_class=sop_class, ImagePositionPatient=None)
    assert [series.uid for series in list_series(tmp_path)] == ["1.2.3"]


def test_a_segmentation_beside_its_series_is_passed_over(tmp_path, shared_data):
    shutil.copytree(shared_data / "dicom_seg" / "ct-3slice", tmp_path, dirs_exist_ok=True)
    shutil.copy(shared_data / "dicom_seg" / "liver.dcm", tmp_path)
    (series,) = list_series(tmp_path)
    assert (series.modality, series.slices, series.size) == ("CT", 3, (512, 512))


def test_a_slice_at_the_end_that_is_no_dicom_any_more_is_told(tmp_path):
    _series(tmp_path, [0.0, 3.0, 6.0, 9.0])
    (tmp_path / "003.dcm").write_bytes(b"")
    (tmp_path / "._002.dcm").write_bytes(b"what macOS writes beside it")
    (tmp_path / "read.me").write_bytes(b"hello")
    volume = read_series(tmp_path)
    assert len(volume.voxels[0]) == 3
    (note,) = volume.notes
    assert "(1: 003.dcm)" in note


def test_descriptions_are_read_in_their_character_set(tmp_path):
    _series(tmp_path, [0, 1], SpecificCharacterSet="ISO_IR 100", SeriesDescription="Sch\xe4del")
    assert list_series(tmp_path)[0].description == "Sch\xe4del"


@pytest.mark.parametrize("spacing", [None, [0, 0]])
def test_a_missing_pixel_spacing_is_not_taken_for_1_mm(tmp_path, spacing):
    _series(tmp_path, [0, 1, 2], PixelSpacing=spacing)
    with pytest.raises(VolumeFileError, match="pixel spacing"):
        read_series(tmp_path)


def test_a_sequence_in_one_series_is_refused(tmp_path):
    for n in range(12):
        _write_slice(tmp_path / f"{n}.dcm", z=n // 3)
    with pytest.raises(VolumeFileError, match="12 slices at 4 places"):
        read_series(tmp_path)


def test_axes_without_length_are_refused(tmp_path):
    _series(tmp_path, [0, 1, 2], axes=(0,) * 6)
    with pytest.raises(VolumeFileError, match="right angles"):
        read_series(tmp_path)


def test_without_uid_series_are_told_apart_by_number_and_description(tmp_path):
    for number, text in ((2, "Lung"), (3, "Bone")):
        for z in range(3):
            more = {"SeriesInstanceUID": None, "SeriesNumber": number, "SeriesDescription": text}
            _write_slice(tmp_path / f"{number}-{z}.dcm", z=z, value=number, **more)
    assert [(each.number, each.description, each.slices) for each in list_series(tmp_path)] == [
        ("2", "Lung", 3), ("3", "Bone", 3),
    ]  # fmt: skip
    with pytest.raises(VolumeFileError, match=r"number 2  no UID  CT  3 slices  8x8  Lung\n  number 3"):
        read_series(tmp_path)
    for wanted in ("3", "bone", "Bone"):
        assert read_series(tmp_path, wanted).voxels[0, 0, 0, 0] == 2 * 3 - 1000


def test_a_series_is_chosen_by_the_beginning_of_its_uid(tmp_path):
    for uid in ("1.2.3.4", "1.2.5.6"):
        for n in range(2):
            _write_slice(tmp_path / f"{uid}-{n}.dcm", z=n, uid=uid)
    assert read_series(tmp_path, "1.2.5").name == "series 1.2.5.6"
    with pytest.raises(VolumeFileError, match=r"2 series that '1\.2\.' may mean"):
        read_series(tmp_path, "1.2.")


@pytest.mark.parametrize(
    ("key", "values", "told"),
    [
        ("AcquisitionNumber", (1, 2), "acquisition 2"),
        ("EchoTime", (4.6, 120), "echo time 120"),
        ("TemporalPositionIdentifier", (1, 2), "time point 2"),
        ("ImageOrientationPatient", ([1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0]), "orientation"),
        ("ImageType", (["A", "B", "M"], ["A", "B", "P"]), "image type A\\B\\P"),
    ],
)
def test_volumes_of_one_series_are_told_apart(tmp_path, key, values, told):
    for n, value in enumerate(values):
        for z in range(3):
            _write_slice(tmp_path / f"{n}-{z}.dcm", z=z, value=n, SeriesNumber=5, **{key: value})
    _, second = list_series(tmp_path)
    assert told in second.difference
    assert read_series(tmp_path, "5#2").voxels.shape == (1, 3, 8, 8)
    with pytest.raises(VolumeFileError, match="holds 2 series"):
        read_series(tmp_path, "5")
    with pytest.raises(VolumeFileError, match="no series 5#3"):
        read_series(tmp_path, "5#3")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("meta", [False, True])
def test_files_without_preamble(tmp_path, syntax, meta):
    """With the file meta information or without it; then the bytes tell how they are written."""
    pixels = np.arange(64, dtype=">i2" if syntax == ExplicitVRBigEndian else "<i2").tobytes()
    for n in range(3):
        path = tmp_path / f"{n}.dcm"
        _write_slice(path, z=n, syntax=syntax, PixelData=pixels)
        content = path.read_bytes()
        length = dcmread(path).file_meta.FileMetaInformationGroupLength
        path.write_bytes(content[132 if meta else 132 + 12 + length :])
    assert np.array_equal(read_series(tmp_path).voxels[0, 1].ravel(), 2 * np.arange(64) - 1000)


def test_explicit_big_endian_and_deflated(tmp_path):
    for name, syntax in (("big", ExplicitVRBigEndian), ("deflated", DeflatedExplicitVRLittleEndian)):
        (tmp_path / name).mkdir()
        for n in range(3):
            pixels = np.arange(64, dtype=">i2" if name == "big" else "<i2").tobytes()
            _write_slice(tmp_path / name / f"{n}.dcm", z=n, syntax=syntax, PixelData=pixels)
        assert np.array_equal(read_series(tmp_path / name).voxels[0, 1].ravel(), 2 * np.arange(64) - 1000)


def test_monochrome_1_is_read_as_it_is_and_told(tmp_path):
    _series(tmp_path, [0, 1, 2], PhotometricInterpretation="MONOCHROME1")
    volume = read_series(tmp_path)
    assert volume.voxels[0, 1, 0, 0] == 2 - 1000
    assert "MONOCHROME1" in volume.notes[0]


@given(
    tilt=st.floats(-30, 30), side=st.sampled_from([0, 1]), gap=st.floats(0.8, 3), seed=st.integers(0, 99)
)  # fmt: skip
@settings(max_examples=8)
def test_a_tilted_series_lies_where_it_lay(tilt, side, gap, seed, tmp_path_factory):
    """A linear image in space is the same in slices and on the straight grid, wherever slices cover it."""
    assume(abs(np.tan(np.radians(tilt))) * gap * 4 > 0.2)
    folder = tmp_path_factory.mktemp("tilted")
    slope = np.random.default_rng(seed).uniform(-3, 3, 3)
    lean = np.tan(np.radians(tilt)) * gap
    for n in range(5):
        position = np.array([10.0, 20.0, n * gap])
        position[side] += n * lean
        j, i = np.mgrid[:16, :16]
        x, y = position[0] + 0.75 * i, position[1] + 0.5 * j
        values = np.rint(100 * (slope[0] * x + slope[1] * y + slope[2] * n * gap)).astype(np.int16)
        more = {"ImagePositionPatient": [float(f"{part:.9g}") for part in position], "RescaleSlope": 1}
        _write_slice(folder / f"{n}.dcm", size=16, PixelData=values.tobytes(), RescaleIntercept=0, **more)
    volume = read_series(folder)
    assert re.search(rf"lean by {abs(tilt):.1f} degrees", volume.notes[0])
    index = np.moveaxis(np.indices(volume.geometry.shape), 0, -1).reshape(-1, 3)
    ras = volume.geometry.index_to_ras(index)
    expected = 100 * ras @ (slope * [-1, -1, 1])
    inside = ((ras * [-1, -1, 1])[:, :2] - [10, 20]) - (index[:, :1] * lean) * np.eye(2)[side]
    covered = ((inside > -1e-6) & (inside < [15 * 0.75 + 1e-6, 15 * 0.5 + 1e-6])).all(axis=1)
    off = np.abs(volume.voxels.ravel() - expected)[covered]
    assert covered.sum() >= 5 * 15 * 15
    assert off.max() < 2
    beyond = ((inside < -0.75) | (inside > [16 * 0.75, 16 * 0.5])).any(axis=1)
    assert (volume.voxels.ravel()[beyond] == volume.voxels.min()).all()


def test_a_slight_tilt_is_noticed_where_it_moves_the_last_slice(tmp_path):
    for n in range(60):
        _write_slice(tmp_path / f"{n}.dcm", z=n, shift=0.008 * n)
    assert "0.5 degrees (gantry tilt)" in read_series(tmp_path).notes[0]
    with pytest.raises(VolumeFileError, match=r"lean by 0\.5 degrees \(gantry tilt\) and so make no regular grid"):
        slice_grid(series_files(tmp_path))


def test_a_tilted_series_against_simpleitk(tmp_path):
    """SimpleITK resamples each slice, moved to where it lies, onto the straight grid."""
    rng = np.random.default_rng(1)
    slices = []
    for n in range(4):
        pixels = rng.integers(-500, 500, (12, 12)).astype(np.int16)
        more = {"RescaleSlope": 1, "RescaleIntercept": 0, "PixelData": pixels.tobytes()}
        _write_slice(tmp_path / f"{n}.dcm", z=2 * n, shift=0.7 * n, size=12, **more)
        slices.append(pixels)
    volume = read_series(tmp_path)
    spacing, origin, _ = volume.geometry.to_itk()
    for n, pixels in enumerate(slices):
        image = sitk.GetImageFromArray(np.pad(pixels, 3, constant_values=int(volume.voxels.min())).astype(np.float64))
        image.SetSpacing(spacing[:2])
        image.SetOrigin((10 - 3 * 0.75, 20 + 0.7 * n - 3 * 0.5))
        size = volume.geometry.shape[:0:-1]
        moved = sitk.Resample(
            image,
            size,
            sitk.Transform(),
            sitk.sitkLinear,
            origin[:2],
            spacing[:2],
            (1, 0, 0, 1),
            float(volume.voxels.min()),
        )
        assert np.abs(sitk.GetArrayFromImage(moved) - volume.voxels[0, n]).max() <= 0.5 + 1e-6
