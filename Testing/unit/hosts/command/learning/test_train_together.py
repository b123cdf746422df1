"""Two processes that train together, begun by torch's launcher: the same model as that of one process."""

import json
import os
import subprocess
import sys

import pytest
import torch
from ball_projects import ball_project, small_recipe

from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.files.models import verify_model
from DeepSegmentLib.service.training.progress.progress_file import read_progress
from DeepSegmentLib.service.training.train import train_on_project
from DeepSegmentLib.service.training.train_request import TrainRequest
from DeepSegmentLib.service.training.watch import Watch

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="needs torch with gloo"
)
STEPS = 8
# Of AdamW, weights whose gradient is nothing but rounding (biases before norms) go anywhere.
SETTINGS = {"optimizer": "sgd", "momentum": 0.9, "accumulate": 2}


def _request(project, name):
    return TrainRequest(project, name, iterations=STEPS, precision="float32")


def _stop_at_3(step):
    if step.iteration == 3:
        raise Cancelled("stopped by the user")


def _state(project, name):
    return torch.load(project / "trainings" / name / "checkpoint.pt", weights_only=True)


def test_two_processes_with_half_a_batch_each_make_the_model_of_one_with_the_whole(tmp_path):
    """The second training was begun by one process and goes on in two, which alone is told and written once."""
    project = ball_project(tmp_path / "balls")
    for name in ("alone", "together"):
        small_recipe(_request(project, name), **SETTINGS)
    alone = train_on_project(_request(project, "alone"), Watch())
    with pytest.raises(Cancelled):
        train_on_project(_request(project, "together"), Watch(on_step=_stop_at_3))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "DeepSegmentLib", "train", str(project), "--name", "together", "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # of one process
    assert done.stderr.count("goes on after 3 iterations") == 1
    assert report["loss"] == pytest.approx(alone["loss"], abs=2e-4)
    one, two = _state(project, "alone"), _state(project, "together")
    assert two["iteration"] == STEPS
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    for part in ("network", "average"):
        for name, weights in one[part].items():
            torch.testing.assert_close(two[part][name], weights, rtol=1e-4, atol=1e-6)
    assert [line.iteration for line in read_progress(project / "trainings" / "together" / "progress.jsonl")] == [STEPS]
    verify_model(project / "trainings" / "together" / "model")
