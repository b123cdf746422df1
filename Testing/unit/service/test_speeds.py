"""The record of how fast models were."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_examples import model_spec

from DeepSegmentLib.networks.stage_spec import WeightsFile
from DeepSegmentLib.service import speeds
from DeepSegmentLib.service.speeds import known_speed, record_speed, speeds_file

SPEC = model_spec()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data folder of the user."""
    monkeypatch.setattr(speeds, "user_folder", lambda: tmp_path / "DeepSegment")


def test_unknown_until_it_ran():
    assert known_speed(SPEC, "cpu") is None
    record_speed(SPEC, "cpu", seconds=12.0, passes=4)
    assert known_speed(SPEC, "cpu") == 3.0
    assert known_speed(SPEC, "cuda:0") is None
    assert known_speed(model_spec(version="2.0"), "cpu") is None
    assert known_speed(model_spec(weights=(WeightsFile("weights.safetensors", "0f" * 32),)), "cpu") is None


@given(st.lists(st.tuples(st.floats(0.01, 1e4), st.integers(1, 1000)), min_size=1, max_size=5))
def test_it_lies_between_the_runs_and_nearest_the_last(runs):
    speeds_file().unlink(missing_ok=True)
    for seconds, passes in runs:
        record_speed(SPEC, "cpu", seconds=seconds, passes=passes)
    each = [seconds / passes for seconds, passes in runs]
    assert min(each) * 0.999 <= known_speed(SPEC, "cpu") <= max(each) * 1.001


def test_a_change_of_the_machine_is_learnt():
    for _ in range(50):
        record_speed(SPEC, "cpu", seconds=100.0, passes=10)
    for _ in range(10):
        record_speed(SPEC, "cpu", seconds=10.0, passes=10)
    assert known_speed(SPEC, "cpu") == pytest.approx(1.0, rel=0.02)


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
        b'{"KEY": ["a", 1]}',
        b'{"KEY": [1, 0]}',
        b'{"KEY": [-1, 1]}',
        b'{"KEY": [NaN, 1]}',
        b'{"KEY": [Infinity, 1]}',
        b'{"KEY": [1' + b"0" * 400 + b", 1]}",
        b'{"KEY": [1, 2, 3]}',
    ],
)
def test_a_damaged_record_is_begun_anew(damage):
    record_speed(SPEC, "cpu", seconds=1.0, passes=1)
    (key,) = json.loads(speeds_file().read_text())
    speeds_file().write_bytes(damage.replace(b"KEY", key.encode()))
    assert known_speed(SPEC, "cpu") is None
    record_speed(SPEC, "cpu", seconds=1.0, passes=2)
    assert known_speed(SPEC, "cpu") == 0.5


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
@pytest.mark.parametrize(
    ("make", "speed"),
    [(os.mkfifo, None), (lambda path: path.write_bytes(b" " * (2 << 20)), 0.5)],
    ids=["a pipe is left", "a large one is begun anew"],
)
def test_a_record_that_is_no_small_file_is_not_read(make, speed):
    speeds_file().parent.mkdir()
    make(speeds_file())
    assert known_speed(SPEC, "cpu") is None
    record_speed(SPEC, "cpu", seconds=1.0, passes=2)
    assert known_speed(SPEC, "cpu") == speed


def test_a_record_that_cannot_be_written_is_left():
    speeds_file().parent.write_text("a file where the folder should be")
    record_speed(SPEC, "cpu", seconds=1.0, passes=1)
    assert known_speed(SPEC, "cpu") is None


def test_the_record_stays_small():
    for n in range(speeds._MOST_ENTRIES + 5):
        record_speed(SPEC, f"cuda:{n}", seconds=1.0, passes=1)
    assert len(json.loads(speeds_file().read_text())) == speeds._MOST_ENTRIES
    assert known_speed(SPEC, "cuda:0") is None
    assert known_speed(SPEC, f"cuda:{n}") == 1.0
    assert [path.name for path in speeds_file().parent.iterdir()] == ["speeds.json"]
