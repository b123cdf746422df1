"""DICOM series: places from positions, every irregular series refused with them."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.dicom import list_series, read_series
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
        (lambda d: [_write_slice(d / f"{n}.dcm", z=3 * n, shift=n) for n in range(4)], r"gantry tilt of 18\.4 degrees"),
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


def test_descriptions_are_read_in_their_character_set(tmp_path):
    _series(tmp_path, [0, 1], SpecificCharacterSet="ISO_IR 100", SeriesDescription="Sch\xe4del")
    assert list_series(tmp_path)[0].description == "Sch\xe4del"


@pytest.mark.parametrize("spacing", [None, [0, 0]])
def test_a_missing_pixel_spacing_is_not_taken_for_1_mm(tmp_path, spacing):
    _series(tmp_path, [0, 1, 2], PixelSpacing=spacing)
    with pytest.raises(VolumeFileError, match="pixel spacing"):
        read_series(tmp_path)


def test_a_slight_tilt_is_noticed_where_it_moves_the_last_slice(tmp_path):
    for n in range(60):
        _write_slice(tmp_path / f"{n}.dcm", z=n, shift=0.008 * n)
    with pytest.raises(VolumeFileError, match=r"0\.47 mm \(gantry tilt of 0\.5 degrees"):
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
