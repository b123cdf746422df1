"""The examples of the library run word for word; a tiny model stands for the bundled one, a ball for a head."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib import Geometry, Segment, read_segmentation, write_volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service import catalogue

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
(FROM_PYTHON,) = re.findall(r"## From Python\n\n```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder as it is after `make demo`, but small."""
    torch.manual_seed(0)
    spec = model_spec(name="brain-mr", spacing_mm=(4, 4, 4), segments=(Segment("Putamen", 1), Segment("Thalamus", 2)))
    save_model(tmp_path / "models" / "brain-mr", spec, UNet(TINY_UNET), card="")
    monkeypatch.setattr(catalogue, "bundled_models_folder", lambda: tmp_path / "models")
    place = Geometry.from_spacing((11, 12, 13), (4, 4, 4)).affine.copy()
    place[:3, 3] = (-30, -40, -10)
    ball = np.linalg.norm(np.indices((11, 12, 13)).T - (5, 5.5, 6), axis=-1).T < 4
    noise = np.random.default_rng(0).normal(0, 20, ball.shape)
    write_volume(((300 * ball + noise).astype(np.int16), place), tmp_path / ".cache" / "colin27" / "ch2.nii.gz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readmes_example_runs_word_for_word(clone, capsys):
    names = {}
    exec(compile(FROM_PYTHON, "README.md", "exec"), names)
    assert len(FROM_PYTHON.splitlines()) <= 15
    assert capsys.readouterr().out.startswith("Segmentation(2 segments, 11 x 12 x 13 voxels")
    assert np.array_equal(read_segmentation("demo/head.seg.nrrd").labels, names["result"].labels)
    assert names["better"].provenance["corrections"] == "1"
    assert (clone / "demo" / "nnUNet_raw" / "Dataset501_Brain" / "dataset.json").is_file()


def test_the_longer_example_runs_and_all_forms_agree(clone, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["front_door.py"])
    runpy.run_path(str(REPOSITORY / "docs" / "examples" / "front_door.py"))
    said = capsys.readouterr().out
    assert "same labels: True True" in said
    assert "axes of the array: True" in said
    assert "changes: 1, undone: 0" in said
    assert (clone / "demo" / "front_door" / "clicks.json").is_file()
