"""Exporting a case: checked first, whole or not at all, with its record beside it."""

import csv
import getpass
import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from bad_inputs import EXPORTS
from dicom_series import write_slices
from pydicom import dcmread

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.dicom import read_series
from DeepSegmentLib.files.segmentations.grids_and_layers import flatten
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance, write_segmentation
from DeepSegmentLib.files.volumes import read_volume, write_volume
from DeepSegmentLib.service.export import ExportCase, ExportSettings, algorithm_of, export_case, export_files

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))
SEGMENTS = (Segment("liver", 1, (200, 100, 50)), Segment("lesion", 2), Segment("spleen", 3))
KEPT = "kept with it: the case's name, model, version, parameters, dates and volumes; no names or paths of inputs"
MADE = {"model": "abdomen", "model_version": "2.1", "model_sha256": "ab" * 32}


def _case(layers=1, **more):
    voxels = np.arange(60, dtype=np.int16).reshape(1, *GRID.shape)
    labels = np.zeros((layers, *GRID.shape), np.uint8)
    labels[0, 0], labels[0, 1, 0] = 1, 3
    segments = SEGMENTS
    if layers > 1:
        labels[1, 2], segments = 2, (SEGMENTS[0], Segment("lesion", 2, layer=1), SEGMENTS[2])
    else:
        labels[0, 2] = 2
    return ExportCase("Müller 1", Volume(voxels, GRID), LabelMap(labels, GRID, segments), MADE, **more)


def _settings(kind, **more):
    return ExportSettings(kind, **({"channel_names": ("CT",)} if kind == "nnunet" else {}), **more)


TARGETS = {
    "nifti": "out", "seg-nrrd": "a.seg.nrrd", "nnunet": "Dataset501_Test", "csv": "a.csv", "dicom-seg": "a.dcm",
    "monai-label": "store", "stl": "out", "obj": "a.obj", "glb": "a.glb",
}  # fmt: skip
FILES = {
    "nifti": ["Muller-1.nii.gz", "Muller-1.provenance.json", "Muller-1_seg.labels.json", "Muller-1_seg.nii.gz"],
    "seg-nrrd": ["a.seg.nrrd", "a.seg.nrrd.provenance.json"],
    "csv": ["a.csv", "a.csv.provenance.json"],
    "stl": [
        "Muller-1.stl.provenance.json",
        "Muller-1_lesion.stl",
        "Muller-1_liver.stl",
        "Muller-1_spleen.stl",
    ],
    "obj": ["a.mtl", "a.obj", "a.obj.provenance.json"],
    "glb": ["a.glb", "a.glb.provenance.json"],
}


