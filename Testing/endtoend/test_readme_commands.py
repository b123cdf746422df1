"""The commands of the README run one after the other, word for word; a tiny model stands for the bundled one."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_series import write_slices
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.unet import UNet
from DeepSegmentLib.service import catalogue

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^deepsegment (.+)$", README, re.MULTILINE)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working folder with what the commands read."""
    torch.manual_seed(0)
    spec = model_spec(name="brain-mr", segments=(Segment("Putamen", 1), Segment("Thalamus", 2)))
    save_model(tmp_path / "models" / "brain-mr", spec, UNet(TINY_UNET), card="")
    monkeypatch.setattr(catalogue, "bundled_models_folder", lambda: tmp_path / "models")
    desk = tmp_path / "desk"
    (desk / "folder_of_volumes").mkdir(parents=True)
    monkeypatch.chdir(desk)
    grid = Geometry.from_spacing((12, 14, 45), (1, 1, 1))
    head = Volume(np.random.default_rng(0).normal(size=(1, *grid.shape)).astype(np.float32), grid)
    for name in ("head.nii.gz", "folder_of_volumes/a.nii.gz", "folder_of_volumes/b.nrrd"):
        write_volume(head, Path(name))
    (desk / "dicom_folder").mkdir()
    write_slices(desk / "dicom_folder", SeriesInstanceUID="1.2.840.113619.2.55")
    labels = np.ones((1, *grid.shape), np.uint8)
    write_segmentation(LabelMap(labels, grid, spec.segments), Path("reference.seg.nrrd"))
    Path("clicks.json").write_text(re.search(r"\(`(\[\{.+\}\])`\)", README)[1])
    return desk


def test_they_run_word_for_word_and_replace_nothing_unasked(desk, capsys):
    pytest.importorskip("highdicom")
    before = _content(desk)
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        assert main(shlex.split(command)) == 0, (command, capsys.readouterr().err)
    made = _content(desk)
    assert {path: made[path] for path in before} == before
    for command in COMMANDS:
        asked = "--replace" in command or "--skip-existing" in command or "nnunet" in command
        writes = re.search(r"^(segment|correct|export)|--csv|--report", command)
        assert main(shlex.split(command)) == (2 if writes and not asked else 0), command
    again = _content(desk)
    renewed = {"better.seg.nrrd", "dataset.json", "deepsegment-batch.csv"}
    assert {path.name for path in made if again[path] != made[path]} <= renewed


def _content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
