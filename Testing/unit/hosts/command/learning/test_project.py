"""The command `deepsegment project`, as people and scripts call it."""

import json

import numpy as np
import pytest
from killed_command import finish
from project_kills import GRID, faults, leftovers, start, write_pairs

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


def test_of_a_partial_truth_only_what_was_drawn_is_known(tmp_path, capsys):
    voxels = np.arange(GRID.shape[0] * 80, dtype=np.int16).reshape(1, *GRID.shape)
    values = np.digitize(voxels, [100, 200, 300]).astype(np.uint8)
    scan, truth = tmp_path / "scan.nii.gz", tmp_path / "truth.nii.gz"
    write_volume(Volume(voxels, GRID), scan)
    write_volume(Volume(values, GRID), truth)
    named = ["--values", "1=Front,2=Back,3=Top"]
    words = ["project", "add", str(tmp_path / "p"), str(scan), str(truth), "--status", "approved", *named, "-q"]
    assert main([*words, "--drawn", "Back, Top", "--absent", "Cyst"]) == 0
    (case,) = labelled_cases(tmp_path / "p")
    assert case.drawn == {"Back": (), "Top": (), "Cyst": ()}
    assert np.array_equal(case.label_map.masks["Back"], values[0] == 2)
    for wrong, told in (
        (["--drawn", "Side"], "no segment 'Side'"),
        (["--absent", "Top"], "'Top' is said to be absent"),
    ):
        assert main([*words, *wrong]) == 2
        assert told in capsys.readouterr().err
    (case,) = labelled_cases(tmp_path / "p")
    assert case.drawn == {"Back": (), "Top": (), "Cyst": ()}
    assert case_records(tmp_path / "p")[0].revision == 1


def test_after_a_slip_the_same_command_goes_on(tmp_path, pairs, capsys):
    words = ["project", "add", str(tmp_path / "p"), str(pairs / "images" / "scan_0.nii.gz")]
    channel = ["--channel", "T1w:MR", "-q"]
    assert main([*words, str(pairs / "no labels.nii.gz"), *channel]) != 0
    assert "no labels.nii.gz" in capsys.readouterr().err
    labels = str(pairs / "labels" / "scan_0.seg.nrrd")
    assert main([*words, labels, *channel]) == 0
    assert len(case_records(tmp_path / "p")) == 1
    assert main([*words, labels, "--channel", "CT:CT"]) == 2
    assert "the channels of the project are T1w:MR" in capsys.readouterr().err


def test_what_a_stranger_wrote_into_a_record_is_printed_harmlessly(tmp_path, pairs, capsys):
    project = tmp_path / "p"
    assert _many(project, pairs, "-q") == 0
    good, bad = (project / "cases" / name / "case.json" for name in ("case_0001", "case_0002"))
    good.write_text(json.dumps(json.loads(good.read_text()) | {"notes": "\x1b[2J\nall gone"}))
    bad.write_text(json.dumps(json.loads(bad.read_text()) | {"labels": "\x1b[2J\nall gone"}))
    for action in (["list"], ["check"]):
        capsys.readouterr()
        assert main(["project", action[0], str(project)]) == 0
        told = capsys.readouterr()
        assert "\x1b" not in told.out + told.err
        assert "case_0002" in told.out
        assert not [line for line in told.out.splitlines() if line.startswith("all gone")]
    assert main(["project", "list", str(project), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert ([each["name"] for each in report["cases"]], len(report["damaged"])) == (["case_0001", "case_0003"], 1)


def test_all_cases_get_a_status_and_none_where_one_is_not_there(tmp_path, pairs, capsys):
    project = tmp_path / "p"
    assert _many(project, pairs, "-q") == 0
    assert main(["project", "status", str(project), "case_0001", "case_0009", "approved", "-q"]) != 0
    assert "case_0009" in capsys.readouterr().err
    assert [record.status for record in case_records(project)] == ["draft"] * 3
    assert main(["project", "status", str(project), "all", "reviewed", "-q"]) == 0
    assert [record.status for record in case_records(project)] == ["reviewed"] * 3