class TestFormats:
    @pytest.mark.parametrize("kind", FILES)
    def test_the_files_and_their_record(self, tmp_path, kind):
        report = export_case(_case(sources=("sha256:0a", "sha256:0b")), tmp_path / TARGETS[kind], _settings(kind))
        folder = tmp_path / "out" if kind in ("nifti", "stl") else tmp_path
        assert sorted(path.name for path in folder.iterdir()) == FILES[kind]
        assert sorted(report["outputs"]) == [str(folder / name) for name in FILES[kind]]
        (record,) = folder.glob("*.provenance.json")
        told = json.loads(record.read_text())
        assert told.items() <= report.items()
        assert (told["case"], told["format"], told["sources"]) == ("Muller-1", kind, ["sha256:0a", "sha256:0b"])
        assert told["segmentation"] == MADE
        assert told["volumes_ml"] == {"liver": 0.12, "lesion": 0.12, "spleen": 0.03}

    def test_nifti_reads_back(self, tmp_path):
        export_case(_case(layers=2), tmp_path / "out", _settings("nifti"))
        labels = read_labelmap(tmp_path / "out" / "Muller-1_seg.nii.gz")
        assert [segment.name for segment in labels.segments] == ["liver", "lesion", "spleen"]
        assert np.array_equal(labels.layers, flatten(_case(layers=2).label_map).layers)
        volume = read_volume(tmp_path / "out" / "Muller-1.nii.gz")
        assert np.array_equal(volume.voxels, _case().volume.voxels)
        assert volume.geometry.is_close(labels.geometry)
        assert read_provenance(tmp_path / "out" / "Muller-1_seg.nii.gz") == MADE

    def test_seg_nrrd_keeps_its_layers(self, tmp_path):
        export_case(_case(layers=2), tmp_path / "a.seg.nrrd", _settings("seg-nrrd"))
        assert np.array_equal(read_labelmap(tmp_path / "a.seg.nrrd").layers, _case(layers=2).label_map.layers)

    def test_csv_has_a_row_a_segment(self, tmp_path):
        export_case(_case(), tmp_path / "a.csv", _settings("csv"))
        with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["segment"], row["voxels"]) for row in rows] == [("liver", "20"), ("lesion", "20"), ("spleen", "5")]
        assert float(rows[0]["channel 1 mean"]) == 9.5

    def test_nnunet_tells_what_a_case_does_not_have(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        assert export_case(_case(), folder, _settings("nnunet"))["notes"] == [KEPT]
        case = _case()
        segments = (*SEGMENTS[:2], Segment("kidney", 3))
        other = ExportCase("b", case.volume, LabelMap(case.label_map.layers, GRID, segments))
        report = export_case(other, folder, _settings("nnunet", new_labels=True))
        assert [note.split(":") for note in report["notes"][:-1]] == [
            ["not in this case, which nnU-Net takes as a fact", " spleen"],
            ["new labels of the dataset", " kidney; earlier cases do not have them"],
        ]
        assert json.loads((folder / "provenance" / "b.json").read_text())["case"] == "b"

    def test_dicom_seg_names_the_model(self, tmp_path):
        (tmp_path / "series").mkdir()
        files = write_slices(tmp_path / "series")
        volume = read_series(tmp_path / "series")
        labels = LabelMap(np.ones((1, *volume.geometry.shape), np.uint8), volume.geometry, SEGMENTS[:1])
        case = ExportCase("a", volume, labels, MADE, tuple(files))
        export_case(case, tmp_path / "a.dcm", _settings("dicom-seg"))
        (segment,) = dcmread(tmp_path / "a.dcm").SegmentSequence
        assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "abdomen")
        assert json.loads((tmp_path / "a.dcm.provenance.json").read_text())["made_by"] == "AUTOMATIC"

    def test_labels_in_another_index_order_are_turned(self, tmp_path):
        case = _case()
        turned, _, _ = GRID.oriented("LPI")
        layers = np.ascontiguousarray(GRID.view(case.label_map.layers, "LPI"))
        other = ExportCase("a", case.volume, LabelMap(layers, turned, SEGMENTS))
        export_case(other, tmp_path / "out", _settings("nifti"))
        written = read_labelmap(tmp_path / "out" / "a_seg.nii.gz")
        assert np.array_equal(written.layers, case.label_map.layers)

    def test_empty_segments_are_told(self, tmp_path):
        case = _case()
        labels = LabelMap(case.label_map.layers, GRID, (*SEGMENTS, Segment("lost", 9)))
        report = export_case(ExportCase("a", case.volume, labels), tmp_path / "a.csv", _settings("csv"))
        assert report["notes"] == ["segments without a voxel: lost", KEPT]


class TestExisting:
    @pytest.mark.parametrize("kind", [*FILES, "nnunet", "monai-label"])
    def test_it_is_replaced_only_on_demand(self, tmp_path, kind):
        target = tmp_path / TARGETS[kind]
        export_case(_case(), target, _settings(kind))
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(InvalidInputError, match=r"exists; ask to replace it|already a case|already labels"):
            export_case(_case(), target, _settings(kind))
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}.items() >= before.items()
        export_case(_case(), target, _settings(kind, replace=True))


