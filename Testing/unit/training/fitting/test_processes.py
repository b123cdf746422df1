"""Processes that train together: which one this is, how they share a batch. How they train: through the command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.training.fitting.launch import Launch, launch
from DeepSegmentLib.training.fitting.processes import by_the_first, joined, share_of
from DeepSegmentLib.training.fitting.sample_processes import _Samples


@pytest.fixture
def launched(monkeypatch):
    """Sets what the launcher would."""

    def set_words(**words):
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.delenv(name, raising=False)
        for name, word in words.items():
            monkeypatch.setenv(name, word)

    return set_words


def test_without_a_launcher_a_process_is_alone(launched):
    launched()
    assert launch() == Launch(0, 1, 0)
    with joined():
        assert by_the_first(lambda: 3) == 3


def test_the_launcher_says_which_process_this_is(launched):
    launched(RANK="5", WORLD_SIZE="8", LOCAL_RANK="1")
    assert launch() == Launch(5, 8, 1)
    assert not launch().is_first


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "below WORLD_SIZE, got 2, 0 and 2"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK must be 0 or more"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK in the environment must be a whole number, got 'one'"),
    ],
)
def test_an_environment_that_makes_no_sense_is_told(launched, words, told):
    launched(**words)
    with pytest.raises(InvalidInputError, match=told):
        launch()


def test_an_environment_that_is_not_complete_is_told(launched):
    launched(RANK="0", WORLD_SIZE="2")
    with pytest.raises((InvalidInputError, ResourceError), match="MASTER_ADDR"), joined():
        pytest.fail("it began")


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 3), st.integers(1, 4))
def test_together_the_parts_of_a_batch_are_the_batch(processes, share, start, steps):
    batch = processes * share
    assert share_of(batch, processes) == share
    parts = [
        _Samples(lambda n: n, range(start * batch + rank, (start + steps) * batch, processes))
        for rank in range(processes)
    ]
    for step in range(steps):
        seen = sorted(part[step * share + n] for part in parts for n in range(share))
        assert seen == [*range((start + step) * batch, (start + step + 1) * batch)]
    assert {len(part) for part in parts} == {steps * share}


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InvalidInputError, match="2 processes cannot share batches of 3 evenly; make batch_size in the"):
        share_of(3, 2)
