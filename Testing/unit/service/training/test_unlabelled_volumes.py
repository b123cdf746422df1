"""Trainings that learn from volumes without labels, too: which these are, and that nothing of a held-out case is."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ball_projects import ball_case

from DeepSegmentLib.errors import Cancelled, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.models.folder import members_of
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.networks.runtime.building import weights_of
from DeepSegmentLib.service.projects.project import Collecting, collect_case
from DeepSegmentLib.service.training.case_recipe import write_case_recipe
from DeepSegmentLib.service.training.train import plan_training, train_on_project
from DeepSegmentLib.service.training.train_request import TrainRequest
from DeepSegmentLib.service.training.watch import Watch


@pytest.fixture
def scans(tmp_path):
    """Two volumes that nobody drew in, one of a held-out case, one that is there twice, and a damaged one."""
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    for name, seed in (("Jane Doe", 50), ("more/b", 51), ("c", 51), ("held out", 5)):
        write_volume(ball_case(seed)[0], folder / f"{name}.nii.gz")
    (folder / "damaged.nii.gz").write_bytes(b"\x1f\x8bnothing")
    return folder


def _request(project, name="balls", **more):
    return TrainRequest(project, name, **{"iterations": 4, "precision": "float32", "held_out": 0.3, **more})


def _train(project, name, watch=None, weight=1.0, **more):
    request = _request(project, name, **more)
    recipe = plan_training(request, Watch())
    part, (stage,) = recipe.part, recipe.part.stages
    if recipe.parent is None:
        network = replace(stage.network, features=(4, 8), kernel_sizes=stage.network.kernel_sizes[:2],
                          strides=stage.network.strides[:2], encoder_blocks=(1, 1), decoder_blocks=(1,))  # fmt: skip
        stage = replace(stage, patch_shape=(16, 16, 16), network=network)
    model = replace(recipe.model, parts=(replace(part, stages=(stage,)),))
    if recipe.unlabelled:
        recipe = replace(recipe, unlabelled=replace(recipe.unlabelled, weight=weight, threshold=0.5, ramp_up=0.0))
    recipe = replace(recipe, model=model, training=replace(recipe.training, batch_size=1, learning_rate=0.01))
    write_case_recipe(recipe, request.folder / "recipe.json")
    train_on_project(request, watch or Watch())
    return _weights(request.folder / "model")


def _weights(folder):
    ((_, _, member),) = members_of(folder, "cpu")
    return weights_of(member.module)


def _same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_volumes_of_cases_copies_and_damaged_ones_are_left_out_and_told(project, scans):
    recipe = plan_training(_request(project, unlabelled=scans), Watch())
    volumes = recipe.unlabelled.volumes
    assert [volume.path for volume in volumes] in (
        ["Jane Doe.nii.gz", "c.nii.gz"],
        ["Jane Doe.nii.gz", "more/b.nii.gz"],
    )
    told = "\n".join(recipe.reasons)
    assert "held out.nii.gz: is case_0006 of the project" in told
    assert "is the same volume as" in told
    assert "damaged.nii.gz" in told
    assert "learns from 2 volumes without labels, too" in told


def test_they_are_learned_from_and_without_weight_they_are_not(project, scans):
    alone = _train(project, "alone")
    beside = _train(project, "beside", weight=0.0, unlabelled=scans)
    taught = _train(project, "taught", weight=50.0, unlabelled=scans)
    assert _same(alone, beside)
    assert not _same(alone, taught)
    spec = read_spec(project / "trainings" / "taught" / "model")
    assert spec.provenance["unlabelled"] == "2"
    assert len(spec.provenance["unlabelled_digests"].split(",")) == 2
    assert "Jane" not in json.dumps(dict(spec.provenance))
    assert not [path for path in (project / "prepared").rglob("*") if "Jane" in path.name]


def test_a_stopped_training_from_a_parent_goes_on_as_if_never_stopped(project, scans):
    _train(project, "old")
    parent = {"parent": str(project / "trainings" / "old" / "model"), "unlabelled": scans}
    whole = _train(project, "whole", weight=9.0, **parent)

    def stop(step):
        if step.iteration == 3:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        _train(project, "parts", Watch(on_step=stop), weight=9.0, **parent)
    train_on_project(_request(project, "parts"), Watch())
    assert _same(whole, _weights(project / "trainings" / "parts" / "model"))


def test_what_a_model_saw_without_labels_is_never_held_out_for_it(project, scans):
    _train(project, "old", unlabelled=scans)
    collect_case(project, *ball_case(50), Collecting(status="approved", patient="another"))
    parent = str(project / "trainings" / "old" / "model")
    recipe = plan_training(_request(project, "new", parent=parent, held_out=0.5), Watch())
    assert "case_0007" not in recipe.held_out
    assert len(recipe.model.provenance["unlabelled_digests"].split(",")) == 2


def test_another_volume_of_that_name_is_refused(project, scans):
    request = _request(project, unlabelled=scans)
    plan_training(request, Watch())
    write_volume(ball_case(70)[0], scans / "Jane Doe.nii.gz")
    with pytest.raises(InvalidInputError, match="is another volume by now"):
        train_on_project(request, Watch())
    (scans / "Jane Doe.nii.gz").unlink()
    with pytest.raises(VolumeFileError, match="that this training learns from cannot be read"):
        train_on_project(request, Watch())


def test_a_recipe_that_shows_a_held_out_volume_is_refused(project, scans):
    recipe = plan_training(_request(project, unlabelled=scans), Watch())
    (out, *_) = recipe.held_out
    record = json.loads((project / "cases" / out / "case.json").read_text())
    first, *others = recipe.unlabelled.volumes
    leaking = replace(recipe.unlabelled, volumes=(replace(first, digest=record["volume_digest"]), *others))
    path = project / "leaking.json"
    write_case_recipe(replace(recipe, unlabelled=leaking), path)
    with pytest.raises(InvalidInputError, match="is held out, and its volume is among the unlabelled ones"):
        plan_training(_request(project, "new", recipe=path), Watch())


def test_folders_without_any_are_told(project, tmp_path):
    with pytest.raises(VolumeFileError, match="is no folder"):
        plan_training(_request(project, unlabelled=tmp_path / "nowhere"), Watch())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="has no volume without labels to learn from"):
        plan_training(_request(project, unlabelled=tmp_path / "empty"), Watch())
