"""The options of `deepsegment segment` through its front door, on real files and a real (tiny) model."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from batch_examples import write_head, write_model
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.hosts.command import segment as command
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.hosts.command.terminal import TABLE_SUFFIXES
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.batch.plan_cases import FORMATS
from DeepSegmentLib.service.maps_and_statistics import STATISTICS_SUFFIXES


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory):
    """A model of two channels."""
    torch.manual_seed(0)
    channels = tuple(Channel(name, "MR") for name in ("T1", "T2"))
    network = TINY_UNET.__class__(**{**vars(TINY_UNET), "in_channels": 2})
    spec = model_spec(name="two", channels=channels, network=network)
    folder = tmp_path_factory.mktemp("models") / "two"
    save_model(folder, spec, UNet(network), card="# Random\n")
    return folder


@pytest.fixture
def run(tmp_path, model, monkeypatch):
    """Runs the command in a folder with head.nii.gz; gives its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_head(tmp_path / "head.nii.gz")

    def run(*words, model=model):
        return main(["segment", "--model", str(model), "--device", "cpu", "--overlap", "0", *words])

    return run


def test_constants_are_those_of_the_service():
    assert command._FORMATS == FORMATS
    assert TABLE_SUFFIXES == STATISTICS_SUFFIXES


@pytest.mark.parametrize(
    "words",
    [
        ["head.nii.gz", "out.seg.nrrd"],
        ["-i", "head.nii.gz", "-o", "out.seg.nrrd"],
        ["--output", "out.seg.nrrd", "head.nii.gz"],
        ["--input=head.nii.gz", "--raw", "out.seg.nrrd"],
        ["head.nii.gz", "--tta", "out.seg.nrrd"],
        ["--", "head.nii.gz", "out.seg.nrrd"],
        ["--raw", "--", "-head.nii.gz", "out.seg.nrrd"],
    ],
)
def test_files_are_named_by_place_or_by_option(run, words):
    if "-head.nii.gz" in words:
        Path("head.nii.gz").rename("-head.nii.gz")
    assert run(*words) == 0
    assert Path("out.seg.nrrd").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["head.nii.gz", "out.seg.nrrd", "-i", "head.nii.gz"], "input (-i) given twice"),
        (["head.nii.gz", "out.seg.nrrd", "-i", "a", "-o", "b"], "input (-i) and output (-o) given twice"),
        (["-i", "head.nii.gz", "-i", "b", "-o", "o.nrrd"], "input (-i) given twice: head.nii.gz, b; give one"),
        (["-i", "head.nii.gz", "--outputs", "o.nrrd"], "deepsegment segment: error: unrecognized arguments: --outputs"),
        (["head.nii.gz"], "output (-o) required"),
        ([], "input (-i) and output (-o) required"),
        (["head.nii.gz", "o.seg.nrrd", "--subset", ""], "no segment is named"),
        (["head.nii.gz", "o.seg.nrrd", "--subset", "lef"], "did you mean 'left'"),
        (["head.nii.gz", "o.seg.nrrd", "--save-probabilities", "lef"], "did you mean 'left'"),
        (["head.nii.gz", "o.seg.nrrd", "--roi", "1", "2", "3", "4", "2", "6"], "no extent"),
        (["head.nii.gz", "o.nrrd", "--roi", "1.1", "1.1", "1.1", "1.2", "1.2", "1.2"], "between two of its slices"),
        (["head.nii.gz", "results"], "write / behind it to make a folder"),
        (["head.nii.gz", "results", "--format", "mha"], "write / behind the name of a folder"),
        (["head.nii.gz", "o.seg.nrrd", "--part", "1/2"], "--part is for folders"),
        (["head.nii.gz", "o.seg.nrrd", "--format", "mha"], "does not end with .mha"),
        (["head.nii.gz", "o.seg.nrrd", "--format", "per-segment"], "needs a folder"),
        (["head.nii.gz", "o.seg.nrrd", "--statistics", "head.nii.gz"], "given twice|required|more|unrecognized"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(run, capsys, words, told):
    try:
        code = run(*words)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    heard = capsys.readouterr().err
    assert any(each in heard for each in told.split("|"))
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["head.nii.gz"]


def test_a_format_that_is_none_gets_a_suggestion(run, capsys):
    for words, told in ((["--format", "seg-nrd"], "did you mean 'seg.nrrd'"), (["--format", "png"], "known: seg.nrrd")):
        with pytest.raises(SystemExit):
            run("head.nii.gz", "out", *words)
        assert told in capsys.readouterr().err
    assert run("head.nii.gz", "out/", "--format", ".NII.GZ", "--quiet") == 0
    assert Path("out/head.nii.gz").is_file()


def test_a_subset_is_cut_from_the_whole(run, capsys):
    assert run("head.nii.gz", "all.seg.nrrd") == run("head.nii.gz", "some.seg.nrrd", "--subset", "RIGHT") == 0
    whole, some = read_labelmap(Path("all.seg.nrrd")), read_labelmap(Path("some.seg.nrrd"))
    assert [(each.name, each.value) for each in some.segments] == [("right", 2)]
    np.testing.assert_array_equal(some.layers, np.where(whole.layers == 2, 2, 0))
    assert json.loads(read_provenance(Path("some.seg.nrrd"))["parameters"])["subset"] == ["right"]
    assert "subset" not in read_provenance(Path("all.seg.nrrd"))["parameters"]
    capsys.readouterr()
    for words, skipped in (("--subset Right", True), ("--subset left", False), ("--subset left,RIGHT", False)):
        assert run("head.nii.gz", "some.seg.nrrd", "--skip-existing", "--json", *words.split()) == 0
        report = json.loads(capsys.readouterr().out)
        assert ("skipped" in report) == skipped
    assert report["volumes_ml"].keys() == {"left", "right"}
    assert "subset" not in report["parameters"]  # all of them is no subset
    assert run("head.nii.gz", "all.seg.nrrd", "--skip-existing", "--json", "--subset", "left", "--subset", "right") == 0
    assert "skipped" in json.loads(capsys.readouterr().out)


def test_probabilities_swallow_no_places(run, capsys):
    assert run("--save-probabilities", "Left", "head.nii.gz", "one.seg.nrrd", "--json") == 0
    assert "probability of left" in json.loads(capsys.readouterr().out)["outputs"]
    assert run("--save-probabilities", "all", "head.nii.gz", "two.seg.nrrd", "--save-uncertainty") == 0
    maps = [read_volume(Path(f"two_{name}_probability.nii.gz")).voxels for name in ("left", "right")]
    assert ((sum(maps) >= 0) & (sum(maps) <= 1.0001)).all()
    np.testing.assert_array_equal(maps[0], read_volume(Path("one_left_probability.nii.gz")).voxels)
    assert run("--save-probabilities", "all", "head.nii.gz", "three.seg.nrrd", "--subset", "left") == 0
    assert sorted(path.name for path in Path.cwd().glob("three*")) == [
        "three.seg.nrrd",
        "three_left_probability.nii.gz",
    ]
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith(".")]


