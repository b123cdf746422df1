"""The command line through its front door: real files, a real (tiny) model, exit codes."""

import json

import numpy as np
import pytest
import torch
from dicom_series import write_slices
from model_examples import TINY_UNET, model_spec
from PIL import Image

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance
from DeepSegmentLib.files.volumes import read_volume, write_volume
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.architectures.unet import UNet


@pytest.fixture
def model(tmp_path_factory, monkeypatch):
    """A model in an otherwise empty user catalogue."""
    folder = tmp_path_factory.mktemp("catalogue")
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(folder / "models"))
    torch.manual_seed(0)
    spec = model_spec()
    save_model(folder / spec.name, spec, UNet(TINY_UNET), card="# A tiny model\n")
    assert main(["models", "add", str(folder / spec.name)]) == 0
    return spec


@pytest.fixture
def head(tmp_path, model):
    """A volume file with as many channels as the model has."""
    voxels = np.random.default_rng(0).normal(size=(len(model.channels), 9, 10, 11)).astype(np.float32)
    path = tmp_path / "head.nrrd"
    write_volume(Volume(voxels, Geometry.from_spacing((9, 10, 11), (3, 1, 1))), path)
    return path


def test_segment_writes_everything_it_is_asked_for(tmp_path, model, head, capsys):
    first = model.segments[0].name
    arguments = ["segment", str(head), str(tmp_path / "out.seg.nrrd"), "--model", model.name, "--device", "cpu"]
    arguments += ["--report", str(tmp_path / "out.json"), "--preview", str(tmp_path / "out.png"), "--tta", "--json"]
    capsys.readouterr()
    assert main([*arguments, "--save-probabilities", first, "--save-uncertainty"]) == 0
    found = read_labelmap(tmp_path / "out.seg.nrrd")
    assert [segment.name for segment in found.segments] == [segment.name for segment in model.segments]
    assert found.geometry.is_close(read_volume(head).geometry)
    report = json.loads((tmp_path / "out.json").read_text())
    assert json.loads(capsys.readouterr().out) == report
    assert report["model"]["name"] == model.name
    assert report["volumes_ml"] == pytest.approx(found.volumes_ml(), abs=1e-3)
    assert read_provenance(tmp_path / "out.seg.nrrd")["model_sha256"] == report["model"]["sha256"]
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.width > 400
    for name in (f"probability of {first}", "uncertainty"):
        voxels = read_volume(tmp_path / report["outputs"][name]).voxels
        assert 0 <= voxels.min() <= voxels.max() <= 1


def test_the_same_call_gives_the_same_labels(tmp_path, model, head):
    for name in ("a.nii.gz", "b.nii.gz"):
        assert main(["segment", str(head), str(tmp_path / name), "--model", model.name]) == 0
    a, b = read_labelmap(tmp_path / "a.nii.gz"), read_labelmap(tmp_path / "b.nii.gz")
    assert np.array_equal(a.layers, b.layers)


def test_a_region_of_interest_in_ras(tmp_path, model, head):
    region = ["2", "2", "3", "6", "6", "15"]
    command = ["segment", str(head), str(tmp_path / "a.nii.gz"), "--model", model.name, "--roi", *region]
    assert main(command) == 0
    found = np.argwhere(read_labelmap(tmp_path / "a.nii.gz").layers[0])
    assert len(found)
    assert (found >= [1, 2, 2]).all()
    assert (found <= [5, 6, 6]).all()


