"""No command changes any of its inputs, however they are spelled and whatever it is asked for.

Each example is a whole command line on a small world of files; what it read, and without --replace everything that was
there, has the same bytes after it.
"""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_series import write_slices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.dicom import read_series
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import build_parser, main
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.export import FORMATS

several_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

VOLUMES = ("scan.nrrd", "scan.nii.gz", "series")
LABELS = ("labels.seg.nrrd", "labels.nii.gz", "maps/a.nrrd")
NEW = ("new.seg.nrrd", "new.nii.gz", "deep/er/new.nrrd", "new.json", "new.csv", "new.png", "new.dcm", "new")
SPELLINGS = ("plain", "absolute", "dotted", "link", "hard", "folder link", "capitals")


def _labels(grid):
    layers = np.zeros((1, *grid.shape), np.uint8)
    layers[0, :2], layers[0, 2:, :3] = 1, 2
    return LabelMap(layers, grid, (Segment("left", 1), Segment("right", 2)))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """All that commands read, once; examples work on copies."""
    root = tmp_path_factory.mktemp("world")
    grid = Geometry.from_spacing((8, 9, 10), (1, 1, 1))
    scan = Volume(np.random.default_rng(0).normal(size=(1, *grid.shape)).astype(np.float32), grid)
    for name in ("scan.nrrd", "scan.nii.gz"):
        write_volume(scan, root / name)
    for name in ("series", "maps", "other"):
        (root / name).mkdir()
    write_slices(root / "series")
    for name in (*LABELS, "other/a.nrrd"):
        write_segmentation(_labels(grid), root / name)
    write_segmentation(_labels(read_series(root / "series").geometry), root / "series labels.seg.nrrd")
    torch.manual_seed(0)
    save_model(root / "model", model_spec(), UNet(TINY_UNET), card="")
    (root / "prompts.json").write_text(
        '[{"type": "point", "segment": "left", "positive": true, "points_ras": [[2,2,2]]}]'
    )
    (root / "recipe.json").write_text("{}")
    here = Path.cwd()
    os.chdir(root)
    try:
        command = "export scan.nii.gz labels.nii.gz --to nnunet --output Dataset001_A --case a --channel-name T1"
        assert main(command.split()) == 0
        command = "correct scan.nrrd labels.nii.gz --prompts prompts.json --output x.nrrd --journal journal"
        assert main(command.split()) == 0
    finally:
        os.chdir(here)
    return root


def _spelled(path, how):
    """Another name of a file or folder, relative to the working folder; made where it is a link."""
    link = path.with_name(f"{how} to {path.name}")
    if how == "absolute":
        return path.absolute()
    if how == "dotted":
        return Path("maps") / ".." / path
    if how == "capitals":
        return path.with_name(path.name.upper())
    if how == "folder link":
        with suppress(FileExistsError):
            Path("here").symlink_to(".")
        return Path("here") / path
    with suppress(OSError):
        if how == "link" and path.exists():
            link.symlink_to(path.absolute())
        if how == "hard" and path.is_file():
            os.link(path, link)
    return link if link.exists() else path


@st.composite
def spelled(draw, names):
    """A name and how it is spelled."""
    return draw(st.sampled_from(names)), draw(st.sampled_from(SPELLINGS))


ALL = (*VOLUMES, *LABELS, "labels.labels.json", "prompts.json", "recipe.json", "model", "model/model.json",
       "model/weights.safetensors", "series/001.dcm", "series/new.dcm", "maps/a.labels.json", "other/a.nrrd", "journal",
       "journal/journal.jsonl", "journal/start.seg.nrrd", "Dataset001_A", "Dataset001_A/dataset.json",
       "Dataset001_A/imagesTr/a_0000.nii.gz", "series labels.seg.nrrd")  # fmt: skip
IMAGES = (*VOLUMES, "Dataset001_A/imagesTr/a_0000.nii.gz")
SEGMENTATIONS = (*LABELS, "Dataset001_A/labelsTr/a.nii.gz", "series labels.seg.nrrd")
READ = {
    "segment": [spelled(IMAGES)],
    "correct": [spelled(IMAGES), spelled(SEGMENTATIONS)],
    "resume": [],
    "evaluate": [spelled(("maps", *SEGMENTATIONS)), spelled(("other", *SEGMENTATIONS))],
    "export": [spelled(IMAGES), spelled(SEGMENTATIONS)],
    "train-synthetic": [spelled(("recipe.json",)), spelled(("maps",))],
}
ALSO_READ = {
    "segment": {"--model": spelled(("model",))},
    "correct": {"--prompts": spelled(("prompts.json",))},
    "resume": {"--resume": spelled(("journal",))},
}
WRITTEN = {
    "segment": ["", "--report", "--preview"],
    "correct": ["--output", "--journal"],
    "resume": ["--output"],
    "evaluate": ["--csv", "--report"],
    "export": ["--output"],
    "train-synthetic": ["", "--checkpoint"],
}
MORE = {
    "segment": [["--save-uncertainty"], ["--save-probabilities", "left"]],
    "export": [
        ["--case", "a"],
        ["--case", "scan"],
        ["--channel-name", "T1"],
        ["--new-labels"],
        ["--made-by", "manual"],
    ],
}
MUST = {
    "correct": ["--output"],
    "resume": ["--output"],
    "export": ["--output"],
    "segment": [""],
    "train-synthetic": WRITTEN["train-synthetic"],
}


