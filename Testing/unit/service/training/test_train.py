"""Training from a project: planned, resumed exactly, repeated exactly, tuned from a model, told in files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ball_projects import BALLS, ball_case, small_recipe

from DeepSegmentLib.errors import Cancelled, InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.models import load_model, read_spec
from DeepSegmentLib.files.models.folder import members_of
from DeepSegmentLib.networks.runtime.building import weights_of
from DeepSegmentLib.segmentation.predict import predict
from DeepSegmentLib.service.projects.project import case_records, set_status
from DeepSegmentLib.service.training.case_recipe import read_case_recipe, write_case_recipe
from DeepSegmentLib.service.training.progress.progress_file import read_progress
from DeepSegmentLib.service.training.train import learned_from, plan_training, train_on_project
from DeepSegmentLib.service.training.train_request import TrainRequest
from DeepSegmentLib.service.training.watch import Watch
from DeepSegmentLib.training.fine_tuning.settings import FineTuning


def _request(project, name="balls", **more):
    return TrainRequest(project, name, **{"iterations": 6, "precision": "float32", **more})


def _weights(folder):
    ((_, _, member),) = members_of(folder, "cpu")
    return weights_of(member.module)


def _train(project, name="balls", watch=None, **more):
    request = _request(project, name, **more)
    small_recipe(request)
    return train_on_project(request, watch or Watch())


def test_a_training_leaves_a_model_that_finds_what_it_learned(project):
    report = _train(project, iterations=150)
    spec = read_spec(project / "trainings" / "balls" / "model")
    assert [segment.name for segment in spec.segments] == [segment.name for segment in BALLS]
    model = load_model(project / "trainings" / "balls" / "model", "cpu")
    volume, labels = ball_case(99)
    found = predict(volume, spec, model.networks).label_map
    for segment in BALLS:
        truth, ours = labels.layers[0] == segment.value, found.layers[0] == segment.value
        assert 2 * (truth & ours).sum() / (truth.sum() + ours.sum()) > 0.8, segment.name
    assert report["cases"] == 4
    assert report["patients"] == 2
    assert spec.provenance["cases"] == "4"
    assert len(spec.provenance["case_digests"].split(",")) == 4
    assert "patient" not in json.dumps(dict(spec.provenance)).replace("patients", "")


def test_no_patient_is_held_out_and_learned_from(project):
    recipe = plan_training(_request(project), Watch())
    patients = {record.name: record.patient for record in case_records(project)}
    out = {patients[name] for name in recipe.held_out}
    assert len(out) == 1
    assert {name for name, patient in patients.items() if patient in out} == set(recipe.held_out)


def test_what_the_parent_learned_from_is_not_held_out_and_what_was_held_out_stays_so(project):
    first = small_recipe(_request(project, "old", held_out=0.34))
    train_on_project(_request(project, "old", held_out=0.34), Watch())
    parent = str(project / "trainings" / "old" / "model")
    again = plan_training(_request(project, "new", parent=parent, held_out=0.34, seed=9), Watch())
    assert again.held_out == first.held_out
    afresh = plan_training(_request(project, "other", held_out=0.34, seed=9), Watch())
    assert afresh.held_out == first.held_out


def test_a_stopped_training_goes_on_as_if_never_stopped(project):
    _train(project, "whole")

    def stop(step):
        if step.iteration == 3:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        _train(project, "parts", Watch(on_step=stop))
    steps = []
    train_on_project(_request(project, "parts"), Watch(on_step=lambda step: steps.append(step.iteration)))
    assert steps == [4, 5, 6]
    whole, parts = (_weights(project / "trainings" / name / "model") for name in ("whole", "parts"))
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_the_same_seed_gives_the_same_model_and_another_one_another(project):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        _train(project, name, seed=seed, held_out=0.0)
    a, b, c = (_weights(project / "trainings" / name / "model") for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not all(np.array_equal(a[name], c[name]) for name in a)


def test_cases_that_are_approved_meanwhile_belong_to_the_next_training(project):
    set_status(project, ["case_0006"], "draft")
    _train(project, "whole")

    def stop(step):
        if step.iteration == 3:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        _train(project, "parts", Watch(on_step=stop))
    set_status(project, ["case_0006"], "approved")
    train_on_project(_request(project, "parts"), Watch())
    whole, parts = (_weights(project / "trainings" / name / "model") for name in ("whole", "parts"))
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_a_finished_training_is_not_made_again(project):
    _train(project)
    report = train_on_project(_request(project), Watch(on_step=lambda _: pytest.fail("a step was made")))
    assert report["done"]


def test_what_is_told_can_be_drawn(project):
    _train(project, iterations=25)
    lines = read_progress(project / "trainings" / "balls" / "progress.jsonl")
    assert [line.iteration for line in lines] == [10, 20, 25]
    assert set(lines[-1].dice) == {segment.name for segment in BALLS}
    assert all(np.isfinite(line.loss) and line.seconds > 0 for line in lines)


def test_lines_of_steps_that_were_lost_are_forgotten(project):
    folder = project / "trainings" / "balls"

    def stop(step):
        if step.iteration == 12:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        _train(project, iterations=25, watch=Watch(on_step=stop))
    with (folder / "progress.jsonl").open("a") as file:
        file.write('{"iteration": 20, "loss": 0.1, "rate": 0.1, "seconds": 1, "dice": {}}\n{"iteration": 2')
    train_on_project(_request(project, iterations=25), Watch())
    assert [line.iteration for line in read_progress(folder / "progress.jsonl")] == [10, 20, 25]


@pytest.mark.parametrize("method", ["full", "decoder", "heads", "low_rank"])
def test_a_model_is_tuned_and_stays_an_ordinary_one(project, method):
    _train(project, "old", held_out=0.0)
    parent = project / "trainings" / "old" / "model"
    request = _request(project, "new", parent=str(parent), held_out=0.0, iterations=3)
    recipe = replace(small_recipe(request), tuning=FineTuning(method))
    write_case_recipe(recipe, request.folder / "recipe.json")
    train_on_project(request, Watch())
    before, after = _weights(parent), _weights(request.folder / "model")
    assert before.keys() == after.keys()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert any(".head." in name for name in changed)
    assert any(name.startswith("encoder.stages.0.0.0") for name in changed) == (method in ("full", "low_rank"))
    assert read_spec(request.folder / "model").provenance["parent_sha256"] == read_spec(parent).weights_sha256


def test_a_parent_that_was_exchanged_is_refused(project):
    _train(project, "old", held_out=0.0)
    parent = str(project / "trainings" / "old" / "model")
    request = _request(project, "new", parent=parent, held_out=0.0)
    recipe = small_recipe(request)
    other = replace(recipe, parent=replace(recipe.parent, sha256="0" * 64))
    write_case_recipe(other, request.folder / "recipe.json")
    with pytest.raises(ModelError, match="another model by now"):
        train_on_project(request, Watch())


def test_what_the_parent_learned_from_is_replayed_and_new_cases_come_first(project):
    set_status(project, ["case_0005", "case_0006"], "draft")
    _train(project, "old", held_out=0.0)
    set_status(project, ["case_0005", "case_0006"], "approved")
    request = _request(project, "new", parent=str(project / "trainings" / "old" / "model"), held_out=0.0)
    recipe = small_recipe(request)
    from DeepSegmentLib.service.training.starting_point import samples

    records = learned_from(request)
    assert recipe.cases == tuple(record.name for record in records)
    source = samples(recipe, [project / record.name for record in records], records)
    names = [source._folders[source._case_at(n)].name for n in range(8)]
    assert [name in ("case_0005", "case_0006") for name in names].count(True) == 4
    none = samples(replace(recipe, replay=0.0), [project / record.name for record in records], records)
    assert {none._folders[none._case_at(n)].name for n in range(8)} == {"case_0005", "case_0006"}


def test_a_damaged_prepared_case_is_made_again(project):
    _train(project, "one")
    path = next((project / "prepared").glob("case_0001-*")) / "labels.npy"
    path.write_bytes(path.read_bytes()[:-5] + b"\xff" * 5)
    _train(project, "two")
    first, second = (_weights(project / "trainings" / name / "model") for name in ("one", "two"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"statuses": ("draft",)}, InvalidInputError, "no case that is draft; it has case_0001"),
        ({"held_out": ("case_0009",)}, InvalidInputError, "no such case to hold out: case_0009"),
        ({"held_out": ("case_0001",)}, InvalidInputError, "the patient of case_0001 is held out and learned from"),
        ({"parent": "no such model"}, ModelError, "no such model"),
    ],
)
def test_what_cannot_be_trained_is_told_before(project, more, error, words):
    with pytest.raises(error, match=words):
        plan_training(_request(project, **more), Watch())


@pytest.mark.parametrize("wrong", [{"held_out": 0.9}, {"minutes": 3.0}, {"name": "../x"}])
def test_impossible_requests_are_refused(tmp_path, wrong):
    with pytest.raises(InvalidInputError):
        _request(tmp_path, **wrong)


def test_a_folder_that_is_no_project_is_told(tmp_path):
    with pytest.raises(VolumeFileError, match="no project"):
        plan_training(_request(tmp_path), Watch())


def test_recipes_are_the_same_again(project):
    recipe = plan_training(_request(project), Watch())
    assert read_case_recipe(project / "trainings" / "balls" / "recipe.json") == recipe
