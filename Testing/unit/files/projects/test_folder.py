"""The folder of a project: whole cases or none, whatever happens, and nothing that names anybody."""

import json
import re

import nibabel
import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import ExistsError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.projects import (
    CaseRecord,
    DamagedCase,
    create_project,
    open_project,
    patient_hash,
    read_cases,
)
from DeepSegmentLib.files.projects.header_words import header_words
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.project import Collecting, collect_case, labelled_cases

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))
CHANNELS = (Channel("T1w", "MR"),)


def _collected(folder, seed=0):
    voxels = np.random.default_rng(seed).integers(0, 99, (1, *GRID.shape)).astype(np.int16)
    labels = np.zeros((1, *GRID.shape), np.uint8)
    labels[0, 1, 1:3, 2:4] = 1
    return collect_case(folder, Volume(voxels, GRID), LabelMap(labels, GRID, (Segment("Cyst", 1),)), Collecting())


@pytest.fixture
def folder(tmp_path):
    create_project(tmp_path / "p", "p", CHANNELS)
    return tmp_path / "p"


def test_a_project_is_made_once_and_not_in_a_folder_of_others(tmp_path):
    create_project(tmp_path / "new", "new", CHANNELS)
    before = (tmp_path / "new" / "project.json").read_bytes()
    with pytest.raises(ExistsError, match="project already"):
        create_project(tmp_path / "new", "new", CHANNELS)
    assert (tmp_path / "new" / "project.json").read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    with pytest.raises(ExistsError, match="not empty"):
        create_project(tmp_path / "other", "other", CHANNELS)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_patients_are_told_apart_by_a_key_of_the_project(tmp_path):
    one, two = (create_project(tmp_path / name, name, CHANNELS).record for name in "ab")
    assert patient_hash(one, " Doe  John") == patient_hash(one, "doe john") != patient_hash(one, "doe jane")
    assert patient_hash(one, "doe john") != patient_hash(two, "doe john")
    assert re.fullmatch("[0-9a-f]{16}", patient_hash(one, "x"))
    assert patient_hash(one, "") == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": "../../secret.seg.nrrd"}, "labels of a case"),
        ({"channels": ["/etc/passwd"]}, "channel of a case"),
        ({"channels": []}, "needs channels"),
        ({"journal": ".."}, "journal of a case"),
        ({"format_version": 2}, "update DeepSegment"),
        ({"history": []}, "a status"),
        ({"name": "case_0009"}, "moved or copied"),
        ({"drawn": [{"name": "Cyst", "boxes": [{"start": [2, 0, 0], "stop": [1, 1, 1]}]}]}, "must not end before"),
        ({"stranger": 1}, "unknown key"),
    ],
)
def test_a_hostile_record_is_refused_by_name_and_hides_no_other(folder, change, told):
    _collected(folder, 1), _collected(folder, 2)
    path = folder / "cases" / "case_0001" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    damaged, good = read_cases(open_project(folder))
    assert isinstance(damaged, DamagedCase)
    assert str(path) in damaged.problem
    assert told in damaged.problem
    assert isinstance(good, CaseRecord)
    assert good.name == "case_0002"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"key": NaN}', b"null"])
def test_a_damaged_project_file_is_refused_by_name(folder, content):
    path = folder / "project.json"
    path.write_bytes(content)
    with pytest.raises(VolumeFileError, match=re.escape(str(path))):
        open_project(folder)


def test_what_killed_writers_left_is_swept_also_inside_cases(folder):
    from DeepSegmentLib.files.leftovers import place

    record = _collected(folder, 1)
    remains = [
        parent / f".{place()}-{2**22 + 7}-0123abcd.json"
        for parent in (folder, folder / "cases", folder / "cases" / record.name)
    ]
    for path in remains:
        path.write_text("half")
    _collected(folder, 2)
    assert not [path for path in remains if path.exists()]


