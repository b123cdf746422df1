"""A search in a file: opened again it goes on, the hopeless are stopped, and the same seed tries the same."""

import pytest
from model_examples import model_spec

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.service.training.case_recipe import CaseRecipe
from DeepSegmentLib.service.tuning.search_space import planned_choices
from DeepSegmentLib.service.tuning.study import Study
from DeepSegmentLib.training.fitting.settings import TrainSettings

pytest.importorskip("optuna")
FIRST = planned_choices(CaseRecipe(model_spec(), TrainSettings(10)))


def test_the_first_trial_is_the_planned_one_and_an_unfinished_one_comes_again(tmp_path):
    running = Study(tmp_path / "journal.log", 0, FIRST).next_trial(3.0)
    assert running.choices == FIRST
    assert not running.is_hopeless(1, 0.5)
    again = Study(tmp_path / "journal.log", 0, FIRST).next_trial(3.0)
    assert (again.number, again.choices, again.told) == (0, FIRST, {1})
    again.is_hopeless(1, 0.7)  # told already: nothing is told twice
    again.end(0.8)
    study = Study(tmp_path / "journal.log", 0, FIRST)
    assert [(each.state, each.dice) for each in study.trials()] == [("done", 0.8)]
    assert study.next_trial(3.0).number == 1


def test_a_trial_that_is_worse_than_others_were_by_then_is_stopped(tmp_path):
    study = Study(tmp_path / "journal.log", 0, FIRST)
    for _ in range(3):
        good = study.next_trial(3.0)
        assert not good.is_hopeless(1, 0.9)
        good.end(0.95)
    bad = study.next_trial(3.0)
    assert bad.is_hopeless(1, 0.1)
    bad.stop()
    fine = study.next_trial(3.0)
    assert not fine.is_hopeless(1, 0.92)
    fine.fail("the disk is full")
    states = [(each.state, each.dice, each.reason) for each in study.trials()]
    assert states[3:] == [("stopped early", 0.1, ""), ("failed", 0.92, "the disk is full")]


def test_the_same_seed_tries_the_same_however_often_it_is_opened(tmp_path):
    tried = {}
    for name, once in (("once", True), ("often", False)):
        study = Study(tmp_path / name, 7, FIRST)
        tried[name] = []
        for n in range(5):
            study = study if once else Study(tmp_path / name, 7, FIRST)
            trial = study.next_trial(3.0)
            tried[name].append(trial.choices)
            trial.end(n / 10)
    assert tried["once"] == tried["often"]


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / "journal.log").write_bytes(b"{nothing\n{nothing\n")
    with pytest.raises(VolumeFileError, match=r"journal\.log cannot be read or written"):
        Study(tmp_path / "journal.log", 0, FIRST)
