"""Better or worse beyond chance: laws, agreement with SciPy, and how often chance is taken for a difference."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.evaluation.paired import paired_difference

scores = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def _names(count):
    return [f"patient {n}" for n in range(count)]


@given(scores)
def test_the_same_scores_are_no_difference(values):
    found = paired_difference(values, values, _names(len(values)))
    assert (found.difference, found.old) == (0, found.new)
    assert found.verdict in ("no difference", "too few")


@given(scores, st.integers(0, 9))
def test_exchanged_models_exchange_the_verdict(values, seed):
    rng = np.random.default_rng(seed)
    other = np.clip(np.array(values) + rng.normal(0.02, 0.05, len(values)), 0, 1)
    there = paired_difference(values, other, _names(len(values)))
    back = paired_difference(other, values, _names(len(values)))
    opposite = {"better": "worse", "worse": "better"}
    assert back.difference == pytest.approx(-there.difference)
    assert back.p == pytest.approx(there.p)
    assert back.verdict == opposite.get(there.verdict, there.verdict)


@given(scores)
def test_the_mean_lies_in_the_interval(values):
    new = [value / 2 + 0.3 for value in values]
    found = paired_difference(values, new, _names(len(values)))
    if len(values) > 1:
        assert found.low - 1e-9 <= found.difference <= found.high + 1e-9
    else:
        assert math.isnan(found.low)


@pytest.mark.parametrize("count", [1, 5])
def test_few_patients_are_too_few_however_large_the_difference(count):
    found = paired_difference([0.1] * count, [0.9] * count, _names(count))
    assert found.verdict == "too few"
    assert found.difference == pytest.approx(0.8)


def test_six_patients_can_tell():
    assert paired_difference([0.1] * 6, [0.9] * 6, _names(6)).verdict == "better"
    assert paired_difference([0.1] * 6, [0.9] * 6, _names(6), higher_is_better=False).verdict == "worse"


def test_many_cases_of_one_patient_are_one_patient():
    found = paired_difference([0.1] * 30, [0.9] * 30, ["one"] * 30)
    assert (found.cases, found.patients, found.verdict) == (30, 1, "too few")


@given(scores, st.integers(1, 5))
def test_the_difference_is_that_of_the_means(values, patients):
    """Also where some patients have more cases than others."""
    new = [value * 0.7 + 0.2 for value in values]
    found = paired_difference(values, new, [str(n % patients) for n in range(len(values))])
    assert found.new - found.old == pytest.approx(found.difference)


def test_infinite_scores_are_left_out():
    old, new = [1.0, math.inf, 2.0, math.nan], [2.0, 1.0, 3.0, 1.0]
    found = paired_difference(old, new, _names(4), higher_is_better=False)
    assert (found.cases, found.old, found.new) == (2, 1.5, 2.5)
    nothing = paired_difference([math.inf], [1.0], ["one"])
    assert (nothing.cases, nothing.verdict) == (0, "too few")


@pytest.mark.parametrize("count", [7, 20])
def test_the_permutation_test_is_that_of_scipy(count):
    rng = np.random.default_rng(count)
    old = rng.uniform(0.6, 0.9, count)
    new = old + rng.normal(0.01, 0.02, count)
    theirs = stats.permutation_test(
        (new - old,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    )
    assert paired_difference(old, new, _names(count)).p == pytest.approx(theirs.pvalue, abs=0.01)


@pytest.mark.parametrize("count", [6, 12, 40])
def test_chance_is_taken_for_a_difference_in_one_of_twenty_at_most(count):
    """Of skewed, bounded scores without a difference, as Dice is."""
    rng = np.random.default_rng(count)
    runs = 200
    told = [
        paired_difference(*rng.beta(8, 1.5, (2, count)), _names(count)).verdict in ("better", "worse")
        for _ in range(runs)
    ]
    assert sum(told) <= stats.binom.ppf(0.999, runs, 0.05)


def test_a_clear_gain_on_a_dozen_patients_is_found():
    rng = np.random.default_rng(1)
    old = rng.uniform(0.7, 0.9, (50, 12))
    new = old + 0.02 + rng.normal(0, 0.015, (50, 12))
    verdicts = [paired_difference(a, b, _names(12)).verdict for a, b in zip(old, new, strict=True)]
    assert verdicts.count("better") > 40


def test_scores_of_other_cases_are_refused():
    with pytest.raises(InvalidInputError, match="same cases"):
        paired_difference([1.0], [1.0, 2.0], ["one"])
