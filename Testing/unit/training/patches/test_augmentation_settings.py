"""Settings of augmentation: what is refused, the presets, and the way to JSON and back."""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.training.patches.augmentation_settings import (
    NO_AUGMENTATION,
    PRESETS,
    AugmentationSettings,
    augmentation_preset,
)

NAMES = [field.name for field in fields(AugmentationSettings)]
SHARES = [name for name in NAMES if not name.endswith(("_range", "_voxels", "_degrees", "_distance"))]


@given(share=st.sampled_from(SHARES), value=st.floats(0, 1), name=st.sampled_from(list(PRESETS)))
def test_settings_survive_json(share, value, name):
    settings = replace(augmentation_preset(name), **{share: value})
    text = json.dumps(to_json(settings))
    assert from_json(AugmentationSettings, json.loads(text), "augmentation") == settings


def test_files_written_before_a_field_was_added_still_open():
    assert from_json(AugmentationSettings, {"rotation": 0.5}, "augmentation") == AugmentationSettings(rotation=0.5)


@given(share=st.sampled_from(SHARES), value=st.sampled_from([-0.1, 1.01, float("nan"), float("inf")]))
def test_shares_are_from_0_to_1(share, value):
    with pytest.raises(InvalidInputError, match=f"{share} must be from 0 to 1"):
        replace(NO_AUGMENTATION, **{share: value})


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(getattr(NO_AUGMENTATION, name), tuple)])
def test_ranges_begin_with_their_lower_end(name):
    low, high = getattr(AugmentationSettings(), name)
    with pytest.raises(InvalidInputError, match=f"{name} must begin with its lower end"):
        AugmentationSettings(**{name: (high, low)})
    with pytest.raises(InvalidInputError, match=f"{name} must be from"):
        AugmentationSettings(**{name: (low, 1e6)})


def test_what_a_recipe_says_wrong_is_told_with_its_place():
    with pytest.raises(ModelError, match=r"recipe\.augmentation: rotation_degrees must be from 0 to 180, got 200"):
        from_json(AugmentationSettings, {"rotation_degrees": 200}, "recipe.augmentation")


def test_nothing_is_changed_by_none_and_everything_but_extras_by_default():
    assert [name for name in SHARES if getattr(augmentation_preset("none"), name)] == []
    off = {name for name in SHARES if not getattr(augmentation_preset("default"), name)}
    assert off == {"elastic", "thick_slices", "bias_field", "synthesis"}


def test_light_changes_less_than_default():
    light, usual = augmentation_preset("light"), augmentation_preset("default")
    for name in SHARES:
        assert getattr(light, name) <= getattr(usual, name)
    for name in ("scaling_range", "brightness_range", "contrast_range", "gamma_range"):
        (low, high), (lowest, highest) = getattr(light, name), getattr(usual, name)
        assert lowest < low < 1 < high < highest


def test_an_unknown_preset_is_refused_with_those_that_there_are():
    with pytest.raises(InvalidInputError, match="'strong'; take one of: none, light, default"):
        augmentation_preset("strong")