class TestRefused:
    @pytest.mark.parametrize("name", EXPORTS)
    def test_nothing_is_written(self, tmp_path, name):
        make, message = EXPORTS[name]
        case, target, settings = make(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(DeepSegmentError, match=message):
            export_case(case, tmp_path / target, settings)
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_write_that_fails_leaves_nothing(self, tmp_path):
        """The second file of a pair cannot be written."""
        (tmp_path / "out" / "Muller-1_seg.nii.gz").mkdir(parents=True)
        with pytest.raises(VolumeFileError, match="is a folder"):
            export_case(_case(), tmp_path / "out", _settings("nifti", replace=True))
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["Muller-1_seg.nii.gz"]

    def test_unknown_formats(self):
        with pytest.raises(InvalidInputError, match="known: nifti, seg-nrrd"):
            ExportSettings("png")


class TestFiles:
    def test_names_provenance_and_channels(self, tmp_path):
        case = _case()
        for name in ("scan", "second"):
            write_volume(case.volume, tmp_path / f"{name}.nii.gz")
        write_segmentation(case.label_map, tmp_path / "labels.nii.gz", MADE)
        report = export_files(
            tmp_path / "scan.nii.gz",
            tmp_path / "labels.nii.gz",
            tmp_path / "Dataset501_Test",
            ExportSettings("nnunet", channel_names=("T1", "T2")),
            channels=(tmp_path / "second.nii.gz",),
        )
        assert (report["case"], report["segmentation"]) == ("case_0001", MADE)
        assert [Path(path).name for path in report["outputs"][:2]] == ["case_0001_0000.nii.gz", "case_0001_0001.nii.gz"]

    def test_a_dicom_folder_gives_the_slices(self, tmp_path):
        (tmp_path / "series").mkdir()
        write_slices(tmp_path / "series")
        geometry = read_series(tmp_path / "series").geometry
        labels = LabelMap(np.ones((1, *geometry.shape), np.uint8), geometry, SEGMENTS[:1])
        write_segmentation(labels, tmp_path / "labels.nrrd")
        report = export_files(
            tmp_path / "series", tmp_path / "labels.nrrd", tmp_path / "a.dcm", ExportSettings("dicom-seg")
        )
        assert (report["case"], report["made_by"]) == ("a", "MANUAL")


class TestAlgorithm:
    def test_a_model_made_it_alone_unless_told(self):
        found = algorithm_of(MADE)
        assert (found.kind, found.name, found.version) == ("AUTOMATIC", "abdomen", "2.1")
        assert found.parameters == {"model_sha256": "ab" * 32}
        assert algorithm_of(MADE, "SEMIAUTOMATIC").kind == "SEMIAUTOMATIC"
        assert algorithm_of({}).kind == "MANUAL"
        assert algorithm_of({**MADE, "corrections": "3"}).kind == "SEMIAUTOMATIC"
        assert algorithm_of({"corrections": "3"}).kind == "MANUAL"
        assert algorithm_of({}, name="x", version="1").kind == "AUTOMATIC"
        with pytest.raises(InvalidInputError, match="name and the version"):
            algorithm_of({}, "AUTOMATIC")


class TestPrivacy:
    """What leaves the machine is what the user chose, and a number where nothing was chosen."""

    def test_no_name_of_the_patient_or_of_the_machine_leaves_with_files(self, tmp_path):
        secret = tmp_path / "DOE^JOHN PID4711"
        (secret / "series").mkdir(parents=True)
        write_slices(secret / "series")
        labels = LabelMap(np.ones((1, *read_series(secret / "series").geometry.shape), np.uint8),
                          read_series(secret / "series").geometry, SEGMENTS[:1])  # fmt: skip
        made = {**MADE, "source": str(secret), "user": "JOHN"}
        write_segmentation(labels, secret / "JOHN.seg.nrrd", made)
        for kind, target in TARGETS.items():
            report = export_files(
                secret / "series", secret / "JOHN.seg.nrrd", tmp_path / "out" / target, _settings(kind)
            )
            assert KEPT in report["notes"][-1]
        for path in (tmp_path / "out").rglob("*"):
            name, content = str(path.relative_to(tmp_path)), path.read_bytes() if path.is_file() else b""
            content = gzip.decompress(content) if name.endswith(".gz") else content
            for word in ("JOHN", "PID4711", getpass.getuser() if getpass.getuser() != "root" else "PID4711", "pytest"):
                assert word not in name
                assert word.encode() not in content, name
            if not name.endswith(".dcm"):  # there it is asked for
                assert b"Doe" not in content, name
        names = {path.name for path in (tmp_path / "out").rglob("*")}
        assert {"case_0001_0000.nii.gz", "case_0001.nii.gz", "case_0001_seg.nii.gz"} <= names

    def test_the_patient_of_a_dicom_seg_is_told(self, tmp_path):
        (tmp_path / "series").mkdir()
        files = write_slices(tmp_path / "series")
        volume = read_series(tmp_path / "series")
        labels = LabelMap(np.ones((1, *volume.geometry.shape), np.uint8), volume.geometry, SEGMENTS[:1])
        case = ExportCase("", volume, labels, MADE, tuple(files))
        report = export_case(case, tmp_path / "a.dcm", _settings("dicom-seg"))
        assert "patient and study are those of the source series" in report["notes"][-1]

    def test_images_carry_no_description(self, tmp_path):
        write_volume(_case().volume, tmp_path / "JOHN.nii.gz")
        described = nibabel.load(tmp_path / "JOHN.nii.gz")
        described.header["descrip"], described.header["db_name"] = b"DOE^JOHN", b"JOHN"
        nibabel.save(described, tmp_path / "JOHN.nii.gz")
        write_segmentation(_case().label_map, tmp_path / "a.seg.nrrd")
        export_files(tmp_path / "JOHN.nii.gz", tmp_path / "a.seg.nrrd", tmp_path / "out", _settings("nifti"))
        header = nibabel.load(tmp_path / "out" / "case_0001.nii.gz").header
        assert not any(
            header[field].tobytes().strip(b"\0") for field in ("descrip", "db_name", "aux_file", "intent_name")
        )


def test_all_formats_of_a_case_lie_in_one_folder(tmp_path):
    targets = {"nifti": tmp_path, "seg-nrrd": tmp_path / "a.seg.nrrd", "csv": tmp_path / "a.csv"}
    case = ExportCase("a", _case().volume, _case().label_map, MADE)
    for kind, target in targets.items():
        export_case(case, target, _settings(kind))
    assert len(list(tmp_path.iterdir())) == 8
    for kind, target in targets.items():
        with pytest.raises(InvalidInputError, match=r"a(\.nii\.gz|\.seg\.nrrd|\.csv) exists; ask to replace it"):
            export_case(case, target, _settings(kind))