@st.composite
def commands(draw, name):
    """The words of a command: text, or a file with its spelling; then those that are read, and whether it replaces."""
    read = [draw(each) for each in READ[name]]
    words = ["correct" if name == "resume" else name, *read]
    written = [option for option in WRITTEN[name] if option in MUST.get(name, []) or draw(st.booleans())]
    # Often an input itself, or a file that is there.
    place = st.one_of(spelled(ALL), spelled(NEW), *([spelled([each for each, _ in read])] if read else []))
    words += [draw(place) for option in written if not option]
    for option, strategy in ALSO_READ.get(name, {}).items():
        read.append(draw(strategy))
        words += [option, read[-1]]
    for option in written:
        words += [option, draw(place)] if option else []
    if name == "export":
        words += ["--to", draw(st.sampled_from(FORMATS))]
    for more in MORE.get(name, []):
        words += more if draw(st.booleans()) else []
    replaces = draw(st.booleans()) and _can_replace(words[0])
    return [*words, *(["--replace"] if replaces else [])], read, replaces


def _can_replace(command):
    arguments = {"segment": ["a", "b"], "evaluate": ["a", "b"], "correct": ["--output", "c"], "export": [
        "a", "b", "--to", "csv", "--output", "c"],
        "train-synthetic": ["a", "b", "c", "--checkpoint", "d"]}[command]  # fmt: skip
    with suppress(SystemExit):
        build_parser().parse_args([command, *arguments, "--replace"])
        return True
    return False


def _content(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".deepsegment.lock"}


def _belongs(path, root, name):
    """Whether a file is what a command reads under this name; a resumed journal is there to be written on."""
    if name == "journal":
        return False
    whole = root / name
    table = whole.with_name(whole.name.split(".")[0] + ".labels.json")
    return path in (whole, table) or whole in path.parents


@pytest.mark.parametrize("name", READ)
@several_files
@given(data=st.data())
def test_no_command_changes_what_it_reads(world, tmp_path_factory, monkeypatch, capfd, name, data):
    words, read, replaces = data.draw(commands(name))
    root = tmp_path_factory.mktemp("copy") / "root"
    shutil.copytree(world, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("DEEPSEGMENT_TRACEBACK", "1")
    arguments = [str(_spelled(Path(word[0]), word[1])) if isinstance(word, tuple) else word for word in words]
    before = _content(root)
    code = main(arguments)
    said = capfd.readouterr().err
    assert "Traceback" not in said, (arguments, said)
    after = _content(root)
    kept = {path for path in before if not replaces or any(_belongs(path, root, each) for each, _ in read)}
    if "resume" in name:
        kept -= {path for path in kept if path.is_relative_to(root / "journal")}
    changed = sorted(str(path.relative_to(root)) for path in kept if after.get(path) != before[path])
    # A dataset grows by its list; the cases in it stay.
    grown = ["Dataset001_A/dataset.json"] if code == 0 and "nnunet" in arguments else []
    assert [each for each in changed if each not in grown] == [], (arguments, code, said)
    if code != 0:
        assert sorted(set(after) - set(before)) == [], (arguments, said)
    shutil.rmtree(root.parent)


def test_the_world_lets_commands_succeed(world, tmp_path, monkeypatch):
    """Else the law above would say nothing."""
    shutil.copytree(world, tmp_path / "root")
    monkeypatch.chdir(tmp_path / "root")
    for command in (
        "segment scan.nrrd new.nii.gz --model model --save-uncertainty --report new.json --preview new.png",
        "correct scan.nrrd labels.seg.nrrd --prompts prompts.json --output deep/er/new.seg.nrrd --journal deep/journal",
        "correct --resume journal --output back.nrrd",
        "evaluate maps other --csv new.csv --report scores.json",
        "export scan.nrrd labels.nii.gz --to nifti --output new",
        "export scan.nrrd labels.nii.gz --to nnunet --output Dataset001_A",
        "export scan.nrrd labels.nii.gz --to csv --output new/case_0001.csv",
        "export scan.nrrd labels.nii.gz --to seg-nrrd --output new/case_0001.seg.nrrd",
    ):
        assert main(command.split()) == 0, command
        assert main(command.split()) == (0 if "nnunet" in command or "nifti" in command else 2), command
    told = json.loads(Path("new/case_0001.csv.provenance.json").read_text())
    assert told["case"] == "case_0001"
