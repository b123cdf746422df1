"""DICOM SEG: what is written is read back voxel by voxel by highdicom, and passes dciodvfy where that is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_series import write_slices
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from strategies import orientations

from DeepSegmentLib.data import Code, Geometry, LabelMap, Segment, Terminology
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.dicom import read_series, series_files
from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm, write_dicom_seg
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap

REPOSITORY = Path(__file__).resolve().parents[4]
MODEL = Algorithm("AUTOMATIC", "brain-mr", "1.2", {"model_sha256": "ab" * 32})
LIVER = Terminology(Code("SCT", "123037004", "Anatomical Structure"), Code("SCT", "10200004", "Liver"))
LEFT_KIDNEY = Terminology(
    Code("SCT", "123037004", "Anatomical Structure"), Code("SCT", "64033007", "Kidney"), Code("SCT", "7771000", "Left")
)


def _labels(geometry, layers=1, seed=0):
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 3, (layers, *geometry.shape)).astype(np.uint8)
    segments = tuple(
        Segment(f"s{layer}.{value}", value, (10 * value, 200, 30), layer=layer)
        for layer in range(layers)
        for value in (1, 2)
    )
    return LabelMap(voxels, geometry, segments)


def read_back(path, sources):
    """The masks (segment, k, j, i) in the order of the sources, by highdicom."""
    document = highdicom.seg.segread(path)
    uids = [dcmread(source, stop_before_pixels=True).file_meta.MediaStorageSOPInstanceUID for source in sources]
    pixels = document.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    return document, np.moveaxis(pixels, -1, 0).astype(bool)


def _in_order(files):
    return sorted(files, key=lambda file: dcmread(file).InstanceNumber)


class TestVoxels:
    @given(orientations(), st.integers(1, 2), st.randoms())
    def test_whatever_the_order_of_axes_and_files(self, tmp_path_factory, orientation, layers, chance):
        folder = tmp_path_factory.mktemp("series")
        files = write_slices(folder)
        geometry = read_series(folder).geometry
        labels = _labels(geometry, layers)
        shuffled = chance.sample(files, len(files))
        target = folder / "seg.dcm"
        write_dicom_seg(match_grid(labels, geometry.oriented(orientation)[0]), shuffled, target, MODEL)
        document, masks = read_back(target, _in_order(files))
        assert [each.SegmentLabel for each in document.SegmentSequence] == [each.name for each in labels.segments]
        for segment, mask in zip(labels.segments, masks, strict=True):
            assert np.array_equal(mask, labels.mask(segment))
        assert document.SegmentationType == "BINARY"

    def test_the_distance_of_slices_is_that_of_their_positions(self, tmp_path):
        files = write_slices(tmp_path)
        geometry = read_series(tmp_path).geometry
        write_dicom_seg(_labels(geometry), files, tmp_path / "seg.dcm", MODEL)
        volume = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=False)
        affine = np.diag([-1.0, -1, 1, 1]) @ volume.affine
        found = Geometry(volume.spatial_shape, affine).oriented(geometry.orientation)[0]
        assert found.is_close(geometry)

    def test_a_real_series_read_back_exactly(self, tmp_path, shared_data):
        labels = read_labelmap(shared_data / "ct" / "example_seg_dicom.nii.gz")
        files = series_files(shared_data / "ct_dicom")
        notes = write_dicom_seg(labels, files, tmp_path / "seg.dcm", MODEL)
        assert [note.split(" (")[0] for note in notes] == [
            f"the series has no {name}InstanceUID" for name in ("Study", "Series")
        ]
        ordered = sorted(files, key=lambda file: dcmread(file, stop_before_pixels=True).ImagePositionPatient[2])
        document, masks = read_back(tmp_path / "seg.dcm", ordered)
        expected = match_grid(labels, read_series(shared_data / "ct_dicom").geometry)
        assert len(masks) == len(labels.segments)
        for segment, mask in zip(labels.segments, masks, strict=True):
            assert np.array_equal(mask, expected.mask(segment))
        again = tmp_path / "again.dcm"
        write_dicom_seg(labels, files, again, MODEL)
        assert dcmread(again).StudyInstanceUID == document.StudyInstanceUID


class TestDescriptions:
    def test_codes_colors_and_algorithm(self, tmp_path):
        files = write_slices(tmp_path)
        geometry = read_series(tmp_path).geometry
        layer = np.ones((1, *geometry.shape), np.uint8)
        layer[0, 0, 0, :3] = 2, 3, 5
        segments = (
            Segment("liver", 1, (221, 130, 101), LIVER),
            Segment("Niere, links (ü)", 2, (185, 102, 83), LEFT_KIDNEY),
            Segment("lost", 4, terminology=LIVER),
            Segment("something", 5),
            Segment("三", 3, terminology=LIVER),
        )
        notes = write_dicom_seg(LabelMap(layer, geometry, segments), files, tmp_path / "seg.dcm", MODEL)
        assert notes == ("empty, left out: lost",)
        document, masks = read_back(tmp_path / "seg.dcm", _in_order(files))
        found = document.SegmentSequence
        assert [each.SegmentLabel for each in found] == ["liver", "Niere, links (ü)", "something", "三"]
        assert [each.SegmentNumber for each in found] == [1, 2, 3, 4]
        assert [int(mask.sum()) for mask in masks[1:]] == [1, 1, 1]
        categories = [each.SegmentedPropertyCategoryCodeSequence[0].CodeValue for each in found]
        assert categories == ["91723000", "91723000", "85756007", "91723000"]
        assert [each.SegmentedPropertyTypeCodeSequence[0].CodeValue for each in found[:2]] == ["10200004", "64033007"]
        modifier = found[1].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
        assert modifier.CodeMeaning == "Left"
        color = highdicom.color.CIELabColor.from_dicom_value(found[0].RecommendedDisplayCIELabValue)
        assert np.abs(np.array(color.to_rgb()) - (221, 130, 101)).max() <= 1
        for each in found:
            assert (each.SegmentAlgorithmType, each.SegmentAlgorithmName) == ("AUTOMATIC", "brain-mr")
            (identified,) = each.SegmentationAlgorithmIdentificationSequence
            assert (identified.AlgorithmName, identified.AlgorithmVersion) == ("brain-mr", "1.2")
            assert identified.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
            assert "model_sha256=abab" in identified.AlgorithmParameters

    def test_the_patient_and_the_slices_are_referred_to(self, tmp_path):
        files = write_slices(tmp_path)
        write_dicom_seg(_labels(read_series(tmp_path).geometry), files, tmp_path / "seg.dcm", MODEL)
        document, source = dcmread(tmp_path / "seg.dcm"), dcmread(files[0])
        for name in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert document[name].value == source[name].value
        assert document.SeriesInstanceUID != source.SeriesInstanceUID
        referred = document.ReferencedSeriesSequence[0]
        assert referred.SeriesInstanceUID == source.SeriesInstanceUID
        uids = {each.ReferencedSOPInstanceUID for each in referred.ReferencedInstanceSequence}
        assert uids == {dcmread(file).SOPInstanceUID for file in files}

    @pytest.mark.parametrize("kind", ["SEMIAUTOMATIC", "MANUAL"])
    def test_who_made_it(self, tmp_path, kind):
        files = write_slices(tmp_path)
        algorithm = Algorithm(kind) if kind == "MANUAL" else Algorithm(kind, "refine", "1")
        write_dicom_seg(_labels(read_series(tmp_path).geometry), files, tmp_path / "seg.dcm", algorithm)
        first = dcmread(tmp_path / "seg.dcm").SegmentSequence[0]
        assert first.SegmentAlgorithmType == kind
        assert ("SegmentAlgorithmName" in first) == (kind != "MANUAL")


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda m: LabelMap(np.zeros_like(m.layers), m.geometry, m.segments), "no segment: none of 2 has a voxel"),
            (lambda m: LabelMap(m.layers, m.geometry, (Segment("a" * 65, 1),)), "1 to 64 letters"),
            (lambda m: LabelMap(m.layers, m.geometry, (Segment("", 1),)), "1 to 64 letters"),
            (lambda m: LabelMap(m.layers, m.geometry, (Segment("a\\b", 1),)), "1 to 64 letters"),
            (lambda m: LabelMap(m.layers[:, 1:], Geometry((3, 6, 8), m.geometry.affine), m.segments), "not on the"),
        ],
    )
    def test_labels_that_do_not_fit(self, tmp_path, change, message):
        (tmp_path / "series").mkdir()
        files = write_slices(tmp_path / "series")
        labels = change(_labels(read_series(tmp_path / "series").geometry))
        with pytest.raises(InvalidInputError, match=message):
            write_dicom_seg(labels, files, tmp_path / "seg.dcm", MODEL)
        assert [path.name for path in tmp_path.iterdir()] == ["series"]

    def test_a_missing_slice(self, tmp_path):
        files = write_slices(tmp_path)
        labels = _labels(read_series(tmp_path).geometry)
        with pytest.raises(VolumeFileError, match="unevenly spaced"):
            write_dicom_seg(labels, files[:1] + files[2:], tmp_path / "seg.dcm", MODEL)

    def test_files_that_are_no_slices(self, tmp_path):
        files = write_slices(tmp_path)
        labels = _labels(read_series(tmp_path).geometry)
        (tmp_path / "a.txt").write_text("hello")
        with pytest.raises(VolumeFileError, match="no DICOM slice of a volume"):
            write_dicom_seg(labels, [*files, tmp_path / "a.txt"], tmp_path / "seg.dcm", MODEL)
        with pytest.raises(VolumeFileError, match="there is no DICOM slice"):
            write_dicom_seg(labels, [], tmp_path / "seg.dcm", MODEL)

    def test_a_series_that_lacks_what_dicom_wants(self, tmp_path):
        files = write_slices(tmp_path, FrameOfReferenceUID=None)
        with pytest.raises(VolumeFileError, match="no Frame Of Reference UID"):
            write_dicom_seg(_labels(read_series(tmp_path).geometry), files, tmp_path / "seg.dcm", MODEL)
        assert not (tmp_path / "seg.dcm").exists()

    @pytest.mark.parametrize("kind", ["AUTOMATIC", "SEMIAUTOMATIC"])
    def test_an_algorithm_without_a_name(self, kind):
        with pytest.raises(InvalidInputError, match="name and the version"):
            Algorithm(kind, "brain-mr")

    def test_without_highdicom(self, tmp_path):
        """In a process where the package cannot be imported."""
        code = (
            "import sys; sys.modules['highdicom'] = None\n"
            "from pathlib import Path\n"
            "from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm, write_dicom_seg\n"
            "from DeepSegmentLib.errors import MissingPackageError\n"
            "try: write_dicom_seg(None, [], Path('x'), Algorithm('MANUAL'))\n"
            "except MissingPackageError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
        assert "pip install 'DeepSegmentLib[dicom]'" in done.stdout


@pytest.fixture(scope="session")
def dciodvfy():
    """The checker of David Clunie's dicom3tools."""
    folder = os.environ.get("DEEPSEGMENT_DICOM3TOOLS", REPOSITORY / ".cache" / "dicom3tools")
    found = shutil.which("dciodvfy", path=f"{folder}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"no dciodvfy in {folder}: make dicom3tools, or install Debian's dicom3tools")
    return found


def _verify(dciodvfy, path):
    """Errors and warnings."""
    done = subprocess.run([dciodvfy, "-new", path], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert "Segmentation" in lines
    return [line for line in lines if line.startswith("Error")], [line for line in lines if line.startswith("Warning")]


class TestStandard:
    @pytest.mark.parametrize("layers", [1, 2])
    def test_a_small_one_is_free_of_errors_and_warnings(self, tmp_path, dciodvfy, layers):
        files = write_slices(tmp_path)
        write_dicom_seg(_labels(read_series(tmp_path).geometry, layers), files, tmp_path / "seg.dcm", MODEL)
        assert _verify(dciodvfy, tmp_path / "seg.dcm") == ([], [])

    def test_a_real_one_inherits_the_warnings_of_its_source(self, tmp_path, dciodvfy, shared_data):
        """The source was anonymised (no Patient ID, no Study ID) and has codes of a private scheme."""
        labels = read_labelmap(shared_data / "ct" / "example_seg_dicom.nii.gz")
        write_dicom_seg(labels, series_files(shared_data / "ct_dicom"), tmp_path / "seg.dcm", MODEL)
        errors, warnings = _verify(dciodvfy, tmp_path / "seg.dcm")
        assert errors == []
        assert len(warnings) == 3
        for tag in ("StudyID", "PatientID", "ProcedureCodeSequence"):
            assert any(tag in warning for warning in warnings)
