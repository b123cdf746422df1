"""A recipe makes a model that the catalogue runs: label maps in, model folder out."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_examples import TINY_UNET, changed_stages, model_spec

from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.data.dataclass_json import to_json
from DeepSegmentLib.errors import Cancelled, InvalidInputError, ModelError, ResourceError, VolumeFileError
from DeepSegmentLib.files.models import read_spec, verify_model
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, write_labelmap
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.service.segment import SegmentRequest, segment_file
from DeepSegmentLib.service.training.train_synthetic import Recipe, read_recipe, train_model
from DeepSegmentLib.service.training.watch import Preparation, Watch
from DeepSegmentLib.training.fitting.settings import TrainSettings
from DeepSegmentLib.training.synthesis import SynthesisSettings
from DeepSegmentLib.training.synthesis_cases import Tissue

RECIPE = Recipe(
    model=model_spec(spacing_mm=(2.0, 2.0, 2.0), patch_shape=(8, 8, 8), orientation="RAS"),
    tissues=(Tissue("core", (2,), 1, (0.9, 0.02)), Tissue("shell", (3,), 2, (0.5, 0.02))),
    hull_mm=2.0,
    synthesis=SynthesisSettings(patch_shape=(8, 8, 8), jitter_mm=2.0, usual_contrast=1.0, usual_inverted=0.0),
    training=TrainSettings(iterations=4, workers=0, checkpoint_every=2, warm_up=2),
    card="# tiny\n",
)


@pytest.fixture
def label_maps(tmp_path):
    """Two balls in balls, stored with the axes of another orientation."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for n, size in enumerate((5, 6)):
        radius = np.sqrt(((np.mgrid[:20, :20, :20] - 9.5) ** 2).sum(0))
        labels = np.where(radius < size - 2, 2, np.where(radius < size, 3, 0)).astype(np.uint8)
        geometry, _, _ = Geometry.from_spacing((20, 20, 20), (1, 1, 1)).oriented("LIA")
        write_labelmap(LabelMap(labels[None], geometry), folder / f"{n}.nii.gz")
    return folder


def test_a_model_is_made_and_runs(tmp_path, label_maps):
    steps = []
    train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "state.pt", Watch(on_step=steps.append))
    assert [step.iteration for step in steps] == [1, 2, 3, 4]
    verify_model(tmp_path / "model")
    spec = read_spec(tmp_path / "model")
    assert spec.segments == RECIPE.model.segments
    assert spec.expectations.cases == 2
    assert [each.segment for each in spec.expectations.segments] == ["left", "right"]
    assert spec.expectations.coarsest_mm == RECIPE.synthesis.thickness_mm[1]
    voxels = np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32)
    write_volume(Volume(voxels, Geometry.from_spacing((16, 16, 16), (1, 1, 1))), tmp_path / "head.nrrd")
    segment_file(SegmentRequest(tmp_path / "head.nrrd", tmp_path / "out.seg.nrrd", model=str(tmp_path / "model")))
    assert len(read_labelmap(tmp_path / "out.seg.nrrd").segments) == 2


def test_a_stopped_training_leaves_no_model_and_goes_on(tmp_path, label_maps):
    def stop(step):
        if step.iteration == 3:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "state.pt", Watch(on_step=stop))
    assert not (tmp_path / "model").exists()
    steps = []
    train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "state.pt", Watch(on_step=steps.append))
    assert [step.iteration for step in steps] == [4]


def test_what_is_told_before_the_first_step(tmp_path, label_maps):
    told = []
    watch = Watch(told.append, told.append, lambda step: told.append(step.iteration))
    train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "state.pt", watch)
    assert [event.stage for event in told[:2]] == ["read label map 1 of 2, 0.nii.gz", "read label map 2 of 2, 1.nii.gz"]
    assert told[2:4] == [Preparation(cases=2, iterations=4, done=0, device="cpu"), 1]


