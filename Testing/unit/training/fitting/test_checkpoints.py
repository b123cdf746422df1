"""Checkpoints: by steps and by time, never at a high price, and a killed writer leaves nothing in the way."""

import pytest
import torch

from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.training.fitting import checkpoints
from DeepSegmentLib.training.fitting.checkpoints import Checkpoints, resume, save
from DeepSegmentLib.training.fitting.partial_losses import deeply_supervised
from DeepSegmentLib.training.fitting.settings import TrainSettings
from DeepSegmentLib.training.fitting.state import TrainingState


def _state(every=10**6):
    torch.manual_seed(0)
    spec = UNetSpec(1, 2, (4, 8), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,))
    return TrainingState(UNet(spec), TrainSettings(1000, checkpoint_every=every), deeply_supervised)


def _on_disk(path):
    if not path.exists():
        return None
    again = _state()
    resume(again, path)
    return again.iteration


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    return now


def test_a_checkpoint_is_never_older_than_a_minute_and_a_step(tmp_path, clock):
    state, path = _state(), tmp_path / "state.pt"
    kept = Checkpoints(state, path)
    found = []
    for clock[0] in range(0, 200, 20):
        state.iteration += 1
        kept.keep_if_due()
        found.append(_on_disk(path))
    assert found == [None, None, None, None, 5, 5, 5, 5, 9, 9]


def test_checkpoints_by_steps_do_not_wait_for_the_time(tmp_path, clock):
    state, path = _state(every=3), tmp_path / "state.pt"
    kept = Checkpoints(state, path)
    for _ in range(7):
        state.iteration += 1
        kept.keep_if_due()
    assert _on_disk(path) == 6


def test_where_the_disk_is_slow_most_of_the_time_still_goes_to_the_steps(tmp_path, clock, monkeypatch):
    def slowly(snapshot, path):
        clock[0] += 10
        save(snapshot, path)

    monkeypatch.setattr(checkpoints, "save", slowly)
    state = _state()
    kept, writing = Checkpoints(state, tmp_path / "state.pt"), 0.0
    for _ in range(1000):
        state.iteration += 1
        clock[0] += 5
        before = clock[0]
        kept.keep_if_due()
        writing += clock[0] - before
    assert 0 < writing <= 0.03 * clock[0]


def test_what_is_on_disk_is_not_written_again(tmp_path):
    state, path = _state(), tmp_path / "state.pt"
    kept = Checkpoints(state, path)
    kept.keep()
    assert not path.exists()  # nothing was done yet
    state.iteration = 1
    kept.keep()
    path.unlink()
    kept.keep()
    assert not path.exists()


def test_what_a_killed_writer_left_is_replaced(tmp_path):
    (tmp_path / ".state.pt.partial").write_bytes(b"half a checkpoint")
    save(_state().snapshot(), tmp_path / "state.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
