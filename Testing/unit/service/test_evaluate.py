"""Scoring files and folders: pairs by name, refusals that name what is missing."""

import json

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.service.evaluate import evaluate_files

GRID = Geometry.from_spacing((4, 5, 6), (2, 1, 1))


def _write(path, stop):
    labels = np.zeros((1, 4, 5, 6), np.uint8)
    labels[0, 1:3, 1:4, 1:stop] = 1
    path.parent.mkdir(exist_ok=True)
    write_segmentation(LabelMap(labels, GRID, (Segment("ball", 1),)), path)


def test_folders_are_paired_by_name_whatever_the_format(tmp_path):
    for name, stop in (("a", 3), ("b", 4)):
        _write(tmp_path / "reference" / f"{name}.nii.gz", 4)
        _write(tmp_path / "prediction" / f"{name}.seg.nrrd", stop)
    scores = evaluate_files(tmp_path / "reference", tmp_path / "prediction", csv=tmp_path / "s.csv")
    found = {case["case"]: case["segments"][0]["dice"] for case in scores["cases"]}
    assert found == {"a": pytest.approx(0.8), "b": 1.0}
    assert scores["summary"][0]["mean"]["dice"] == pytest.approx(0.9)
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 5


def test_a_folder_of_one_file_a_segment_is_one_labelmap(tmp_path):
    for name in ("a", "s/b"):
        (tmp_path / "reference" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "prediction" / name).mkdir(parents=True)
        _write(tmp_path / "reference" / f"{name}.nii.gz", 4)
        _write(tmp_path / "prediction" / name / "segments.json", 4)
    scores = evaluate_files(tmp_path / "reference", tmp_path / "prediction")
    assert {case["case"]: case["segments"][0]["dice"] for case in scores["cases"]} == {"a": 1.0, "s/b": 1.0}
    one = evaluate_files(tmp_path / "prediction" / "a", tmp_path / "reference" / "a.nii.gz")
    assert [case["segments"][0]["dice"] for case in one["cases"]] == [1.0]
    with pytest.raises(InvalidInputError, match="must be a folder of labelmaps"):
        evaluate_files(tmp_path / "reference", tmp_path / "prediction" / "a")


def test_the_report_is_what_is_returned(tmp_path):
    _write(tmp_path / "r" / "a.nii.gz", 4)
    scores = evaluate_files(tmp_path / "r" / "a.nii.gz", tmp_path / "r" / "a.nii.gz", report=tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text()) == scores


def test_what_is_missing_is_named(tmp_path):
    _write(tmp_path / "reference" / "a.nii.gz", 4)
    with pytest.raises(InvalidInputError, match="must be a folder"):
        evaluate_files(tmp_path / "reference", tmp_path / "reference" / "a.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="no prediction for a"):
        evaluate_files(tmp_path / "reference", tmp_path / "empty")
    with pytest.raises(InvalidInputError, match="holds no labelmaps"):
        evaluate_files(tmp_path / "empty", tmp_path / "reference")


def test_other_grids_are_refused(tmp_path):
    _write(tmp_path / "a" / "a.nii.gz", 4)
    small = LabelMap(np.ones((1, 2, 2, 2), np.uint8), Geometry.from_spacing((2, 2, 2), (1, 1, 1)))
    write_segmentation(small, tmp_path / "b.nii.gz")
    with pytest.raises(InvalidInputError, match="resample"):
        evaluate_files(tmp_path / "a" / "a.nii.gz", tmp_path / "b.nii.gz")


def test_folders_are_searched_with_all_below_but_nothing_hidden(tmp_path):
    for folder in (tmp_path / "reference", tmp_path / "prediction"):
        _write(folder / "a.nii.gz", 4)
        _write(folder / "ward" / "a.nii.gz", 4)
        (folder / "._a.nii.gz").write_bytes(b"what macOS leaves on other disks")
    scores = evaluate_files(tmp_path / "reference", tmp_path / "prediction")
    assert [case["case"] for case in scores["cases"]] == ["a", "ward/a"]


def test_which_of_several_of_one_name_is_meant_is_not_guessed(tmp_path):
    _write(tmp_path / "reference" / "a.nii.gz", 4)
    _write(tmp_path / "prediction" / "a.nii.gz", 4)
    _write(tmp_path / "prediction" / "a.seg.nrrd", 3)
    with pytest.raises(InvalidInputError, match=r"a\.nii\.gz, a\.seg\.nrrd; keep one"):
        evaluate_files(tmp_path / "reference", tmp_path / "prediction")
