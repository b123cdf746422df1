"""Training through the front door: what is told from the first second, stopped by a signal, and gone on with."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_examples import model_spec

from DeepSegmentLib.data import Geometry, LabelMap
from DeepSegmentLib.data.dataclass_json import to_json
from DeepSegmentLib.files.models import read_spec, verify_model
from DeepSegmentLib.files.segmentations.labelmaps import write_labelmap
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.service.training.train_synthetic import Recipe
from DeepSegmentLib.training.fitting.sample_processes import _but_lost_connections
from DeepSegmentLib.training.fitting.settings import TrainSettings
from DeepSegmentLib.training.synthesis import SynthesisSettings
from DeepSegmentLib.training.synthesis_cases import Tissue

RECIPE = Recipe(
    model=model_spec(spacing_mm=(2.0, 2.0, 2.0), patch_shape=(8, 8, 8), orientation="RAS"),
    tissues=(Tissue("core", (2,), 1, (0.9, 0.02)), Tissue("shell", (3,), 2, (0.5, 0.02))),
    hull_mm=2.0,
    synthesis=SynthesisSettings(patch_shape=(8, 8, 8), jitter_mm=2.0, usual_contrast=1.0, usual_inverted=0.0),
    training=TrainSettings(iterations=4, workers=0, checkpoint_every=10**6, warm_up=2),
    card="# tiny\n",
)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working folder with a recipe and a label map."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps").mkdir()
    radius = np.sqrt(((np.mgrid[:20, :20, :20] - 9.5) ** 2).sum(0))
    labels = np.where(radius < 4, 2, np.where(radius < 6, 3, 0)).astype(np.uint8)
    write_labelmap(
        LabelMap(labels[None], Geometry.from_spacing((20, 20, 20), (1, 1, 1))), tmp_path / "maps" / "a.nii.gz"
    )
    _write(tmp_path, iterations=4)
    return tmp_path


def _write(desk, **settings):
    recipe = replace(RECIPE, training=replace(RECIPE.training, **settings))
    (desk / "recipe.json").write_text(json.dumps(to_json(recipe)))


COMMAND = ["train-synthetic", "recipe.json", "maps", "model", "--checkpoint", "state.pt"]


def test_what_is_done_is_told_step_by_step(desk, capsys):
    assert main(COMMAND) == 0
    told = capsys.readouterr()
    patterns = [
        r"train by recipe\.json: load the libraries",
        r"\S+ \S+, 2 segments: 4 iterations, 1 image each",
        r"read label map 1 of 1, a\.nii\.gz \.\.\.",
        r"1 label map, on cpu",
        r"1 of 4, loss \d+\.\d{4}, \d+ s to go",
        r"4 of 4, loss \d+\.\d{4}, 0 s to go",
    ]
    lines = told.err.splitlines()
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert re.fullmatch(r"4 iterations on 1 label map in \d+ s, loss \d\.\d+\nwrote model\n", told.out)


def test_a_program_reads_the_figures_and_nothing_else(desk, capsys):
    assert main([*COMMAND, "--json", "--quiet"]) == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert told.err == ""
    assert (report["output"], report["cases"], report["iterations"], report["device"]) == ("model", 1, 4, "cpu")
    assert read_spec(desk / "model").provenance["loss"] == str(report["loss"])


def test_every_step_where_more_is_asked_for(desk, capsys):
    assert main([*COMMAND, "-v"]) == 0
    assert len(re.findall(r"^\d of 4, loss", capsys.readouterr().err, re.MULTILINE)) == 4


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("name", "code", "workers"), [("SIGINT", 130, 1), ("SIGTERM", 143, 1), ("SIGHUP", 129, 1)])
def test_a_signal_saves_the_state_and_the_training_goes_on_exactly(desk, name, code, workers):
    _write(desk, iterations=40, workers=workers)
    command = [sys.executable, "-c", _WITHOUT_SIGNALS_IGNORED, *COMMAND, "-v"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        for line in process.stderr:
            if line.startswith("5 of 40"):
                os.killpg(process.pid, getattr(signal, name))  # as a terminal does, to the helpers too
                break
        told = process.stderr.read()
    assert process.returncode == code, told
    assert "Traceback" not in told
    assert "Warning" not in told
    assert "to go on: deepsegment train-synthetic recipe.json maps model --checkpoint state.pt\n" in told
    assert not (desk / "model").exists()
    assert 5 <= torch.load(desk / "state.pt", weights_only=True)["iteration"] < 40
    _write(desk, iterations=40, workers=0)  # who makes the samples changes nothing
    assert main(COMMAND) == 0
    assert main(["train-synthetic", "recipe.json", "maps", "whole", "--checkpoint", "other.pt"]) == 0
    weights = [verify_model(desk / name).weights_sha256 for name in ("model", "whole")]
    assert weights[0] == weights[1]


_WITHOUT_SIGNALS_IGNORED = """
import signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
from DeepSegmentLib.hosts.command.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_signal_while_its_processes_begin_ends_it_and_them(desk):
    _write(desk, iterations=4, workers=1)
    code = """
import os, signal
from multiprocessing.process import BaseProcess
begin = BaseProcess.start
def start(self):
    begin(self)
    for process in (self.pid, os.getpid()):
        os.kill(process, signal.SIGINT)
BaseProcess.start = start
"""
    command = [sys.executable, "-c", code + _WITHOUT_SIGNALS_IGNORED, *COMMAND]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert not (desk / "model").exists()


def test_lost_connections_of_the_helpers_are_no_error_to_tell(capsys):
    _but_lost_connections(ConnectionResetError, ConnectionResetError(), None)
    assert not capsys.readouterr().err
    _but_lost_connections(ValueError, ValueError("odd"), None)
    assert "odd" in capsys.readouterr().err


def test_it_says_where_it_goes_on(desk, capsys):
    assert main(COMMAND) == 0
    _write(desk, iterations=6)
    capsys.readouterr()
    assert main([*COMMAND[:3], "longer", *COMMAND[4:]]) == 0
    assert "1 label map, on cpu; goes on after 4 iterations\n5 of 6, loss" in capsys.readouterr().err
    _write(desk, iterations=5)
    assert main([*COMMAND[:3], "shorter", *COMMAND[4:]]) == 2
    assert "state.pt is 6 iterations on, and the training has 5" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["recipe.json", "maps"])
def test_what_is_missing_is_named_and_nothing_is_left(desk, capsys, argument):
    command = [f"no-{word}" if word == argument else word for word in COMMAND]
    assert main(command) in (2, 4)
    assert f"no-{argument}" in capsys.readouterr().err
    assert not (desk / "state.pt").exists()


def test_several_processes_are_refused_before_they_write_over_each_other(desk, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(COMMAND) == 2
    assert "runs in one process" in capsys.readouterr().err
    assert not (desk / "model").exists()
