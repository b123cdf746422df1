"""Training with volumes without labels, and tuning, through the command."""

import json

import pytest
from ball_projects import ball_case

from DeepSegmentLib.files.projects import create_project
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.project import Collecting, collect_case


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Four approved cases of four patients, and beside them two volumes without labels."""
    folder = tmp_path_factory.mktemp("learning")
    create_project(folder / "balls", "balls", (Channel("T1w", "MR"),))
    (folder / "scans").mkdir()
    for seed in range(4):
        collect_case(folder / "balls", *ball_case(seed), Collecting(status="approved", patient=f"{seed}"))
        write_volume(ball_case(40 + seed // 2)[0], folder / "scans" / f"{seed}.nii.gz")
    return folder / "balls"


def test_volumes_without_labels_are_planned_and_learned_from(project, capsys):
    words = ["train", str(project), "--name", "more", "--unlabelled", str(project.parent / "scans")]
    assert main([*words, "--iterations", "1", "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert "learns from 2 volumes without labels, too" in plan["reasons"]
    assert main([*words, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["unlabelled"] == 2


def test_a_folder_without_volumes_is_told(project, tmp_path, capsys):
    assert main(["train", str(project), "--name", "none", "--unlabelled", str(tmp_path)]) == 2
    assert "has no volume without labels to learn from" in capsys.readouterr().err


def test_a_search_tells_a_table_and_a_recipe_that_train_takes(project, capsys):
    pytest.importorskip("optuna")
    words = ["tune", str(project), "--name", "search", "--trials", "1", "--minutes", "0.001", "--iterations", "1"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "trial 1 of 1" in told.err
    assert "best: trial 0, Dice" in told.out
    recipe = project / "tunings" / "search" / "best.json"
    assert f"its recipe: {recipe}" in told.out
    assert main([*words, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == str(recipe)
    assert main(["train", str(project), "--name", "best", "--recipe", str(recipe), "-q"]) == 0


@pytest.mark.parametrize("words", [["--trials", "0"], ["--minutes", "0"], ["--held-out", ","]])
def test_impossible_searches_are_refused(project, words, capsys):
    assert main(["tune", str(project), "--name", "x", *words]) == 2
    assert not (project / "tunings" / "x").exists()
