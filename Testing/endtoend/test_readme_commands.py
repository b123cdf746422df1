"""The commands of README and docs, word for word; a tiny model and head stand for the real ones."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, Segment, Volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service import catalogue

REPOSITORY = Path(__file__).resolve().parents[2]
TEXTS = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
}
README = TEXTS["README.md"]
IN_DEMO = re.findall(r"^deepsegment (.+)$", README, re.MULTILINE)
STARTS = ("deepsegment ", "python ", "make ", "pip ", "cd ", "pre-commit ", "PYTHONPATH=", ". ", "HYPOTHESIS_PROFILE=")

NOT_RUN = {
    "pip install .": "test_installation.py installs the wheel",
    "pip install '.[dicom]'": "likewise, with an extra",
    "pip install '.[cpu]'": "likewise",
    "pip install openvino": "downloads 60 MB",
    "pip install '.[onnx]'": "likewise",
    "pip install '.[cluster]'": "likewise",
    "pip install '.[tensorboard]'": "likewise",
    "pip install '.[tune]'": "likewise",
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": "downloads 200 MB",
    "pip install --index-url https://download.pytorch.org/whl/cpu torch": "downloads 200 MB",
    "pip install torch": "downloads gigabytes",
    "python -m DeepSegmentLib": "test_installation.py runs it",
    ". .venv/bin/activate": "changes a shell",
    "cd demo": "changes a shell",
    "pre-commit install": "changes the checkout",
    "deepsegment models get totalseg-total-fast": "downloads; test_get_model.py gets models from a server here",
    "deepsegment train-synthetic": "names the command; test_train_synthetic.py runs it",
    "deepsegment segment FOLDER RESULTS": "names a form; a folder is segmented above",
}


def _commands():
    """Every command in a fenced block or between back quotes, with where it stands."""
    found = {}
    for name, whole in TEXTS.items():
        text = whole
        if name.startswith("docs/decisions"):  # of what was tried then, the scripts must be there still
            text = "\n".join(re.findall(r"`python (?:Testing|scripts)/[^`]*`", whole))
        fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        lines = [line.split("   #")[0].strip() for block in fenced for line in block.splitlines()]
        inline = [" ".join(each.split()) for each in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
        for each in [*lines, *inline]:
            if each.startswith(STARTS):
                found.setdefault(each, name)
    return found


COMMANDS = _commands()
SCRIPTS = {command: where for command, where in COMMANDS.items() if re.search(r"python (Testing|scripts)/", command)}
TARGETS = [
    re.sub(r"^HYPOTHESIS_PROFILE=deep ", "", command) for command in COMMANDS if re.search(r"(^| )make ", command)
]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with what `make demo` writes, of a tiny head."""
    torch.manual_seed(0)
    spec = model_spec(name="brain-mr", segments=(Segment("Putamen", 1), Segment("Thalamus", 2)))
    save_model(tmp_path / "models" / "brain-mr", spec, UNet(TINY_UNET), card="")
    monkeypatch.setattr(catalogue, "bundled_models_folder", lambda: tmp_path / "models")
    make_sample = _script("make_sample").make_sample
    grid = Geometry.from_spacing((8, 8, 40), (1, 1, 1))
    head = Volume(np.random.default_rng(0).normal(size=(1, *grid.shape)).astype(np.float32), grid)
    make_sample(head, tmp_path / "demo")
    monkeypatch.chdir(tmp_path / "demo")
    assert main(shlex.split(re.search(r"deepsegment (segment head.+)", (REPOSITORY / "Makefile").read_text())[1])) == 0
    return tmp_path / "demo"


