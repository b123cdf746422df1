"""What the benchmarks of learning compute themselves: splits, scores, schedules, steps. What takes time is not run."""

import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("psutil")

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "Testing" / "benchmarks" / "learning"
NAMES = ("splits", "scoring", "commands", "peer_nnunet_trainer", "partial_truth", "forgetting", "dice_per_minute",
         "learning_loop", "robot_corrections", "own_trainings", "machine", "measure", "robot")  # fmt: skip


@pytest.fixture(scope="module")
def bench():
    """The modules of the benchmark by name; the path and the list of modules are as before afterwards."""
    path, there = sys.path.copy(), {name: sys.modules.pop(name, None) for name in NAMES}
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path[:] = path
    for name, module in there.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def scores_of(table):
    """Scores with the given Dice of each structure and case."""
    return {
        name: {
            case: {"dice": dice, "nsd": dice, "hausdorff95_mm": 1.0 if dice else math.inf} for case, dice in of.items()
        }
        for name, of in table.items()
    }


cases = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=4, max_size=40, unique=True)
dices = st.floats(0, 1).map(lambda value: round(value, 4))
tables = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True).flatmap(
    lambda names: st.dictionaries(
        st.sampled_from(["Liver", "Spleen", "Aorta"]), st.fixed_dictionaries(dict.fromkeys(names, dices)), min_size=1
    )
)


class TestSplits:
    @given(names=cases, data=st.data())
    def test_a_split_parts_all_cases_and_does_not_depend_on_their_order(self, bench, names, data):
        training = data.draw(st.integers(1, len(names) - 1))
        split = bench["splits"].split_of(names, training)
        assert len(split.training) == training
        assert sorted((*split.training, *split.held_out)) == sorted(names)
        assert bench["splits"].split_of(data.draw(st.permutations(names)), training) == split

    def test_another_seed_gives_another_split(self, bench):
        names = [f"case{n}" for n in range(60)]
        assert bench["splits"].split_of(names, 30, 1) != bench["splits"].split_of(names, 30, 2)

    @given(names=cases, data=st.data())
    def test_further_cases_are_none_of_the_first_and_none_held_out(self, bench, names, data):
        split = bench["splits"].split_of(names, len(names) - 1)
        first = data.draw(st.integers(0, len(split.training)))
        old, new = split.parts(first, len(split.training) - first)
        assert old + new == split.training
        with pytest.raises(ValueError, match="were asked for"):
            split.parts(first, len(split.training) - first + 1)

    def test_too_few_cases_are_refused(self, bench):
        with pytest.raises(ValueError, match="3 cases are there, more than 3"):
            bench["splits"].split_of(["a", "b", "c"], 3)

    def test_cases_without_labels_are_left_out(self, bench, tmp_path):
        data_set = bench["splits"].DATA_SETS["headneck"]
        (tmp_path / "headneck_ct").mkdir()
        for name in ("pt_1_ct", "pt_1_seg", "pt_2_ct", "pt_3_seg"):
            (tmp_path / "headneck_ct" / f"{name}.nii.gz").touch()
        assert data_set.cases(tmp_path) == ["pt_1"]

    def test_a_work_folder_of_another_split_is_refused(self, bench, tmp_path):
        splits, path = bench["splits"], tmp_path / "data.json"
        data_set = splits.DATA_SETS["hippocampus"]
        splits.write_description(data_set, tmp_path, splits.Split(("a",), ("b",)), path)
        splits.write_description(data_set, tmp_path, splits.Split(("a",), ("b",)), path)
        with pytest.raises(SystemExit, match="another split"):
            splits.write_description(data_set, tmp_path, splits.Split(("b",), ("a",)), path)


