"""SIGKILL while models are added and removed; thirty each: Testing/benchmarks/models/catalogue_resilience.py."""

import os

import pytest
from catalogue_kills import Action, faults, is_there, leftovers, run, was_killed
from foreign_models.nnunet import write_trained

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")


def test_a_killed_command_leaves_a_catalogue_that_opens_and_the_next_one_cleans_up(tmp_path, monkeypatch):
    catalogue = tmp_path / "models"
    catalogue.mkdir()
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(catalogue))
    add = Action(("models", "add", str(write_trained(tmp_path / "source")), "--name", "killed"), False, True)
    remove = Action(("models", "remove", "killed"), True, False)
    for moment in (5, 12):
        assert was_killed(run(add, catalogue, kill_at=moment))
        assert not faults(catalogue, "killed")
        assert not is_there("killed")
    assert run(add, catalogue).returncode == 0
    assert is_there("killed")
    assert not leftovers(catalogue)
    assert was_killed(run(remove, catalogue, kill_at=3))
    assert not faults(catalogue, "killed")
