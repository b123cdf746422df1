"""The command `deepsegment project`, as people and scripts call it."""

import json

import numpy as np
import pytest
from project_kills import GRID, faults, finish, leftovers, start, write_pairs

from DeepSegmentLib.data import Volume
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.service.projects.project import case_records, labelled_cases


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, 3)
    return folder


def _many(project, pairs, *more):
    return main(
        ["project", "add", str(project), "--images", str(pairs / "images"), "--labels", str(pairs / "labels"), *more]
    )


def test_one_case_from_the_first_command_to_the_check(tmp_path, pairs, capsys):
    project, scan = tmp_path / "p", pairs / "images" / "scan_0.nii.gz"
    words = ["--channel", "T1w:MR", "--patient", "Doe^John", "--by", "A", "--notes", "n", "--absent", "Tumour"]
    segmentation = pairs / "labels" / "scan_0.seg.nrrd"
    assert main(["project", "add", str(project), str(scan), str(segmentation), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"] == ["case_0001"]
    assert main(["project", "status", str(project), "case_0001", "approved", "--by", "B"]) == 0
    capsys.readouterr()
    assert main(["project", "list", str(project), "--json"]) == 0
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert (case["status"], case["history"][-1]["by"], case["notes"]) == ("approved", "B", "n")
    assert [each["name"] for each in case["drawn"]] == ["Bright", "Tumour"]
    assert main(["project", "check", str(project), "--json", "-q"]) == 0
    kinds = {each["kind"] for each in json.loads(capsys.readouterr().out)["findings"]}
    assert "empty" in kinds
    assert "identifier" not in kinds
    written = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert b"Doe" not in written
    assert b"scan_0" not in written
    assert str(pairs).encode() not in written


def test_many_cases_and_again_only_those_that_are_not_there(tmp_path, pairs, capsys):
    project = tmp_path / "p"
    assert _many(project, pairs, "--json", "-q") == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 3
    assert _many(project, pairs, "--json", "-q") == 0
    assert json.loads(capsys.readouterr().out)["cases"] == []
    assert len(case_records(project)) == 3


@pytest.mark.parametrize(("empty", "drawn"), [("unknown", ["Front"]), ("absent", ["Front", "Back"])])
def test_plain_values_get_names_and_an_empty_one_its_meaning(tmp_path, empty, drawn):
    voxels = np.arange(GRID.shape[0] * 80, dtype=np.int16).reshape(1, *GRID.shape)
    write_volume(Volume(voxels, GRID), tmp_path / "in" / "pt_1_ct.nii.gz")
    write_volume(Volume((voxels > 99).astype(np.uint8), GRID), tmp_path / "in" / "pt_1_seg.nii.gz")
    folders = ["--images", str(tmp_path / "in"), "--labels", str(tmp_path / "in")]
    words = ["--image-suffix", "_ct", "--label-suffix", "_seg", "--values", "1=Front,2=Back", "--empty", empty]
    assert main(["project", "add", str(tmp_path / "p"), *folders, *words, "--status", "approved", "-q"]) == 0
    (case,) = labelled_cases(tmp_path / "p")
    assert list(case.drawn) == drawn
    assert np.array_equal(case.label_map.masks["Front"], voxels[0] > 99)


def test_two_processes_that_make_and_fill_a_project_at_once_lose_nothing(tmp_path, pairs):
    write_pairs(tmp_path / "more", 6)
    for path in (tmp_path / "more").rglob("scan_[012].*"):
        path.unlink()
    both = [start(tmp_path / "p", folder) for folder in (pairs, tmp_path / "more")]
    assert [(finish(process), process.returncode)[1] for process in both] == [0, 0]
    records = case_records(tmp_path / "p")
    assert [record.name for record in records] == [f"case_{n:04d}" for n in range(1, 7)]
    assert len({record.volume_digest for record in records}) == 6
    assert faults(tmp_path / "p") == []


def test_whenever_it_is_killed_the_project_is_sound_and_goes_on(tmp_path, pairs):
    operations = int(finish(start(tmp_path / "whole", pairs)).split()[-1])
    project = tmp_path / "p"
    for moment in np.random.default_rng(0).integers(2, operations, 3):
        finish(start(project, pairs, kill_at=int(moment)))
        assert faults(project) == []
    assert _many(project, pairs, "--status", "approved", "-q") == 0
    assert len(case_records(project)) == 3
    assert faults(project) == []
    assert _many(project, pairs, "-q") == 0
    assert main(["project", "status", str(project), "case_0001", "draft", "-q"]) == 0  # sweeps, as every writer does
    assert leftovers(project) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["add", "{p}", "only-one"], "name a volume and its segmentation"),
        (["list", "{p}"], "is no project"),
        (["status", "{p}", "case_0001", "finished"], "finished"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, capsys, words, told):
    try:
        code = main(["project", *(word.format(p=tmp_path / "p") for word in words)])
    except SystemExit as stop:
        code = stop.code
    assert code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