class TestScores:
    def test_only_structures_of_the_reference_count(self, bench):
        rows = [("Liver", "both", 1.5, 0.9), ("Spleen", "prediction", 0.0, 0.0), ("Aorta", "both", 0.0, 0.0)]
        segments = [
            {"name": name, "side": side, "reference_ml": ml, "dice": dice, "nsd": dice, "hausdorff95_mm": 2.0}
            for name, side, ml, dice in rows
        ]
        found = bench["scoring"].drawn_scores({"cases": [{"case": "a", "segments": segments}]})
        assert found == {"Liver": {"a": {"dice": 0.9, "nsd": 0.9, "hausdorff95_mm": 2.0}}}

    def test_a_missed_structure_counts_as_nothing_found(self, bench):
        segment = {"name": "Liver", "side": "reference", "reference_ml": 2.0, "dice": 0.0, "nsd": 0.0}
        document = {"cases": [{"case": "a", "segments": [segment | {"hausdorff95_mm": None}]}]}
        scores = bench["scoring"].drawn_scores(document)
        told = bench["scoring"].summary(scores)
        assert told["Liver"] == {"cases": 1, "missed": 1, "dice": 0.0, "nsd": 0.0, "hausdorff95_mm": None}

    @given(table=tables)
    def test_scores_survive_json(self, bench, table):
        scores, scoring = scores_of(table), bench["scoring"]
        kept = json.dumps(scoring.plain_scores(scores), allow_nan=False)
        assert scoring.from_plain(json.loads(kept)) == scores

    @given(table=tables)
    def test_structures_count_alike(self, bench, table):
        told = bench["scoring"].summary(scores_of(table))
        means = [np.mean([*of.values()]) for of in table.values()]
        assert told["all"]["dice"] == pytest.approx(np.mean(means), abs=1.1e-4)

    @settings(max_examples=20)
    @given(table=tables)
    def test_a_model_does_not_differ_from_itself(self, bench, table):
        gap = bench["scoring"].difference(scores_of(table), scores_of(table))
        assert gap["mean"] == gap["low"] == gap["high"] == 0
        assert bench["scoring"].got_worse(scores_of(table), scores_of(table)) == []

    @settings(max_examples=20)
    @given(table=tables, other=st.randoms())
    def test_the_difference_turns_round_with_the_models(self, bench, table, other):
        before = scores_of(table)
        after = scores_of({name: {case: other.random() for case in of} for name, of in table.items()})
        there, back = bench["scoring"].difference(before, after), bench["scoring"].difference(after, before)
        assert there["mean"] == pytest.approx(-back["mean"], abs=1e-4)
        assert there["low"] <= there["mean"] + 1e-4
        assert there["mean"] <= there["high"] + 1e-4

    def test_the_interval_is_that_of_scipy(self, bench):
        from scipy.stats import bootstrap

        rng = np.random.default_rng(0)
        gaps = rng.normal(0.03, 0.05, 40)
        before = scores_of({"Liver": {f"case{n}": 0.5 for n in range(40)}})
        after = scores_of({"Liver": {f"case{n}": 0.5 + gap for n, gap in enumerate(gaps)}})
        found = bench["scoring"].difference(before, after)
        told = bootstrap((gaps,), np.mean, n_resamples=5000, method="percentile", rng=rng).confidence_interval
        assert found["mean"] == pytest.approx(gaps.mean(), abs=1e-4)
        assert found["low"] == pytest.approx(told.low, abs=2.5e-3)
        assert found["high"] == pytest.approx(told.high, abs=2.5e-3)

    def test_other_cases_cannot_be_compared(self, bench):
        with pytest.raises(ValueError, match="pair by pair"):
            bench["scoring"].difference(scores_of({"Liver": {"a": 1.0}}), scores_of({"Liver": {"b": 1.0}}))

    def test_what_got_worse_is_told_worst_first(self, bench):
        before = scores_of({"Liver": {"a": 0.9, "b": 0.9}, "Spleen": {"a": 0.8, "b": 0.8}})
        after = scores_of({"Liver": {"a": 0.87, "b": 0.95}, "Spleen": {"a": 0.3, "b": 0.79}})
        found = bench["scoring"].got_worse(before, after)
        assert [(row["structure"], row["case"]) for row in found] == [("Spleen", "a"), ("Liver", "a")]


