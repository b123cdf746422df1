"""Weights of TotalSegmentator become models: names, numbers, parts, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from foreign_models.totalsegmentator import task_named, write_weights
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models import load_model
from DeepSegmentLib.files.models.folder import read_card, verify_model
from DeepSegmentLib.files.models.importers.door import Words, importer_of
from DeepSegmentLib.files.models.importers.totalsegmentator import IMPORTER
from DeepSegmentLib.files.models.importers.totalsegmentator.importer import _chosen
from DeepSegmentLib.files.models.importers.totalsegmentator.model_card import differences
from DeepSegmentLib.files.models.importers.totalsegmentator.tasks import totalsegmentator_tasks
from DeepSegmentLib.files.models.known_models import known_models
from DeepSegmentLib.networks.model_spec import Focus
from DeepSegmentLib.segmentation.predict import predict

TASKS = totalsegmentator_tasks()
REPOSITORY = Path(__file__).resolve().parents[5]
tasks = st.sampled_from(TASKS.tasks)


@given(tasks)
def test_the_networks_of_a_task_find_just_its_structures(task):
    found = [name for number in task.datasets for name in TASKS.by_number[number].classes]
    assert sorted(found) == sorted(task.classes + task.auxiliary)


@given(tasks)
def test_the_coarser_model_of_a_task_has_the_same_structures(task):
    if task.coarse_model:
        coarser = task_named(task.coarse_model)
        assert coarser.classes == task.classes
        assert coarser.spacing_mm > task.spacing_mm


@given(tasks)
def test_what_a_task_is_cropped_to_is_found_by_the_model_that_it_names(task):
    assert {*task.crop} <= {*(task_named(task.crop_by).classes if task.crop else ())}


@given(tasks)
def test_every_structure_has_a_colour_and_every_data_set_its_number_in_its_name(task):
    for number in task.datasets:
        dataset = TASKS.by_number[number]
        assert dataset.folder.startswith(f"Dataset{number:03d}_")
        assert {*dataset.classes} <= {*TASKS.by_structure}


@given(tasks)
def test_the_task_of_its_own_networks_is_itself(task):
    chosen = _chosen(dict.fromkeys(task.datasets), Words(name=task.name))
    assert (chosen.task, chosen.datasets, chosen.name) == (task, task.datasets, task.name)


@given(tasks, st.data())
def test_some_but_not_all_networks_of_a_task_are_refused_with_the_missing_ones(task, data):
    some = data.draw(st.sets(st.sampled_from(task.datasets), min_size=1))
    if len(some) == 1 and len(task.datasets) > 1:
        chosen = _chosen(dict.fromkeys(some), Words())
        assert chosen.name == f"{task.name}-part{task.datasets.index(min(some)) + 1}"
    elif len(some) < len(task.datasets):
        with pytest.raises(ModelError) as caught:
            _chosen(dict.fromkeys(some), Words())
        for number in task.datasets:
            assert (TASKS.by_number[number].folder in str(caught.value)) == (number not in some)


@given(tasks)
def test_the_list_of_known_models_says_what_the_tasks_say(task):
    known = next(model for model in known_models() if model.name == task.name)
    assert (known.structures, known.needs_key, known.licence) == (task.classes, task.needs_key, task.licence)
    names = [file.url.rpartition("/")[2].removesuffix(".zip") for file in known.files]
    assert names == ([] if task.needs_key else [TASKS.by_number[number].folder for number in task.datasets])


def test_five_archives_become_one_model_with_totalsegmentators_numbers(tmp_path):
    task = task_named("totalseg-total")
    sources = [write_weights(tmp_path / str(number), task, number) for number in task.datasets]
    assert importer_of(sources) is IMPORTER
    spec = IMPORTER.convert(sources, tmp_path / "model", Words())
    assert verify_model(tmp_path / "model") == spec
    assert (spec.name, spec.version, spec.license) == ("totalseg-total", "2.0.0", "Apache-2.0")
    assert tuple(segment.name for segment in spec.segments) == task.classes
    assert [segment.value for segment in spec.segments] == list(range(1, 118))
    assert [len(part.segments) for part in spec.parts] == [24, 26, 18, 23, 26]
    assert spec.coarse_model == "totalseg-total-fast"
    assert len(spec.weights) == 5
    stage = spec.stages[0]
    assert (stage.orientation, stage.spacing_mm, stage.normalize) == ("RAS", (1.5, 1.5, 1.5), "after")
    assert (stage.resampling.volume_order, stage.resampling.logits_order, stage.tiling.overlap) == (1, 0, 0.2)
    assert stage.mirror_axes == ()


def test_structures_have_codes_and_colours(tmp_path):
    task = task_named("totalseg-total-fast")
    spec = IMPORTER.convert([write_weights(tmp_path, task, 297)], tmp_path / "model", Words())
    liver = next(segment for segment in spec.segments if segment.name == "liver")
    kidney = next(segment for segment in spec.segments if segment.name == "kidney_left")
    assert (liver.value, liver.color, liver.terminology.type.value) == (5, (40, 140, 40), "10200004")
    assert (kidney.terminology.modifier.meaning, kidney.terminology.category.scheme) == ("Left", "SCT")


def test_one_folder_may_hold_all_parts(tmp_path):
    task = task_named("totalseg-total_mr")
    for number in task.datasets:
        write_weights(tmp_path / "results", task, number)
    spec = IMPORTER.convert([tmp_path / "results"], tmp_path / "model", Words(name="my-mr"))
    assert (spec.name, len(spec.parts), spec.channels[0].modality) == ("my-mr", 2, "MR")


def test_a_single_part_is_a_model_of_that_part_with_the_numbers_of_the_whole(tmp_path):
    task = task_named("totalseg-total")
    spec = IMPORTER.convert([write_weights(tmp_path, task, 293)], tmp_path / "model", Words())
    assert (spec.name, spec.coarse_model) == ("totalseg-total-part3", "")
    assert (spec.segments[0].name, spec.segments[0].value) == ("heart", 51)


def test_a_folder_of_several_tasks_gives_the_one_that_is_named(tmp_path):
    write_weights(tmp_path / "results", task_named("totalseg-body"), 299)
    write_weights(tmp_path / "results", task_named("totalseg-breasts"), 527)
    with pytest.raises(ModelError, match=r"several tasks.*totalseg-body.*totalseg-breasts"):
        IMPORTER.convert([tmp_path / "results"], tmp_path / "model", Words())
    spec = IMPORTER.convert([tmp_path / "results"], tmp_path / "model", Words(name="totalseg-breasts"))
    assert [segment.name for segment in spec.segments] == ["breast"]


def test_clean_ups_crops_and_helpers_are_followed_or_told(tmp_path):
    spec = IMPORTER.convert([write_weights(tmp_path, task_named("totalseg-body"), 299)], tmp_path / "a", Words())
    assert [(each.segment, each.keep_largest, each.minimum_ml) for each in spec.cleanups] == [
        ("body_trunc", True, 0.0),
        ("body_extremities", False, 50.0),
    ]
    cysts = task_named("totalseg-kidney_cysts")
    spec = IMPORTER.convert([write_weights(tmp_path, cysts, 789)], tmp_path / "b", Words())
    assert [(each.name, each.value) for each in spec.segments][2:] == [("kidney_left", 3), ("kidney_right", 4)]
    card = read_card(tmp_path / "b")
    assert "totalseg-total-fastest" in card
    assert "takes kidney_left, kidney_right out of its results" in card


def test_labels_that_nobody_has_a_name_for_come_last_and_missing_ones_are_refused(tmp_path):
    task = task_named("totalseg-body")
    spec = IMPORTER.convert([write_weights(tmp_path / "more", task, 299, labels=3)], tmp_path / "m", Words())
    assert [(each.name, each.value) for each in spec.segments][2:] == [("extra_0", 3)]
    fewer = write_weights(tmp_path / "fewer", task, 299, labels=1)
    with pytest.raises(ModelError, match="has 1 labels, but Dataset299_body_1559subj has 2"):
        IMPORTER.convert([fewer], tmp_path / "f", Words())
    assert not (tmp_path / "f").exists()


def test_a_network_of_another_name_is_left_to_the_others(tmp_path):
    folder = write_weights(tmp_path, task_named("totalseg-body"), 299)
    plans = next(folder.glob("*/plans.json"))
    plans.write_text(plans.read_text().replace("Dataset299_body_1559subj", "Dataset299_mine"))
    assert IMPORTER.recognises([folder])
    other = folder.rename(folder.with_name("Dataset299_mine"))
    assert not IMPORTER.recognises([other])
    assert not IMPORTER.recognises([tmp_path / "nothing"])


def test_a_renamed_folder_is_known_by_its_plans(tmp_path):
    folder = write_weights(tmp_path, task_named("totalseg-body"), 299)
    assert IMPORTER.recognises([folder.rename(tmp_path / "download")])


def test_weights_that_need_a_key_are_told_before_they_are_added(tmp_path):
    face = write_weights(tmp_path, task_named("totalseg-face"), 303)
    assert "licence number" in IMPORTER.terms([face], Words())
    assert "CC-BY-NC" in IMPORTER.terms([write_weights(tmp_path, task_named("totalseg-brain_aneurysm"), 615)], Words())
    assert IMPORTER.terms([write_weights(tmp_path, task_named("totalseg-body"), 299)], Words()) == ""


def test_the_parts_together_give_what_totalsegmentators_table_makes_of_each(tmp_path):
    task = task_named("totalseg-headneck_muscles")
    sources = [write_weights(tmp_path / str(number), task, number) for number in task.datasets]
    IMPORTER.convert(sources, tmp_path / "whole", Words())
    voxels = np.random.default_rng(0).normal(0, 300, (1, 20, 24, 22)).astype(np.float32)
    volume = Volume(voxels, Geometry.from_spacing((20, 24, 22), (1.2, 0.8, 0.9)))
    whole = _labels(tmp_path / "whole", volume)
    expected = np.zeros_like(whole)
    for n, source in enumerate(sources):
        IMPORTER.convert([source], tmp_path / f"part{n}", Words())
        part = _labels(tmp_path / f"part{n}", volume)
        expected[part > 0] = part[part > 0]
    assert len(np.unique(expected)) > 3
    np.testing.assert_array_equal(whole, expected)


def _labels(folder, volume):
    model = load_model(folder, "cpu")
    return predict(volume, model.spec, model.networks).label_map.layers[0]


def test_the_card_names_all_differences():
    texts = [differences(task) for task in TASKS.tasks]
    assert all(len(text) == len(set(text)) for text in texts)
    assert any("cuts the volume" in note for note in differences(task_named("totalseg-lung_vessels")))
    assert differences(task_named("totalseg-pleural_pericard_effusion"))[0].count("20 mm") == 1


def test_smaller_tasks_look_round_what_another_model_finds(tmp_path):
    task = task_named("totalseg-lung_vessels_LEGACY")
    source = write_weights(tmp_path, task, task.datasets[0])
    spec = IMPORTER.convert([source], tmp_path / "model", Words())
    assert spec.focus == Focus("totalseg-total-fastest", task.crop, 20.0)
    assert {each.crop_by for each in TASKS.tasks if each.crop} <= {each.name for each in TASKS.tasks}


def test_recognising_needs_no_torch():
    code = (
        "import sys; from pathlib import Path; from DeepSegmentLib.files.models.importers.door import importer_of\n"
        "from DeepSegmentLib.files.models.importers.totalsegmentator import IMPORTER\n"
        "IMPORTER.recognises([Path('.')]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "False"
