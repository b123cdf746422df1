"""Folds: each case in one, no patient in two, about equally large, the same for the same seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data.folds import in_random_order, make_folds
from DeepSegmentLib.errors import InvalidInputError


@st.composite
def cases(draw):
    """The patient of each case, and a number of folds that they are enough for."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=12))
    patients = {f"case {p}.{n}": f"patient {p}" for p, size in enumerate(sizes) for n in range(size)}
    return patients, draw(st.integers(2, len(sizes)))


@given(cases(), st.integers(0, 2**32 - 1))
def test_each_case_is_in_one_fold_and_no_patient_in_two(case, seed):
    patients, count = case
    folds = make_folds(patients, count, seed)
    assert len(folds) == count
    assert sorted(name for fold in folds for name in fold) == sorted(patients)
    of_fold = [{patients[name] for name in fold} for fold in folds]
    assert all(of_fold)
    assert sum(map(len, of_fold)) == len({*patients.values()})


@given(cases(), st.integers(0, 2**32 - 1))
def test_folds_differ_by_no_more_than_the_largest_patient(case, seed):
    patients, count = case
    sizes = [len(fold) for fold in make_folds(patients, count, seed)]
    most = max(list(patients.values()).count(patient) for patient in patients.values())
    assert max(sizes) - min(sizes) <= most


@given(cases(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_cases_does_not_matter(case, seed):
    patients, count = case
    assert make_folds(dict(reversed(patients.items())), count, seed) == make_folds(patients, count, seed)


def test_another_seed_gives_other_folds():
    patients = {str(n): str(n) for n in range(20)}
    assert len({make_folds(patients, 5, seed) for seed in range(5)}) == 5
    assert {len(fold) for fold in make_folds(patients, 5, 0)} == {4}


def test_every_order_comes():
    assert {in_random_order("abc", seed) for seed in range(60)} == {
        (a, b, c) for a in "abc" for b in "abc" for c in "abc" if len({a, b, c}) == 3
    }


@pytest.mark.parametrize(
    ("patients", "count", "message"),
    [({"a": "x", "b": "y"}, 1, "got 1"), ({"a": "x", "b": "x"}, 2, "1 patient for 2"), ({}, 5, "0 patients for 5")],
)
def test_too_few(patients, count, message):
    with pytest.raises(InvalidInputError, match=message):
        make_folds(patients, count, 0)
