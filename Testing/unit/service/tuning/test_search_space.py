"""The first trial is the recipe as planned; all others stay in their ranges and change nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_examples import model_spec

from DeepSegmentLib.service.training.case_recipe import CaseRecipe
from DeepSegmentLib.service.tuning.search_space import choices_of, planned_choices, with_choices
from DeepSegmentLib.training.fitting.settings import TrainSettings
from DeepSegmentLib.training.patches.augmentation_settings import PRESETS

RECIPE = CaseRecipe(model_spec(), TrainSettings(4000, batch_size=2, learning_rate=3e-3), cases=("case_0001",))


class _Drawn:
    """A trial whose values hypothesis draws."""

    def __init__(self, data):
        self._data = data

    def suggest_float(self, name, low, high, *, log=False):
        return self._data.draw(st.floats(low, high), label=name)

    def suggest_categorical(self, name, choices):
        return self._data.draw(st.sampled_from(choices), label=name)


@given(st.floats(1e-5, 1e-1), st.floats(0, 1))
def test_the_planned_choices_change_nothing(decay, balance):
    recipe = replace(
        RECIPE,
        training=replace(RECIPE.training, weight_decay=decay),
        loss=replace(RECIPE.loss, balance=balance),
    )
    assert with_choices(recipe, planned_choices(recipe)) == recipe


@given(st.data())
def test_any_trial_is_a_recipe_of_the_same_model_cases_and_length(data):
    changed = with_choices(RECIPE, choices_of(_Drawn(data)))
    assert (changed.model, changed.cases, changed.held_out) == (RECIPE.model, RECIPE.cases, RECIPE.held_out)
    assert changed.training.iterations == 4000
    assert changed.training.batch_size in (1, 2, 4)
    assert changed.patches.augmentation in PRESETS.values()
    assert changed.loss.dice + changed.loss.cross_entropy == pytest.approx(2)


def test_the_rate_of_sgd_is_ten_times_as_large():
    changed = with_choices(RECIPE, {**planned_choices(RECIPE), "optimizer": "sgd", "rate": 0.5})
    assert changed.training.learning_rate == pytest.approx(0.015)