class TestSteps:
    def test_a_step_that_is_done_is_not_done_again(self, bench, tmp_path):
        steps, path = bench["commands"].Steps, tmp_path / "work" / "steps.json"
        assert steps(path, {"seed": (1, 2)}).done("train", lambda: {"loss": 1}) == {"loss": 1}
        assert steps(path, {"seed": (1, 2)}).done("train", lambda: pytest.fail("done again")) == {"loss": 1}

    def test_a_step_that_fails_is_not_kept(self, bench, tmp_path):
        steps = bench["commands"].Steps(tmp_path / "steps.json", {})
        with pytest.raises(ZeroDivisionError):
            steps.done("train", lambda: {"loss": 1 / 0})
        assert bench["commands"].Steps(tmp_path / "steps.json", {}).content["steps"] == {}

    def test_other_settings_are_refused(self, bench, tmp_path):
        bench["commands"].Steps(tmp_path / "steps.json", {"cases": 4}).done("train", dict)
        with pytest.raises(SystemExit, match="other settings"):
            bench["commands"].Steps(tmp_path / "steps.json", {"cases": 5})

    def test_the_answer_is_the_last_line_of_json(self, bench):
        text = 'loading\n{"a": 1}\nwarning: {x}\n{"b": [2]}\n{broken\ndone\n'
        assert bench["commands"].last_json(text) == {"b": [2]}
        assert bench["commands"].last_json("nothing\n") == {}

    def test_a_command_that_fails_ends_the_benchmark(self, bench, tmp_path):
        with pytest.raises(SystemExit, match="no-such-project"):
            bench["commands"].Shell(tmp_path).deepsegment("project", "list", tmp_path / "no-such-project", name="list")


class TestPeer:
    @given(share=st.floats(0, 1))
    def test_the_rate_falls_as_nnunet_has_it(self, bench, share):
        rate = bench["peer_nnunet_trainer"].rate_at
        assert rate(share, 0.01) == pytest.approx(0.01 * (1 - share) ** 0.9)
        assert rate(0, 0.01) == 0.01
        assert rate(1.7, 0.01) == 0  # the last step may begin before the end and finish behind it

    def test_a_variant_changes_what_it_says_and_no_more(self, bench):
        peer = bench["peer_nnunet_trainer"]
        inner = {"batch_size": 9, "data_identifier": "nnUNetPlans_3d_fullres",
                 "architecture": {"arch_kwargs": {"features_per_stage": [32, 64], "strides": [1, 2]}}}  # fmt: skip
        plans = {"plans_name": "nnUNetPlans", "configurations": {"3d_fullres": inner, "2d": {"batch_size": 100}}}
        before = json.dumps(plans)
        assert peer.plans_of(plans, peer.Variant(), "nnUNetPlans") == plans
        changed = peer.plans_of(plans, peer.VARIANTS["batch2-half"], "other")
        assert json.dumps(plans) == before
        inner["batch_size"] = 2
        inner["architecture"]["arch_kwargs"]["features_per_stage"] = [16, 32]
        assert changed == plans | {"plans_name": "other"}

    def test_background_is_ignored_only_where_a_structure_is_missing(self, bench):
        ignored = bench["peer_nnunet_trainer"].with_ignored
        assert ignored(np.array([0, 1, 2], np.uint8), 3).tolist() == [4, 1, 2]
        assert ignored(np.array([0, 1, 2, 3], np.uint8), 3).tolist() == [0, 1, 2, 3]
        assert ignored(np.array([0, 1], np.uint8), 2).dtype == np.uint8


