"""The weight of volumes without labels grows to what it is, and never beyond."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.unlabelled.settings import UnlabelledSettings, UnlabelledVolume

shares = st.floats(0, 1)


@given(st.floats(0, 100), shares, shares, shares)
def test_the_weight_grows(weight, ramp_up, one, other):
    settings = UnlabelledSettings(weight=weight, ramp_up=ramp_up)
    assert 0 <= settings.weight_at(min(one, other)) <= settings.weight_at(max(one, other)) <= weight
    assert settings.weight_at(1.0) == weight
    assert UnlabelledSettings(weight=0, ramp_up=ramp_up).weight_at(one) == 0


def test_the_ramp_is_that_of_mean_teacher():
    settings = UnlabelledSettings(weight=2, ramp_up=0.5)
    assert settings.weight_at(0) == pytest.approx(2 * math.exp(-5))
    assert settings.weight_at(0.25) == pytest.approx(2 * math.exp(-1.25))
    assert UnlabelledSettings(weight=2, ramp_up=0).weight_at(0) == 2


@pytest.mark.parametrize(
    "wrong", [{"weight": -1}, {"weight": math.nan}, {"threshold": 0.4}, {"threshold": 1.1}, {"ramp_up": 2}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidInputError, match="must be from"):
        UnlabelledSettings(**wrong)


def test_settings_survive_json():
    settings = UnlabelledSettings("/scans", (UnlabelledVolume("a/b.nii.gz", "f" * 64, ("a/c.nii.gz",), "1.2"),))
    assert from_json(UnlabelledSettings, to_json(settings), "unlabelled") == settings