def _script(name):
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_run_word_for_word_and_replace_nothing_unasked(desk, capsys):
    pytest.importorskip("highdicom")
    inputs = [desk / name for name in ("head.nii.gz", "clicks.json")]
    inputs += [*(desk / "dicom").iterdir(), *(desk / "several").iterdir()]
    before = {path: path.read_bytes() for path in inputs}
    assert len(IN_DEMO) >= 10
    for command in IN_DEMO:
        assert main(shlex.split(command)) == 0, (command, capsys.readouterr().err)
    made = _content(desk)
    assert {path: made[path] for path in before} == before
    for command in IN_DEMO:
        asked = "--replace" in command or "--skip-existing" in command or "nnunet" in command
        writes = re.search(r"^(segment|correct|export)|--csv|--report", command)
        assert main(shlex.split(command)) == (2 if writes and not asked else 0), command
    again = _content(desk)
    renewed = {"better.seg.nrrd", "dataset.json", "deepsegment-batch.csv", "case.json"}
    renewed |= {path.name for path in again if path.name.startswith("head.")}  # the first command may replace them
    assert {path.name for path in made if again[path] != made[path]} <= renewed


def _content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_click_in_the_text_is_the_one_in_the_sample(desk):
    assert re.sub(r"\s", "", re.search(r"\(`(\[\{.+\}\])`\)", README)[1]) == re.sub(
        r"\s", "", (desk / "clicks.json").read_text()
    )


def test_every_command_is_run_or_has_a_reason_not_to_be():
    run = {f"deepsegment {command}" for command in IN_DEMO} | set(SCRIPTS)
    left = [command for command in COMMANDS if command not in run and " make " not in f" {command}"]
    # The tutorial's download is of gigabytes, and goes over two lines.
    left = [command for command in left if command not in NOT_RUN and not command.startswith("pip download ")]
    unknown = [command for command in left if not _is_parsed(command)]
    assert not unknown, {command: COMMANDS[command] for command in unknown}


def test_the_packages_for_a_machine_without_network_are_all_that_the_panel_asks_for():
    lines = (REPOSITORY / "DeepSegment/Resources/requirements.txt").read_text().splitlines()
    command = re.search(r"pip download [^`]*", TEXTS["docs/tutorial.md"])[0]
    named = {word for word in shlex.split(command) if ">=" in word}
    assert named == {line for line in lines if line and not line.startswith("#")}


def _is_parsed(command):
    """Whether it is one that the two tests below look at."""
    return command.startswith("deepsegment ") or " -m fuzz " in command


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("deepsegment ")])
def test_commands_and_options_that_are_named_are_there(command, capsys):
    words = shlex.split(command)[1:]
    depth = 2 if words[0] in ("models", "project", "dataset") and len(words) > 1 else 1
    if words[0].startswith("-"):
        depth = 0
    with pytest.raises(SystemExit) as stop:
        main([*words[:depth], "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", command):
        assert option in told, option


@pytest.mark.parametrize("command", SCRIPTS)
def test_scripts_are_where_they_are_said_to_be_and_know_their_options(command):
    words = shlex.split(command.replace("$DEEPSEGMENT_TEST_DATA", "data"))
    script = REPOSITORY / next(word for word in words if word.endswith(".py"))
    source = script.read_text(encoding="utf-8")
    compile(source, str(script), "exec")
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in source, option
    assert not re.search(r"\b[A-Z]{4,}\b", command.replace("$DEEPSEGMENT_TEST_DATA", "")), "a placeholder runs nowhere"


@pytest.mark.slow
def test_scripts_tell_how_they_are_used():
    """Each is imported whole, so that what it needs is there; a few at a time, since most load torch."""
    with_options = {word for command in SCRIPTS for word in command.split() if word.endswith(".py")}
    with_options = sorted(each for each in with_options if "argparse" in (REPOSITORY / each).read_text())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "Testing")))}
    for first in range(0, len(with_options), 2):
        running = [
            subprocess.Popen(
                [sys.executable, REPOSITORY / each, "--help"], stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment
            )
            for each in with_options[first : first + 2]
        ]
        for process in running:
            assert process.communicate(timeout=120)[0].startswith(b"usage:"), process.args
            assert process.returncode == 0


@pytest.mark.parametrize("command", TARGETS)
def test_targets_of_make_are_there(command):
    done = subprocess.run(
        [*shlex.split(command), "--dry-run"], check=False, capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr


def test_every_target_is_told_at_the_top_of_the_makefile():
    text = (REPOSITORY / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)[1].split())
    assert set(re.findall(r"^# make (\w+)", text, re.MULTILINE)) >= phony - {"clean", "colin27", "dicom3tools"}