class TestRecipes:
    """The keys are those of the library's recipe: a training by the changed one differs."""

    def test_the_marginal_loss_is_taken_out_of_a_recipe_of_the_library(self, bench):
        from DeepSegmentLib.data.dataclass_json import from_json, to_json
        from DeepSegmentLib.training.fitting.settings import LossSettings

        recipe = {"loss": to_json(LossSettings()), "replay": 0.5}
        changed = bench["partial_truth"].recipe_without_marginal_loss(recipe)
        assert from_json(LossSettings, changed["loss"], "loss") == LossSettings(marginal=False)
        assert recipe["loss"]["marginal"] is True
        with pytest.raises(KeyError, match="to differ"):
            bench["partial_truth"].recipe_without_marginal_loss(changed)

    def test_replay_is_taken_out_of_a_recipe_of_the_library(self, bench):
        from dataclasses import fields

        from DeepSegmentLib.service.training.case_recipe import CaseRecipe

        (replay,) = [field.default for field in fields(CaseRecipe) if field.name == "replay"]
        changed = bench["forgetting"].recipe_without_replay({"replay": replay})
        assert changed == {"replay": 0.0}
        with pytest.raises(KeyError, match="to differ"):
            bench["forgetting"].recipe_without_replay(changed)


class TestRobot:
    def test_a_result_is_corrected_into_labels_and_a_journal_that_agree(self, bench, tmp_path):
        from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
        from DeepSegmentLib.files.journal import Journal
        from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, write_labelmap
        from DeepSegmentLib.files.volumes import write_volume

        geometry = Geometry.from_spacing((20, 24, 24), (1, 1, 1))
        truth = np.zeros(geometry.shape, bool)
        truth[5:15, 6:18, 6:18] = True
        start = truth & (np.arange(24) < 13)
        noise = np.random.default_rng(0).normal(0, 5, geometry.shape)
        write_volume(Volume((100 * truth + noise).astype(np.float32)[None], geometry), tmp_path / "volume.nii.gz")
        labels = LabelMap(start.astype(np.uint8)[None], geometry, (Segment("Liver", 1),))
        write_labelmap(labels, tmp_path / "result.nii.gz")
        done = bench["robot_corrections"].correct_case(
            tmp_path / "volume.nii.gz", tmp_path / "result.nii.gz", {"Liver": truth}, tmp_path / "done",
            most_prompts=4, seed=0,
        )  # fmt: skip
        assert 1 <= done.prompts["Liver"] <= 4
        assert done.after["Liver"] > done.before["Liver"]
        assert done.drawn == ("Liver",)
        with Journal.open(tmp_path / "done" / "journal") as journal:
            assert len(journal.prompts("Liver")) == done.prompts["Liver"]
            kept = journal.labels().layers
        assert (kept == read_labelmap(tmp_path / "done" / "labels.seg.nrrd").layers).all()

    def test_what_is_still_missed_is_not_said_to_be_drawn(self, bench):
        done = bench["robot_corrections"].Corrected({"Liver": 1, "Spleen": 6}, {}, {"Liver": 0.8, "Spleen": 0.0})
        assert done.drawn == ("Liver",)


def test_a_table_has_all_runs_and_how_much_better_ours_is(bench):
    dpm, scoring = bench["dice_per_minute"], bench["scoring"]
    run = {"iterations": 5, "batch": 2, "patches_per_second": 1.5, "preparation_seconds": 9.0}
    run["took"] = {"others_seconds": 3.0, "wall_seconds": 60.0}
    steps = {"collect": {"cases": {}}}
    for name, dice in (("10 DeepSegment", 0.8), ("10 nnU-Net default", 0.6)):
        steps[name] = run | {"scores": scoring.plain_scores(scores_of({"Anterior": {"a": dice, "b": dice}}))}
    rows = dpm.rows({"steps": steps})
    assert [(row["engine"], row["summary"]["all"]["dice"]) for row in rows] == [
        ("DeepSegment", 0.8),
        ("nnU-Net default", 0.6),
    ]
    assert rows[1]["ours less theirs"]["mean"] == pytest.approx(0.2)
    machine = {"processor": "P", "processors": 2, "memory_bytes": 2**33}
    text = dpm.page({"machine": machine, "data_sets": {"hippocampus": rows}})
    assert "| 10 | nnU-Net default | 0.6000 | 0.600 | 0.600 | 0 | +0.200 (+0.200 to +0.200) | 5 | 2 |" in text
