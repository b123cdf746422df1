"""Searches with the real Optuna: interrupted and gone on with, judged by cases apart, the best recipe written."""

import json
import sys
from dataclasses import replace

import pytest

from DeepSegmentLib.errors import Cancelled, InvalidInputError, MissingPackageError
from DeepSegmentLib.service.training.case_recipe import read_case_recipe, write_case_recipe
from DeepSegmentLib.service.training.train import new_recipe, plan_training
from DeepSegmentLib.service.training.train_request import TrainRequest
from DeepSegmentLib.service.training.watch import Watch
from DeepSegmentLib.service.tuning.tune import TuneRequest, tune_on_project


def _request(project, trials=2, **more):
    return TuneRequest(TrainRequest(project, "search", held_out=0.3, **more), trials, minutes=0.005)


def _small(request, **training):
    """The planned recipe with a small network, as a person would change it."""
    recipe = new_recipe(request.training, Watch())
    part, (stage,) = recipe.part, recipe.part.stages
    network = replace(stage.network, features=(2, 4), kernel_sizes=stage.network.kernel_sizes[:2],
                      strides=stage.network.strides[:2], encoder_blocks=(1, 1), decoder_blocks=(1,))  # fmt: skip
    model = replace(
        recipe.model, parts=(replace(part, stages=(replace(stage, patch_shape=(8, 8, 8), network=network),)),)
    )
    changed = replace(recipe, model=model, training=replace(recipe.training, precision="float32", **training))
    request.folder.mkdir(parents=True)
    write_case_recipe(changed, request.folder / "planned.json")
    return changed


def _tune(request, watch=None):
    begun = []
    return tune_on_project(request, watch or Watch(), begun.append), begun


def test_the_best_recipe_trains_on_all_cases_and_holds_out_the_same(project):
    pytest.importorskip("optuna")
    request = _request(project)
    planned = _small(request)
    report, begun = _tune(request)
    best = read_case_recipe(request.folder / "best.json")
    assert (best.model, best.cases, best.held_out) == (planned.model, planned.cases, planned.held_out)
    assert best.training.iterations == planned.training.iterations
    assert best.training.minutes is None
    assert [each.recipe.training.minutes for each in begun] == [0.005, 0.005]
    for each in begun:  # what chose the recipe is no held-out case
        assert not {*each.recipe.watched} & {*planned.held_out}
        assert not {*each.recipe.cases} & {*each.recipe.held_out}
    assert report["dice"] == max(trial["dice"] for trial in report["trials"] if trial["state"] == "done")
    assert json.loads((request.folder / "trials.json").read_text()) == report["trials"]
    assert not list(request.folder.rglob("checkpoint.pt"))
    again = plan_training(TrainRequest(project, "final", recipe=request.folder / "best.json"), Watch())
    assert again == best


def test_the_first_trial_is_the_planned_recipe(project):
    pytest.importorskip("optuna")
    request = _request(project, trials=1)
    planned = _small(request)
    report, (begun,) = _tune(request)
    assert report["best"] == 0
    assert begun.recipe.training == replace(planned.training, iterations=1_000_000, minutes=0.005)
    assert (begun.recipe.loss, begun.recipe.patches) == (planned.loss, planned.patches)


def test_an_interrupted_search_goes_on_in_the_middle_of_its_trial(project):
    pytest.importorskip("optuna")
    request = _request(project)
    _small(request)
    steps = []

    def stop(step):
        if step.check is not None:
            steps.append(step.iteration)
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        _tune(request, Watch(on_step=stop))
    assert (request.folder / "trial_0000" / "checkpoint.pt").exists()
    done = []
    report, begun = _tune(replace(request, minutes=0.001), Watch(on_start=lambda begin: done.append(begin.done)))
    assert done == [*steps, 0]
    assert [each.recipe.training.minutes for each in begun] == [0.005, 0.001]  # a trial keeps its time
    assert [each.number for each in begun] == [0, 1]
    assert [trial["number"] for trial in report["trials"]] == [0, 1]
    assert "unfinished" not in [trial["state"] for trial in report["trials"]]
    report, begun = _tune(replace(request, trials=3))
    assert [each.number for each in begun] == [2]
    assert _tune(replace(request, trials=3))[1] == []


def test_what_goes_wrong_with_one_trial_is_told_in_the_table(project):
    pytest.importorskip("optuna")
    request = _request(project, trials=1)
    _small(request, learning_rate=1e30, warm_up=0)
    with pytest.raises(InvalidInputError, match=r"no trial of search came to its end: the loss of step .* lower"):
        _tune(request)
    (trial,) = json.loads((request.folder / "trials.json").read_text())
    assert trial["state"] == "failed"


def test_without_optuna_it_is_told_before_anything_is_read(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "optuna.storages.journal", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'DeepSegmentLib\[tune\]'"):
        _tune(_request(project))
    assert not (project / "tunings").exists()


@pytest.mark.parametrize(("trials", "minutes"), [(0, 3.0), (8, 0.0), (8, float("nan")), (20_000, 1.0)])
def test_impossible_requests_are_refused(tmp_path, trials, minutes):
    with pytest.raises(InvalidInputError, match=r"trials must be|minutes of a trial"):
        TuneRequest(TrainRequest(tmp_path, "x"), trials, minutes)


def test_a_trial_that_does_not_fit_into_memory_is_not_begun(project, monkeypatch):
    pytest.importorskip("optuna")
    from DeepSegmentLib.service.tuning import tune
    from DeepSegmentLib.training.planning.machine import Machine

    request = _request(project, trials=1)
    _small(request)
    monkeypatch.setattr(tune, "this_machine", lambda: Machine(1 << 20))
    with pytest.raises(InvalidInputError, match=r"needs 0\.5 GB of memory, 0\.0 GB are free"):
        _tune(request, Watch(on_step=lambda _: pytest.fail("a step was made")))
