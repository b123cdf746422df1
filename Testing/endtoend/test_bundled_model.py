"""What comes with DeepSegment works as the README says."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from DeepSegmentLib.evaluation.metrics import dice
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.hosts.command.main import build_parser, main
from DeepSegmentLib.service.catalogue import bundled_models_folder, list_models
from DeepSegmentLib.service.training.train_synthetic import read_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_every_bundled_model_is_whole(capsys):
    bundled = [entry for entry in list_models() if entry.bundled]
    assert [entry.name for entry in bundled] == ["brain-mr"]
    for entry in bundled:
        assert entry.damage == ""
        assert main(["models", "verify", entry.name]) == 0
        assert sum(path.stat().st_size for path in entry.path.iterdir()) < 25e6


def test_every_segment_has_a_code_and_a_colour_of_its_own():
    from DeepSegmentLib.files.models import read_spec

    spec = read_spec(bundled_models_folder() / "brain-mr")
    assert all(segment.terminology and segment.terminology.type.value for segment in spec.segments)
    assert len({segment.color for segment in spec.segments}) == len(spec.segments)
    assert len({segment.terminology.type.value for segment in spec.segments}) == len(spec.segments)


def test_the_recipe_makes_the_model_that_is_bundled():
    from DeepSegmentLib.files.models import read_spec

    spec, recipe = (
        read_spec(bundled_models_folder() / "brain-mr"),
        read_recipe(REPOSITORY / "Resources" / "Recipes" / "brain-mr.json"),
    )
    assert recipe.network == spec.stages[0].network
    assert recipe.model.segments == spec.segments
    assert recipe.model.stages[0].patch_shape == recipe.synthesis.patch_shape


def test_the_commands_of_the_readme_are_commands():
    commands = re.findall(r"^deepsegment (.+)$", README, re.MULTILINE)
    assert len(commands) >= 7
    for command in commands:
        build_parser().parse_args(command.split())


def test_colin27_through_the_front_door(tmp_path, colin27, capsys):
    """The brain agrees with the published extraction; the whole is repeatable to the voxel."""
    target = tmp_path / "ch2.seg.nrrd"
    assert main(["segment", str(colin27), str(target), "--preview", str(tmp_path / "ch2.png")]) == 0
    assert "note:" not in capsys.readouterr().out
    found = read_labelmap(target)
    components, _ = ndimage.label(read_volume(colin27.with_name("ch2bet.nii.gz")).voxels[0] > 0)
    largest = components == np.bincount(components.ravel())[1:].argmax() + 1
    ball = (np.mgrid[-3:4, -3:4, -3:4] ** 2).sum(0) <= 9
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(largest, 5), ball)[5:-5, 5:-5, 5:-5])
    assert dice(brain, found.layers[0] > 0) > 0.93
    assert found.volumes_ml()["Thalamus"] > 5


def test_nonsense_is_segmented_and_doubted_in_terminal_and_report(tmp_path, capsys):
    import json

    from DeepSegmentLib.data import Geometry, Volume
    from DeepSegmentLib.files.volumes import write_volume

    shape = (24, 30, 24)
    write_volume(
        Volume(np.zeros((1, *shape), np.uint8), Geometry.from_spacing(shape, (6, 6, 6))), tmp_path / "a.nii.gz"
    )
    report = tmp_path / "a.json"
    assert main(["segment", str(tmp_path / "a.nii.gz"), str(tmp_path / "a.seg.nrrd"), "--report", str(report)]) == 0
    notes = json.loads(report.read_text())["notes"]
    assert notes[0] == "The volume holds hardly anything: 100.00% of its voxels are 0."
    assert notes[-1].startswith("Look at the result before you use it. brain-mr is for: ")
    told = capsys.readouterr().out
    assert [note for note in notes if f"note: {note}" not in told] == []


def test_the_expectations_are_those_of_the_label_maps():
    from DeepSegmentLib.files.models import read_spec

    spec = read_spec(bundled_models_folder() / "brain-mr")
    assert [each.segment for each in spec.expectations.segments] == [segment.name for segment in spec.segments]
    low, high = (sum(each.ml[end] for each in spec.expectations.segments) for end in (0, 1))
    assert low < spec.expectations.ml[0] < spec.expectations.ml[1] < high
    assert spec.expectations.cases == 20


def test_an_interrupted_command_says_so_and_leaves_nothing(tmp_path, colin27):
    # What a shell starts in the background ignores SIGINT, and so would its children.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{listen}; import sys; from DeepSegmentLib.hosts.command.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "segment", str(colin27), str(tmp_path / "a.seg.nrrd")]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("predict"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "stopped" in rest
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_lead_somewhere(name):
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (REPOSITORY / link).exists(), link
