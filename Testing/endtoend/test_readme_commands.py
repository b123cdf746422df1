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
from DeepSegmentLib.hosts.cli import main
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
    Path("clicks.json").write_text(re.search(r"^\(`(\[\{.+\}\])`\)", README, re.MULTILINE)[1])
    return desk


def test_they_run_word_for_word(desk, capsys):
    pytest.importorskip("highdicom")
    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        assert main(shlex.split(command)) == 0, (command, capsys.readouterr().err)
    assert {path: path.read_bytes() for path in before} == before


def test_a_second_time_nothing_is_replaced_unasked(desk):
    pytest.importorskip("highdicom")
    for command in COMMANDS:
        main(shlex.split(command))
    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    for command in COMMANDS:
        code = main(shlex.split(command))
        asked = "--replace" in command or "--skip-existing" in command or "nnunet" in command
        assert code == (2 if re.search(r"\.(seg\.nrrd|dcm|csv|png)\b.*", command) and not asked else 0), command
    grown = {"better.seg.nrrd", "dataset.json"}
    assert {path.name for path in before if path.read_bytes() != before[path]} <= grown