def _table(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_statistics_say_what_the_report_says(run, capsys):
    assert run("--statistics", "head.nii.gz", "out.seg.nrrd", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    rows = _table(Path("out_statistics.csv"))
    assert [(row["case"], row["segment"]) for row in rows] == [("head", "left"), ("head", "right")]
    labels, voxels = read_labelmap(Path("out.seg.nrrd")), read_volume(Path("head.nii.gz")).voxels[0]
    for row, segment in zip(rows, labels.segments, strict=True):
        assert float(row["volume [ml]"]) == pytest.approx(labels.volumes_ml()[segment.name], rel=1e-6)
        assert float(row["channel 1 mean"]) == pytest.approx(voxels[labels.mask(segment)].mean(), rel=1e-4)
    assert report["outputs"]["statistics"] == "out_statistics.csv"
    assert run("head.nii.gz", "out.seg.nrrd", "--skip-existing", "--statistics", "table.json", "--json") == 0
    assert "skipped" in json.loads(capsys.readouterr().out)
    assert json.loads(Path("table.json").read_text()) == [{"case": "head"} | row for row in report["statistics"]]
    Path("mine.csv").write_text("my,work\n")
    assert run("head.nii.gz", "out.seg.nrrd", "--skip-existing", "--statistics", "mine.csv") == 2
    assert run("head.nii.gz", "new.seg.nrrd", "--skip-existing", "--statistics", "mine.csv") == 2
    assert Path("mine.csv").read_text() == "my,work\n"


def test_one_file_per_segment(run, capsys):
    assert run("head.nii.gz", "whole.seg.nrrd") == 0
    assert run("head.nii.gz", "out", "--format", "per-segment") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["left.nii.gz", "right.nii.gz", "segments.json"]
    whole = read_labelmap(Path("whole.seg.nrrd"))
    np.testing.assert_array_equal(read_labelmap(Path("out")).layers, whole.layers)
    capsys.readouterr()
    assert run("head.nii.gz", "out", "--format", "per-segment") == 2
    assert "exists" in capsys.readouterr().err
    assert run("head.nii.gz", "out", "--format", "per-segment", "--skip-existing", "--json") == 0
    assert "skipped" in json.loads(capsys.readouterr().out)
    Path("out/left.nii.gz").unlink()
    assert run("head.nii.gz", "out", "--format", "per-segment", "--skip-existing", "--json") == 0
    assert "skipped" not in json.loads(capsys.readouterr().out)
    assert run("head.nii.gz", "out", "--format", "per-segment", "--replace", "--subset", "left") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["left.nii.gz", "segments.json"]
    Path("strange").mkdir()
    Path("strange/left.nii.gz").write_bytes(b"somebody's")
    capsys.readouterr()
    assert run("head.nii.gz", "strange", "--format", "per-segment", "--skip-existing") == 2
    assert "left.nii.gz exists and is from no run" in capsys.readouterr().err
    for prediction in ("out", "out/segments.json"):
        capsys.readouterr()
        assert main(["evaluate", "whole.seg.nrrd", prediction, "--json"]) == 0
        scores = json.loads(capsys.readouterr().out)
        assert {each["name"]: each["dice"] for each in scores["cases"][0]["segments"]}["left"] == 1
    assert main(["export", "head.nii.gz", "out", "--to", "SEG-NRRD", "-o", "again.seg.nrrd", "-q"]) == 0
    assert [each.name for each in read_labelmap(Path("again.seg.nrrd")).segments] == ["left"]


@pytest.mark.parametrize("target", ["there", "new/"])
def test_a_single_file_goes_into_a_folder(run, target):
    Path("there").mkdir()
    assert run("head.nii.gz", target) == 0
    assert Path(target, "head.seg.nrrd").is_file()


def test_quiet_and_verbose(run, capsys):
    assert run("head.nii.gz", "a.seg.nrrd", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert run("head.nii.gz", "a.seg.nrrd", "-q") == 2
    assert "exists" in capsys.readouterr().err
    assert run("head.nii.gz", "b.seg.nrrd", "--verbose", "--json") == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    for word in ("s  read", "s  predict", "device: cpu", "seconds: read", "memory: estimated", "11 x 10 x 9 voxels"):
        assert word in told.err
    assert main(["evaluate", "a.seg.nrrd", "b.seg.nrrd", "-v", "--json"]) == 0
    assert "reference: a.seg.nrrd" in capsys.readouterr().err


def test_of_many_segments_only_those_found_have_a_line():
    volumes = {f"rib {n}": 0.0 for n in range(30)} | {"liver": 1500.0}
    assert command._volumes(volumes) == "segment  ml\nliver    1500.0\nnot found: 30 other segments"
    assert "rib 3" in command._volumes(dict(list(volumes.items())[:5]))


def test_channels_beside_the_first_are_found(run, tmp_path, two_channels, capsys):
    write_head(tmp_path / "mr_0000.nii.gz")
    assert run("mr_0000.nii.gz", "out/", model=two_channels) == 2
    assert (
        "needs 2 channels (T1, T2), the volume has 1; give the others by --channel, in this order"
        in capsys.readouterr().err
    )
    write_head(tmp_path / "mr_0001.nii.gz", seed=1)
    assert run("mr_0000.nii.gz", "out/", "--json", model=two_channels) == 0
    assert json.loads(capsys.readouterr().out)["input"]["channels"] == 2
    assert run("mr_0000.nii.gz", "named.seg.nrrd", "--channel", "mr_0001.nii.gz", model=two_channels) == 0
    assert run("mr_0000.nii.gz", "out/", "--skip-existing", "--json", model=two_channels) == 0
    found, named = read_labelmap(Path("out/mr.seg.nrrd")), read_labelmap(Path("named.seg.nrrd"))
    np.testing.assert_array_equal(found.layers, named.layers)


def test_a_folder_with_numbered_channels_in_parts(run, tmp_path, two_channels, capsys):
    for name in ("a_0000", "a_0001", "b_0000", "c_0000", "c_0001", "c_0002", "d_0000", "d_0001", "e_0001"):
        write_head(tmp_path / "in" / f"{name}.nii.gz", seed=int(name[-1]))
    words = ["in", "out", "--json", "--statistics", "--format", "per-segment", "--subset", "left"]
    reports = []
    for part in ("1/2", "2/2"):
        assert run(*words, "--part", part, model=two_channels) == 3
        told = capsys.readouterr()
        reports += json.loads(told.out)
    assert [report["case"] for report in reports] == ["a", "c", "e", "b", "d"]
    errors = {report["case"]: report.get("error", "") for report in reports}
    assert errors["a"] == errors["d"] == ""
    assert "model two needs 2 channels (T1, T2), here is 1, up to b_0000.nii.gz; add the others" in errors["b"]
    assert "here are 3, up to c_0002.nii.gz; move those" in errors["c"]
    assert "channel 0000 is missing beside e_0001.nii.gz" in errors["e"]
    files = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if not path.name.startswith(".")}
    tables = {f"deepsegment-{what}-{n}-of-2.csv" for what in ("batch", "statistics") for n in (1, 2)}
    results = {f"{case}/{file}" for case in "ad" for file in ("left.nii.gz", "segments.json")}
    assert files == {"a", "d"} | tables | results
    assert [(row["case"], row["segment"]) for row in _table(Path("out/deepsegment-statistics-1-of-2.csv"))] == [
        ("a", "left")
    ]
    # Again, as a whole: what the parts made is complete, and in the table of all.
    assert run(*words, "--skip-existing", model=two_channels) == 3
    again = json.loads(capsys.readouterr().out)
    assert {report["case"] for report in again if "skipped" in report} == {"a", "d"}
    rows = _table(Path("out/deepsegment-statistics.csv"))
    assert [row["case"] for row in rows] == ["a", "d"]
    assert all(float(row["channel 2 mean"]) for row in rows)


def test_quiet_folders_tell_failures_only(run, tmp_path, capsys):
    write_head(tmp_path / "in" / "good.nii.gz")
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"cut")
    assert run("-i", "in", "-o", "out", "--quiet") == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split("  ")[1] for line in told.err.splitlines()] == ["bad.nii.gz"]


def test_a_batch_without_a_case_that_is_well_is_gone_on_with(run, capsys):
    Path("in").mkdir()
    Path("in/head.nii.gz").write_bytes(b"nothing")
    assert run("in", "out", "--statistics") == 3
    assert _table(Path("out/deepsegment-statistics.csv")) == []
    write_head(Path("in/head.nii.gz"))
    assert run("in", "out", "--statistics", "--skip-existing") == 0
    assert [row["segment"] for row in _table(Path("out/deepsegment-statistics.csv"))] == ["left", "right"]
    assert "1 of 1 done" in capsys.readouterr().out
