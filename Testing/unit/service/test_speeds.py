"""The record of how long runs took, and what it says of the next one."""

import json
import os
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_examples import model_spec

from DeepSegmentLib.networks.runtime import TimedNetwork, timed_network
from DeepSegmentLib.networks.stage_spec import WeightsFile
from DeepSegmentLib.service import speeds
from DeepSegmentLib.service.speeds import Taken, known_runs, record_run, speeds_file, taken_by

SPEC = model_spec()
RUN = Taken(start_s=5.0, starts=1.0, passes_s=12.0, passes=4.0, around_s=2.0, voxels=1000.0)
SECONDS = st.floats(0.01, 1e4)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data folder of the user."""
    monkeypatch.setattr(speeds, "user_folder", lambda: tmp_path / "DeepSegment")


def test_unknown_until_it_ran():
    assert known_runs(SPEC, "cpu") is None
    record_run(SPEC, ["auto", "cpu"], RUN)
    assert known_runs(SPEC, "cpu") == known_runs(SPEC, "auto") == RUN
    assert known_runs(SPEC, "cuda:0") is None
    assert known_runs(model_spec(version="2.0"), "cpu") is None
    assert known_runs(model_spec(weights=(WeightsFile("weights.safetensors", "0f" * 32),)), "cpu") is None


def test_a_run_like_the_last_takes_as_long_and_a_larger_one_longer():
    assert RUN.seconds(4, 1000) == 14.0
    assert RUN.seconds(8, 1000) == 26.0
    assert RUN.seconds(8, 2000) == 28.0
    assert RUN.seconds_to_start == 5.0
    assert Taken(0.0, 0.0, 12.0, 4.0, 2.0, 1000.0).seconds_to_start == 0.0


@given(st.lists(st.tuples(SECONDS, st.integers(1, 1000)), min_size=1, max_size=5))
def test_it_lies_between_the_runs(runs):
    speeds_file().unlink(missing_ok=True)
    for seconds, passes in runs:
        record_run(SPEC, ["cpu"], Taken(0.0, 0.0, seconds, float(passes), 1.0, 1.0))
    each = [seconds / passes for seconds, passes in runs]
    assert min(each) * 0.999 <= known_runs(SPEC, "cpu").seconds_a_pass <= max(each) * 1.001


def test_a_change_of_the_machine_is_learnt():
    for seconds in (*(100.0,) * 50, *(10.0,) * 10):
        record_run(SPEC, ["cpu"], Taken(0.0, 0.0, seconds, 10.0, 1.0, 1.0))
    assert known_runs(SPEC, "cpu").seconds_a_pass == pytest.approx(1.0, rel=0.02)


def test_a_run_of_a_loaded_model_says_nothing_of_the_start():
    record_run(SPEC, ["cpu"], RUN)
    record_run(SPEC, ["cpu"], Taken(0.0, 0.0, 12.0, 4.0, 2.0, 1000.0))
    assert known_runs(SPEC, "cpu").seconds_to_start == 5.0


class Clock:
    """Stands still but where a network works."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timed_network.time, "monotonic", lambda: self.now)

    def network(self, seconds, reading=0.0):
        """One whose calls take these seconds, each of one patch."""
        clock, waiting = self, iter(seconds)

        class Network:
            head = None

            @property
            def device(self):
                clock.now += reading
                return "cpu"

            def __call__(self, patches):
                clock.now += next(waiting)
                return patches

        timed = TimedNetwork(Network())
        assert timed.device == "cpu"
        for _ in seconds:
            timed([None])
        return timed


def test_start_passes_and_the_rest_are_told_apart(monkeypatch):
    network = Clock(monkeypatch).network([3.0, 1.0, 1.0, 1.0], reading=0.5)
    taken = taken_by([network], seconds=10.5, loading_s=2.0, voxels=1000, compared=False)
    assert astuple(taken) == (4.5, 1.0, 4.0, 4.0, 4.0, 1000.0)


def test_comparing_back_ends_is_no_part_of_the_pace(monkeypatch):
    network = Clock(monkeypatch).network([16.0, 1.0, 30.0, 1.0, 1.0])  # the third compared again
    taken = taken_by([network], seconds=60.0, loading_s=1.0, voxels=1000, compared=True)
    assert taken.passes_s == 5.0
    assert taken.around_s == 60.0 - 49.0
    assert 1.0 < taken.seconds_to_start < 5.0
    assert taken.starts < 0.1


def test_a_start_that_was_measured_counts_more_than_a_guess(monkeypatch):
    guess = taken_by([Clock(monkeypatch).network([81.0, 1.0])], seconds=90.0, loading_s=0.0, voxels=9, compared=True)
    record_run(SPEC, ["cpu"], guess)
    record_run(SPEC, ["cpu"], RUN)
    assert known_runs(SPEC, "cpu").seconds_to_start == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("calls", [[], [5.0]])
def test_what_says_nothing_of_the_next_run_is_not_kept(monkeypatch, calls):
    network = Clock(monkeypatch).network(calls)
    assert taken_by([network], seconds=9.0, loading_s=1.0, voxels=9, compared=True) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\x80",
        b"{",
        b"[]",
        b"7",
        b"[" * 100_000,
        b'{"KEY": 3}',
        b'{"KEY": [1, 1]}',
        b'{"KEY": [1, 1, "a", 1, 1, 1]}',
        b'{"KEY": [1, 1, 1, 0, 1, 1]}',
        b'{"KEY": [-1, 1, 1, 1, 1, 1]}',
        b'{"KEY": [NaN, 1, 1, 1, 1, 1]}',
        b'{"KEY": [1, 1, Infinity, 1, 1, 1]}',
        b'{"KEY": [1, 1, 1, 1, 1, 1' + b"0" * 400 + b"]}",
        b'{"KEY": [1, 2, 3, 4, 5, 6, 7]}',
    ],
)
def test_a_damaged_record_is_begun_anew(damage):
    record_run(SPEC, ["cpu"], RUN)
    (key,) = json.loads(speeds_file().read_text())
    speeds_file().write_bytes(damage.replace(b"KEY", key.encode()))
    assert known_runs(SPEC, "cpu") is None
    record_run(SPEC, ["cpu"], RUN)
    assert known_runs(SPEC, "cpu") == RUN


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
@pytest.mark.parametrize(
    ("make", "known"),
    [(os.mkfifo, None), (lambda path: path.write_bytes(b" " * (2 << 20)), RUN)],
    ids=["a pipe is left", "a large one is begun anew"],
)
def test_a_record_that_is_no_small_file_is_not_read(make, known):
    speeds_file().parent.mkdir()
    make(speeds_file())
    assert known_runs(SPEC, "cpu") is None
    record_run(SPEC, ["cpu"], RUN)
    assert known_runs(SPEC, "cpu") == known


def test_a_record_that_cannot_be_written_is_left():
    speeds_file().parent.write_text("a file where the folder should be")
    record_run(SPEC, ["cpu"], RUN)
    assert known_runs(SPEC, "cpu") is None


def test_the_record_stays_small():
    for n in range(speeds._MOST_ENTRIES + 5):
        record_run(SPEC, [f"cuda:{n}"], RUN)
    assert len(json.loads(speeds_file().read_text())) == speeds._MOST_ENTRIES
    assert known_runs(SPEC, "cuda:0") is None
    assert known_runs(SPEC, f"cuda:{n}") == RUN
    assert [path.name for path in speeds_file().parent.iterdir()] == ["speeds.json"]