def test_the_card_has_the_figures_of_this_training_only(tmp_path, label_maps):
    losses = []
    watch = Watch(on_step=lambda step: losses.append(step.loss))
    report = train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "state.pt", watch)
    assert report["loss"] == pytest.approx(sum(losses) / 4, abs=1e-4)
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert card.startswith("# tiny\n\n## This training\n")
    for figure in (report["cases"], report["iterations"], report["loss"], report["seconds"], report["recipe_sha256"]):
        assert f"| {figure}" in card
    assert read_spec(tmp_path / "model").provenance == {name: str(value) for name, value in report.items()}
    again = train_model(RECIPE, label_maps, tmp_path / "again", tmp_path / "state.pt", Watch())
    assert again == report


def test_the_recipe_of_the_bundled_model_claims_no_result():
    recipe = read_recipe(Path(__file__).parents[4] / "Resources" / "Recipes" / "brain-mr.json")
    for claim in ("Dice", "Colin27", "Measured", "label maps published"):
        assert claim not in recipe.card
    assert "training_data" not in recipe.model.provenance


def test_a_recipe_is_read_back(tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(to_json(RECIPE)))
    assert read_recipe(tmp_path / "recipe.json") == RECIPE


@pytest.mark.parametrize(("text", "message"), [("{", "recipe"), ("{}", "model"), ("[]", "recipe")])
def test_a_bad_recipe_is_refused(tmp_path, text, message):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        read_recipe(tmp_path / "recipe.json")


def test_a_recipe_whose_tissues_miss_a_segment_is_refused():
    with pytest.raises(InvalidInputError, match="each with a segment and a tissue"):
        replace(RECIPE, tissues=RECIPE.tissues[:1])


def test_a_folder_without_label_maps_is_refused(tmp_path):
    for folder, message in ((tmp_path, "no label maps"), (tmp_path / "none", "none is no folder")):
        with pytest.raises(InvalidInputError, match=message):
            train_model(RECIPE, folder, tmp_path / "model", tmp_path / "state.pt", Watch())


def test_a_checkpoint_that_is_something_else_is_neither_read_nor_replaced(tmp_path, label_maps):
    (tmp_path / "notes.txt").write_text("mine")
    for name, message in (("notes.txt", "no training state"), ("maps/0.nii.gz", "suffix of a volume")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises((InvalidInputError, ModelError), match=message):
            train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / name, Watch())
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(InvalidInputError, match="is an input"):
        (tmp_path / "link.pt").symlink_to(label_maps / "0.nii.gz")
        train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "link.pt", Watch())


def test_an_existing_folder_is_not_overwritten(tmp_path, label_maps):
    with pytest.raises(InvalidInputError, match="exists"):
        train_model(RECIPE, label_maps, label_maps, tmp_path / "state.pt", Watch())


@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", pickle.dumps(print, protocol=2), pickle.dumps({"iteration": 1}, protocol=2)],
    ids=["empty", "text", "code", "pickle"],
)
def test_what_is_no_training_state_is_named(tmp_path, label_maps, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"state\.pt holds no training state of this network"):
        train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "state.pt", Watch())


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
def test_pipes_are_not_waited_for(tmp_path, label_maps):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="pipe"):
        read_recipe(tmp_path / "pipe")
    with pytest.raises(VolumeFileError, match="pipe"):
        train_model(RECIPE, label_maps, tmp_path / "model", tmp_path / "pipe", Watch())


def test_a_network_that_no_memory_holds_is_not_made(tmp_path, label_maps):
    huge = replace(RECIPE, model=changed_stages(RECIPE.model, network=replace(TINY_UNET, features=(65536, 65536))))
    with pytest.raises(ResourceError, match="training needs at least"):
        train_model(huge, label_maps, tmp_path / "model", tmp_path / "state.pt", Watch())


def test_the_network_of_the_recipe_is_the_one_of_the_model():
    assert RECIPE.network == TINY_UNET


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("training", {"seed": -1}, "seed"),
        ("training", {"workers": 10**6}, "workers"),
        ("synthesis", {"patch_shape": (1, 1, 100_000)}, "multiples of"),
        ("synthesis", {"spacing_mm": 1e-9}, "spacing_mm"),
        (None, {"hull_mm": 1e9}, "hull_mm"),
    ],
)
def test_a_recipe_without_sense_is_refused_before_anything_is_read(part, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        replace(RECIPE, **({part: replace(getattr(RECIPE, part), **changes)} if part else changes))