@pytest.mark.parametrize(
    ("source", "target", "options", "code", "message"),
    [
        ("nothing.nrrd", "out.seg.nrrd", [], 3, "does not exist"),
        ("head.nrrd", "out.seg.nrrd", ["--format", "mha"], 2, "does not end with .mha"),
        ("head.nrrd", "head.nrrd/out.seg.nrrd", [], 3, "would have to be a folder"),
        ("head.nrrd", "nowhere/" + "a" * 250 + ".seg.nrrd", [], 3, "too long"),
        ("head.nrrd", "out.txt", [], 3, "unknown suffix"),
        ("head.nrrd", "out.seg.nrrd", ["--model", "no-such-model"], 4, "no-such-model"),
        ("head.nrrd", "out.seg.nrrd", ["--device", "tpu"], 2, "unknown device"),
        ("head.nrrd", "out.seg.nrrd", ["--device", "cuda:9"], 6, "cuda:9"),
        ("head.nrrd", "out.seg.nrrd", ["--overlap", "1"], 2, "overlap"),
        ("head.nrrd", "out.seg.nrrd", ["--save-probabilities", "Liver"], 2, "Liver"),
        ("head.nrrd", "out.seg.nrrd", ["--roi", "900", "900", "900", "901", "901", "901"], 2, "outside"),
        ("head.nrrd", "out.seg.nrrd", ["--report", "head.nrrd"], 2, "is an input"),
        ("empty", "out", [], 2, "neither DICOM"),
    ],
)
def test_errors_have_a_code_and_say_what_is_wrong(
    tmp_path, model, head, capsys, monkeypatch, source, target, options, code, message
):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    capsys.readouterr()
    named = options if "--model" in options else [*options, "--model", model.name]
    assert main(["segment", source, target, *named]) == code
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_models_are_listed_shown_verified_and_removed(model, capsys):
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    assert model.name in capsys.readouterr().out
    assert main(["models", "list", "--json"]) == 0
    assert model.name in [entry["name"] for entry in json.loads(capsys.readouterr().out)]
    assert main(["models", "info", model.name]) == 0
    shown = capsys.readouterr().out
    assert model.segments[0].name in shown
    assert "A tiny model" in shown
    assert main(["models", "info", model.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["name"] == model.name
    assert main(["models", "verify", model.name]) == 0
    assert main(["models", "remove", model.name]) == 0
    assert main(["models", "info", model.name]) == 4


def test_evaluate_scores_a_segmentation_against_itself(tmp_path, model, head, capsys):
    main(["segment", str(head), str(tmp_path / "a.seg.nrrd"), "--model", model.name])
    capsys.readouterr()
    files = [str(tmp_path / "a.seg.nrrd")] * 2
    assert main(["evaluate", *files, "--csv", str(tmp_path / "s.csv"), "--report", str(tmp_path / "s.json")]) == 0
    assert "1.000" in capsys.readouterr().out
    scores = json.loads((tmp_path / "s.json").read_text())
    assert all(segment["dice"] == 1 for segment in scores["cases"][0]["segments"])
    assert (tmp_path / "s.csv").read_text().startswith('"row","case","segment"')


def test_evaluate_refuses_a_missing_prediction(tmp_path, capsys):
    for name in ("reference", "prediction"):
        (tmp_path / name).mkdir()
    ones = Volume(np.ones((1, 2, 2, 2), np.uint8), Geometry.from_spacing((2, 2, 2), (1, 1, 1)))
    write_volume(ones, tmp_path / "reference" / "case.nii.gz")
    assert main(["evaluate", str(tmp_path / "reference"), str(tmp_path / "prediction")]) == 2
    assert "no prediction for case" in capsys.readouterr().err


def test_diagnose_prints_a_report(capsys):
    assert main(["diagnose"]) == 0
    assert "torch" in capsys.readouterr().out


def test_help_is_there_for_every_command(capsys):
    for command in (
        [],
        ["segment"],
        ["models"],
        ["models", "add"],
        ["evaluate"],
        ["train-synthetic"],
        ["project"],
        ["dataset"],
        ["dataset", "check"],
        ["train"],
        ["compare"],
        ["diagnose"],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*command, "--help"])
        assert stop.value.code == 0
        assert "usage: deepsegment" in capsys.readouterr().out


def test_a_series_is_meant_in_any_case_and_slips_get_a_suggestion(tmp_path, capsys):
    (tmp_path / "scan").mkdir()
    write_slices(tmp_path / "scan", SeriesDescription="T1 axial")
    words = ["segment", str(tmp_path / "scan"), str(tmp_path / "a.seg.nrrd"), "--series"]
    assert main([*words, "T1 axal"]) == 3
    assert "holds no series T1 axal; did you mean 'T1 axial'? it holds:" in capsys.readouterr().err


def test_a_list_in_a_message_has_lines_of_its_own(tmp_path, capsys):
    (tmp_path / "scan").mkdir()
    write_slices(tmp_path / "scan")
    assert main(["segment", str(tmp_path / "scan"), str(tmp_path / "a.seg.nrrd"), "--series", "9"]) == 3
    assert "holds no series 9; it holds:\n  number 3" in capsys.readouterr().err
    assert main(["segment", str(tmp_path / "a\nb.nii.gz"), str(tmp_path / "a.seg.nrrd")]) == 3
    assert "a\\nb.nii.gz" in capsys.readouterr().err
