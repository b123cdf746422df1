"""Enhanced multi-frame images: the same volumes as their slices one by one, several volumes told apart."""

import highdicom
import numpy as np
import pytest
from dicom_series import write_slices
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.dicom import list_series, read_series, series_files, slice_grid

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def _item(**values):
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    return item


def _frame(z, value, **more):
    item = Dataset()
    item.PlanePositionSequence = Sequence([_item(ImagePositionPatient=[10, 20, z])])
    content = {key: more[key] for key in ("StackID", "TemporalPositionIndex") if key in more}
    item.FrameContentSequence = Sequence([_item(**content)])
    if "EffectiveEchoTime" in more:
        item.MREchoSequence = Sequence([_item(EffectiveEchoTime=more["EffectiveEchoTime"])])
    if "ImageOrientationPatient" in more:
        item.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=more["ImageOrientationPatient"])])
    if "RescaleSlope" in more:
        values = _item(RescaleSlope=more["RescaleSlope"], RescaleIntercept=0, RescaleType="US")
        item.PixelValueTransformationSequence = Sequence([values])
    return item, np.full((6, 8), value, np.int16)


def _enhanced(path, frames, *, syntax=ExplicitVRLittleEndian, sop_class=ENHANCED_MR, **more):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    image = Dataset()
    image.file_meta = meta
    image.SOPClassUID, image.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    image.SeriesInstanceUID, image.SeriesNumber, image.Modality = "1.2.3", 4, "MR"
    image.SeriesDescription = "head"
    image.Rows, image.Columns, image.NumberOfFrames, image.SamplesPerPixel = 6, 8, len(frames), 1
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation, image.PhotometricInterpretation = 15, 1, "MONOCHROME2"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[0.5, 0.75], SliceThickness=9)])
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    image.PerFrameFunctionalGroupsSequence = Sequence([item for item, _ in frames])
    image.PixelData = b"".join(pixels.tobytes() for _, pixels in frames)
    for key, value in more.items():
        if value is None:
            delattr(image, key)
        else:
            setattr(image, key, value)
    if syntax == RLELossless:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.compress(RLELossless)
    image.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_frames_are_sorted_by_position(tmp_path, syntax, undefined):
    frames = [_frame(z, n) for n, z in enumerate((4.0, 0.0, 2.0))]
    for item, _ in frames:
        item.is_undefined_length_sequence_item = undefined
        for element in item:
            element.is_undefined_length = undefined
    _enhanced(tmp_path / "a.dcm", frames, syntax=syntax)
    volume = read_series(tmp_path)
    assert volume.voxels[0, :, 0, 0].tolist() == [1, 2, 0]
    assert volume.geometry.spacing_mm == pytest.approx((2, 0.5, 0.75))
    assert volume.geometry.index_to_ras((2, 0, 0)).tolist() == [-10, -20, 4]
    assert (volume.name, volume.voxels.dtype) == ("head", np.int16)


def test_a_converted_series_equals_its_slices(tmp_path):
    """Converted by highdicom, which is independent of the reader."""
    (tmp_path / "slices").mkdir()
    (tmp_path / "one").mkdir()
    files = write_slices(tmp_path / "slices", RescaleSlope=2, RescaleIntercept=-1000, ImageType=["ORIGINAL", "PRIMARY"])
    sources = [dcmread(file) for file in files]
    converted = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        sources, generate_uid(), series_number=7, sop_instance_uid=generate_uid(), instance_number=1
    )
    converted.save_as(tmp_path / "one" / "a.dcm")
    expected, volume = read_series(tmp_path / "slices"), read_series(tmp_path / "one")
    assert np.array_equal(volume.voxels, expected.voxels)
    assert volume.geometry.is_close(expected.geometry)


def test_each_frame_has_its_own_slope(tmp_path):
    frames = [_frame(n, 100, RescaleSlope=slope) for n, slope in enumerate((1, 0.5, 2.25))]
    _enhanced(tmp_path / "a.dcm", frames)
    assert read_series(tmp_path).voxels[0, :, 0, 0].tolist() == [100, 50, 225]


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("echo time", "EffectiveEchoTime", (10.0, 90.0)),
        ("time point", "TemporalPositionIndex", (1, 2)),
        ("stack", "StackID", ("1", "2")),
        ("orientation", "ImageOrientationPatient", ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, -1, 0])),
    ],
)
def test_several_volumes_are_chosen_like_series(tmp_path, name, key, values):
    frames = [_frame(z, 10 * n + z, **{key: value}) for n, value in enumerate(values) for z in range(3)]
    _enhanced(tmp_path / "a.dcm", frames)
    first, second = list_series(tmp_path)
    assert (first.part, second.part, first.slices) == (1, 2, 3)
    assert name in first.difference
    with pytest.raises(VolumeFileError, match=rf"holds 2 series(.|\n)*number 4#1(.|\n)*{name}(.|\n)*number 4#2"):
        read_series(tmp_path)
    found = {tuple(sorted(read_series(tmp_path, f"{base}#{n}").voxels[0, :, 0, 0].tolist())) for n in (1, 2)
             for base in ("4", "1.2.3", "Head")}  # fmt: skip
    assert found == {(0, 1, 2), (10, 11, 12)}


def test_several_files_of_one_series_are_told_apart(tmp_path):
    for n in range(2):
        _enhanced(tmp_path / f"{n}.dcm", [_frame(z, 10 * n + z) for z in range(3)])
    assert [each.difference for each in list_series(tmp_path)] == ["file 0.dcm", "file 1.dcm"]
    assert read_series(tmp_path, "4#2").voxels[0, :, 0, 0].tolist() == [10, 11, 12]
    assert series_files(tmp_path, "4#2") == (tmp_path / "1.dcm",)


def test_frames_that_nothing_tells_apart_are_refused(tmp_path):
    _enhanced(tmp_path / "a.dcm", [_frame(z, 0) for z in (0, 1, 2, 0, 1, 2)])
    with pytest.raises(VolumeFileError, match=r"two slices lie at 0\.00 mm \(6 slices at 3 places\)"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NumberOfFrames": 2}, "describes 3 frames and claims 2"),
        ({"PerFrameFunctionalGroupsSequence": None}, "multi-frame image of 3 frames without a place for each"),
        ({"PixelData": bytes(200)}, "pixel data is not complete"),
        ({"SharedFunctionalGroupsSequence": None}, "does not say where it lies"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7.2", "PerFrameFunctionalGroupsSequence": None},
         "Multi-frame Grayscale Byte Secondary Capture.*3 frames"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.3.1"}, "Ultrasound Multi-frame"),
    ],
)  # fmt: skip
def test_what_makes_no_volume_is_refused_with_its_reason(tmp_path, change, message):
    _enhanced(tmp_path / "a.dcm", [_frame(z, 0) for z in range(3)], **change)
    with pytest.raises(VolumeFileError, match=message):
        read_series(tmp_path)


def test_a_grid_of_files_is_no_grid_of_frames(tmp_path):
    _enhanced(tmp_path / "a.dcm", [_frame(z, 0) for z in range(3)])
    with pytest.raises(VolumeFileError, match="enhanced multi-frame"):
        slice_grid(series_files(tmp_path))
