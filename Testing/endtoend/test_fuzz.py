"""A short run of the fuzzer: the hostile cases of each door and a few changed ones. `make fuzz` runs them all."""

import sys
from contextlib import closing

import pytest
from fuzz.cases import Case, Link, Pipe, Repeated, Sparse
from fuzz.doors import DOORS
from fuzz.runner import Child, fuzz

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and pipes are those of Linux")
CHANGED, FLIPPED = 40, 25


@pytest.fixture(scope="module")
def child():
    with closing(Child(*DOORS)) as started:
        yield started


@pytest.mark.parametrize("name", DOORS)
def test_only_errors_for_users_come_out(child, name, tmp_path):
    count = FLIPPED if name.startswith("flips-") else CHANGED
    tally = fuzz(DOORS[name], count, 0, child, kept=tmp_path)
    # Of the sound commands four end with a refusal: a name that is taken, another grid, a recipe of nothing, folds of
    # one case.
    assert tally.intact.keys() - {"refused"} == {"accepted"}
    assert tally.intact["refused"] == (4 if name == "command" else 0)
    assert tally.failures == []
    assert tally.counts.total() >= count


def test_there_are_targets_enough():
    assert len([name for name in DOORS if not name.startswith("flips-")]) >= 16


def test_the_same_seed_gives_the_same_cases():
    door = DOORS["nrrd"]
    from fuzz.runner import cases_of

    first, second = ([case.to_json() for case in cases_of(door, 9, 3)] for _ in range(2))
    assert first == second


def test_a_case_comes_back_from_its_text():
    files = {"a": b"\xff", "b\udcff": Pipe(), "c": Link("a"), "d": Sparse(9, b"x"), "e": Repeated(b"a", b"b", 2, b"c")}
    case = Case(files, ("segment", "\ud800"), "a note")
    assert Case.from_json(case.to_json()) == case


def test_a_failing_target_is_noticed(child, tmp_path):
    """A reader that answers wrong, hangs or dies is what the runner is for."""
    found = child.open("nii", Case({"a.nii": b"x"}))
    assert found["outcome"] == "refused"
    wrong = child.open("flips-nii.gz", DOORS["nii.gz"].seeds()[2])
    assert wrong["outcome"] == "traceback"  # another shape than the voxels that were packed
