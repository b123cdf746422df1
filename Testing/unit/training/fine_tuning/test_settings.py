"""What is suggested suits the number of cases, and what is no tuning is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.fine_tuning.settings import FineTuning, suggested_tuning

_FREEDOM = {"heads": 0, "low_rank": 1, "decoder": 2, "full": 3}


def _freedom(tuning):
    """How much may change."""
    return _FREEDOM[tuning.method], tuning.encoder_rate if tuning.method == "full" else 0


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 3))
def test_more_cases_never_let_less_learn(one, other, new):
    (few, _), (many, _) = (suggested_tuning(cases, new) for cases in sorted((one, other)))
    assert _freedom(few) <= _freedom(many)


@given(st.integers(0, 60), st.integers(0, 3))
def test_last_layers_learn_alone_first_only_where_some_are_new(cases, new):
    tuning, told = suggested_tuning(cases, new)
    assert (tuning.warm_up > 0) == (new > 0)
    assert str(cases) in told
    assert ("rank" in told) == (tuning.method == "low_rank")
    assert ("third" in told) == (tuning.method == "full" and tuning.encoder_rate == pytest.approx(1 / 3))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"method": "all"}, "got 'all'"),
        ({"rank": 0}, "got 0, 0 and 1.0"),
        ({"warm_up": -1}, "got 4, -1 and 1.0"),
        ({"encoder_rate": 0.0}, "got 4, 0 and 0.0"),
        ({"encoder_rate": 1.5}, "got 4, 0 and 1.5"),
        ({"encoder_rate": float("nan")}, "got 4, 0 and nan"),
    ],
)
def test_what_is_no_tuning_is_refused(wrong, told):
    with pytest.raises(InvalidInputError, match=told):
        FineTuning(**wrong)