def test_an_error_names_the_case_and_leaves_nothing(folder):
    affine = np.eye(4)
    affine[0, 1] = 0.3  # sheared, which NIfTI has no place for
    grid = Geometry(GRID.shape, affine)
    labels = LabelMap(np.ones((1, *grid.shape), np.uint8), grid, (Segment("Cyst", 1),))
    before = (folder / "project.json").read_bytes()
    with pytest.raises(VolumeFileError, match=r"cases/case_0001/volume_0000"):
        collect_case(folder, Volume(np.zeros((1, *grid.shape), np.int16), grid), labels, Collecting())
    assert (folder / "project.json").read_bytes() == before
    assert not list((folder / "cases").iterdir())


def test_written_headers_carry_no_words_and_those_of_others_are_told(folder, tmp_path):
    record = _collected(folder)
    case = folder / "cases" / record.name
    assert header_words(case / record.channels[0]) == {}
    assert header_words(case / record.labels) == {}
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header["descrip"] = b"Doe^John"
    image.header["aux_file"] = b"mrn 4711"
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(image, tmp_path / name)
        assert header_words(tmp_path / name) == {"descrip": "Doe^John", "aux_file": "mrn 4711"}
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe"))
    nibabel.save(image, tmp_path / "b.nii.gz")
    assert "extension" in header_words(tmp_path / "b.nii.gz")
    labels = LabelMap(np.ones((1, *GRID.shape), np.uint8), GRID, (Segment("Cyst", 1),))
    write_segmentation(labels, tmp_path / "c.seg.nrrd")
    content = (tmp_path / "c.seg.nrrd").read_bytes()
    (tmp_path / "c.seg.nrrd").write_bytes(content.replace(b"\n\n", b"\nPatientName:=Doe\n\n", 1))
    assert header_words(tmp_path / "c.seg.nrrd") == {"PatientName": "Doe"}


def test_case_names_that_lead_elsewhere_are_refused(folder):
    from DeepSegmentLib.files.projects import read_case

    for name in ("..", "case_1", "case_0001/../..", "CASE_0001", "case_0001\n"):
        with pytest.raises(InvalidInputError, match="no name of a case"):
            read_case(open_project(folder), name)


def test_cases_come_in_the_order_of_their_numbers_beyond_four_digits(folder):
    _collected(folder, 1)
    (folder / "cases" / "case_0001").rename(folder / "cases" / "case_9999")
    path = folder / "cases" / "case_9999" / "case.json"
    path.write_text(path.read_text().replace("case_0001", "case_9999"))
    assert [_collected(folder, seed).name for seed in (2, 3)] == ["case_10000", "case_10001"]
    assert [case.name for case in read_cases(open_project(folder))] == ["case_9999", "case_10000", "case_10001"]
    assert _collected(folder, 2).revision == 2


def _labelled(voxels):
    labels = LabelMap(np.ones((1, *GRID.shape), np.uint8), GRID, (Segment("Cyst", 1),))
    return Volume(voxels, GRID), labels, Collecting("approved")


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", ">i2", "int32", "uint32", "int64", "float16", ">f4", "float64", "longdouble"]
)
def test_voxels_of_any_type_come_back_and_are_known_again(folder, dtype):
    rng = np.random.default_rng(3)
    voxels = (rng.integers(0, 120, (1, *GRID.shape)) * 0.5).astype(dtype)
    for revision in (1, 2):
        assert collect_case(folder, *_labelled(voxels)).revision == revision
    (case,) = labelled_cases(folder)
    assert np.array_equal(case.volume.voxels, voxels)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused_and_nothing_changes(folder, value):
    voxels = np.zeros((1, *GRID.shape), np.float32)
    voxels[0, 0, 0, 0] = value
    before = (folder / "project.json").read_bytes()
    with pytest.raises(InvalidInputError, match=r"the volume has 1 voxels that are NaN or infinite"):
        collect_case(folder, *_labelled(voxels))
    assert (folder / "project.json").read_bytes() == before
    assert read_cases(open_project(folder)) == ()
