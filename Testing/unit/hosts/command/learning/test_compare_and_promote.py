"""Compare, promote and roll back through the command, with models that were trained a moment before."""

import json

import pytest
from ball_projects import ball_case

from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.projects import create_project
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.catalogue import find_model, list_models
from DeepSegmentLib.service.learning.comparison import read_comparison
from DeepSegmentLib.service.projects.project import Collecting, collect_case

HELD_OUT = ["case_0003", "case_0004"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project of four cases with a training that held two of them out."""
    folder = tmp_path_factory.mktemp("learning") / "balls"
    create_project(folder, "balls", (Channel("T1w", "MR"),))
    for seed in range(4):
        collect_case(folder, *ball_case(seed), Collecting(status="approved", patient=f"Jane Doe {seed}"))
    words = ["--iterations", "1", "--held-out", ",".join(HELD_OUT), "-q"]
    assert main(["train", str(folder), "--name", "balls-net", *words]) == 0
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder of the user's models."""
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def _json(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_training_is_compared_on_what_it_held_out(trained, models, capsys):
    assert main(["compare", str(trained), "balls-net", "--json"]) == 0
    told = _json(capsys)
    folder = trained / "trainings" / "balls-net"
    assert [case["name"] for case in told["cases"]] == HELD_OUT
    assert told["page"] == str(folder / "comparison.html")
    assert read_comparison(folder / "comparison.json").planned == 2
    page = (folder / "comparison.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "Bright ball" in page
    assert f"trained {read_spec(folder / 'model').provenance['trained']}, learned from 2 cases" in page
    for text in (page, (folder / "comparison.json").read_text()):
        assert "Jane" not in text
        assert str(trained) not in text


def test_cases_that_it_learned_from_prove_nothing(trained, models, capsys):
    for words in (["balls-net"], [str(trained / "trainings" / "balls-net" / "model")]):
        assert main(["compare", str(trained), *words, "--cases", "case_0001,case_0003"]) != 0
        assert "learned from case_0001: what it does there proves nothing" in capsys.readouterr().err


def test_another_model_without_cases_is_refused(trained, models, capsys):
    assert main(["compare", str(trained), "brain-mr"]) != 0
    assert "no held-out case" in capsys.readouterr().err


def test_where_no_page_can_be_is_told_before_anything_runs(trained, models, tmp_path, capsys):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    for name, words in (("page.png", ".html"), ("folder.html", "folder"), ("file/page.html", "file")):
        assert main(["compare", str(trained), "none of this name", "--page", str(tmp_path / name)]) != 0
        told = capsys.readouterr().err
        assert words in told
        assert "none of this name" not in told


def test_promoted_put_back_and_brought_forward_again(trained, models, capsys):
    training = str(trained / "trainings" / "balls-net")
    assert main(["promote", training, "--name", "again", "--anyway", "--json"]) == 0
    first = _json(capsys)
    assert first["before"] == ""
    assert main(["promote", training, "--name", "again", "--anyway", "--json"]) == 0
    second = _json(capsys)
    assert (second["before"], find_model("again").version) == (first["version"], second["version"])
    assert main(["promote", "--versions", "again"]) == 0
    assert capsys.readouterr().out.split() == [first["version"]]
    assert main(["promote", "--back", "again"]) == 0
    assert capsys.readouterr().out.startswith(f"again {first['version']} is in use again; {second['version']} is kept")
    assert main(["promote", "--back", "again", "--version", second["version"]]) == 0
    assert find_model("again").version == second["version"]
    made = read_spec(find_model("again").path)
    assert (
        made.provenance["data_sha256"]
        == read_spec(trained / "trainings" / "balls-net" / "model").provenance["data_sha256"]
    )


def test_what_is_not_compared_is_refused_in_plain_words(trained, models, tmp_path, capsys):
    candidate = trained / "trainings" / "balls-net" / "model"  # without its training nobody knows the comparison
    assert main(["promote", str(candidate)]) != 0
    assert "was not compared on held-out cases: compare first" in capsys.readouterr().err
    assert [entry.name for entry in list_models()] == ["brain-mr"]


@pytest.mark.parametrize("words", [[], ["x", "--back", "y"], ["--back", "x", "--versions", "y"]])
def test_one_thing_at_a_time(words, models, capsys):
    assert main(["promote", *words]) != 0
    assert "name a training to promote, or --back MODEL, or --versions MODEL" in capsys.readouterr().err
