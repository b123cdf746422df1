"""The curves of a training for TensorBoard: what the progress file tells, each step once."""

import sys
from itertools import pairwise

import pytest

from DeepSegmentLib.service.training.progress.progress_file import ProgressFile, read_progress
from DeepSegmentLib.training.fitting.checks import Checked
from DeepSegmentLib.training.fitting.fit import StepFinished


def _tell(folder, begin, end):
    """Steps after `begin`, in a process of their own."""
    told = ProgressFile(folder / "progress.jsonl")
    told.go_on_from(begin)
    for step in range(begin + 1, end + 1):
        check = Checked(step, {"Left lung": step / 100}, (0.5,)) if step == 25 else None
        told.step(StepFinished(step, 1 / step, 0.1 * step, float(step), check))


def test_each_step_is_drawn_once_however_often_the_training_went_on(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _tell(tmp_path, 0, 18)
    _tell(tmp_path, 7, 25)  # the checkpoint was of step 7
    _tell(tmp_path, 25, 32)
    events = EventAccumulator(str(tmp_path)).Reload()
    lines = read_progress(tmp_path / "progress.jsonl")
    assert [line.iteration for line in lines] == [10, 20, 25, 30]
    assert events.Tags()["scalars"] == ["loss", "rate", "Dice/Left lung"]
    for name, values in (("loss", [line.loss for line in lines]), ("rate", [line.rate for line in lines])):
        drawn = events.Scalars(name)
        assert [each.step for each in drawn] == [10, 20, 25, 30]
        assert [each.value for each in drawn] == pytest.approx(values, rel=1e-3)
        assert all(a.wall_time <= b.wall_time for a, b in pairwise(drawn))
    (dice,) = events.Scalars("Dice/Left lung")
    assert (dice.step, dice.value) == (25, pytest.approx(0.25))
    assert len([*tmp_path.glob("events*")]) == 1


def test_without_tensorboard_there_is_the_progress_file_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    _tell(tmp_path, 0, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["progress.jsonl"]
