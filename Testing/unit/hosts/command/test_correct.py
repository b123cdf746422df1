"""`deepsegment correct` through its front door."""

import json

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Point, Segment, Volume
from DeepSegmentLib.files.prompts import write_prompts
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import main

GRID = Geometry.from_spacing((12, 14, 16), (1, 1, 1))


@pytest.fixture
def command(tmp_path):
    """A block, its labels without one end, a click on that end, and the command that uses them."""
    block = np.zeros(GRID.shape, np.uint8)
    block[3:9, 3:11, 3:13] = 1
    write_volume(Volume(100 * block[None].astype(np.int16), GRID), tmp_path / "scan.nrrd")
    block[:, :, 9:] = 0
    write_segmentation(LabelMap(block[None], GRID, (Segment("liver", 1),)), tmp_path / "scan.seg.nrrd")
    click = Point("liver", True, GRID.index_to_ras((6, 7, 11)))
    write_prompts((click,), tmp_path / "prompts.json")
    names = [str(tmp_path / name) for name in ("scan.nrrd", "scan.seg.nrrd", "prompts.json", "out.seg.nrrd")]
    return ["correct", *names[:2], "--prompts", names[2], "--output", names[3]]


def test_it_corrects(tmp_path, command, capsys):
    assert main([*command, "--radius", "9"]) == 0
    told = capsys.readouterr().out
    assert "+ liver:" in told
    assert f"wrote {tmp_path / 'out.seg.nrrd'}" in told
    assert read_labelmap(tmp_path / "out.seg.nrrd").layers[0][4:8, 4:10, 9:12].mean() > 0.9


def test_it_records_and_resumes(tmp_path, command, capsys):
    folder = str(tmp_path / "journal")
    assert main([*command, "--journal", folder, "--mode", "fix", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["prompts"][0]["changed_voxels"] > 50
    corrected = read_labelmap(tmp_path / "out.seg.nrrd").layers
    assert main(["correct", "--resume", folder, "--output", str(tmp_path / "again.seg.nrrd")]) == 0
    assert np.array_equal(read_labelmap(tmp_path / "again.seg.nrrd").layers, corrected)
    assert main([command[0], command[1], "--resume", folder, *command[3:], "--replace"]) == 0
    assert main([*command, "--replace", "--journal", folder]) == 2
    assert "not empty; choose another name, or go on with the journal in it (--resume)" in capsys.readouterr().err


def test_prompts_may_leave_the_segment_to_the_command(tmp_path, command, capsys):
    entry = {"type": "point", "positive": True, "points_ras": [[11, 7, 6]]}
    (tmp_path / "prompts.json").write_text(json.dumps([entry]))
    assert main(command) == 3
    assert "'segment' is missing" in capsys.readouterr().err
    assert main([*command, "--segment", "liver"]) == 0
    assert main([*command, "--segment", "spleen", "--replace"]) == 2
    assert "no segment named 'spleen'" in capsys.readouterr().err


def test_a_journal_in_which_nothing_happened_is_not_left_behind(tmp_path, command, capsys):
    click, far = (Point("liver", True, np.array(place)) for place in (GRID.index_to_ras((6, 7, 11)), (900.0, 5, 2)))
    journal = tmp_path / "journal"
    write_prompts((far,), tmp_path / "prompts.json")
    assert main([*command, "--journal", str(journal)]) == 2
    assert "marks no voxel of the volume" in capsys.readouterr().err
    assert not journal.exists()
    assert not (tmp_path / "out.seg.nrrd").exists()
    write_prompts((click, far), tmp_path / "prompts.json")
    assert main([*command, "--journal", str(journal)]) == 2
    assert main(["correct", "--resume", str(journal), "--output", str(tmp_path / "kept.seg.nrrd")]) == 0
    assert read_labelmap(tmp_path / "kept.seg.nrrd").layers[0][6, 7, 11] == 1


def test_other_segments_keep_their_voxels_unless_told(tmp_path, command, capsys):
    mine = read_labelmap(tmp_path / "scan.seg.nrrd").layers
    both = np.where(np.arange(GRID.shape[2]) >= 9, 2, mine).astype(np.uint8)
    segments = (Segment("liver", 1), Segment("spleen", 2))
    write_segmentation(LabelMap(both, GRID, segments), tmp_path / "scan.seg.nrrd")
    assert main([*command, "--radius", "9"]) == 0
    assert "other segments have them (--overwrite takes them)" in capsys.readouterr().out
    assert np.array_equal(read_labelmap(tmp_path / "out.seg.nrrd").layers, both)
    assert main([*command, "--radius", "9", "--overwrite", "--replace"]) == 0
    assert "--overwrite" not in capsys.readouterr().out
    assert (read_labelmap(tmp_path / "out.seg.nrrd").layers[0][4:8, 4:10, 9:12] == 1).mean() > 0.9


def test_eagerness_can_be_chosen(tmp_path, command, capsys):
    changed = []
    for part in ("0", "1"):
        assert main([*command, "--radius", "9", "--aggressiveness", part, "--json", "--replace"]) == 0
        changed.append(json.loads(capsys.readouterr().out)["prompts"][0]["changed_voxels"])
    assert changed[0] < changed[1]
    assert main([*command, "--aggressiveness", "2", "--replace"]) == 2
    assert "aggressiveness must be in 0..1, got 2.0" in capsys.readouterr().err


def test_exit_codes_say_what_is_wrong(tmp_path, command, capsys):
    assert main(["correct", "--output", str(tmp_path / "out.seg.nrrd")]) == 2
    assert "or a journal to resume" in capsys.readouterr().err
    assert main(["correct", "--resume", str(tmp_path / "nothing"), "--output", str(tmp_path / "out.seg.nrrd")]) == 3
    assert "holds no journal" in capsys.readouterr().err
    assert main([*command, "--radius", "-1"]) == 2
    assert "edit radius" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main([*command, "--journal", "a", "--resume", "b"])
    assert stop.value.code == 2


def test_files_are_named_by_option_and_segments_in_any_case(tmp_path, command, capsys):
    image, labels, prompts, out = command[1], command[2], command[4], command[6]
    click = json.loads((tmp_path / "prompts.json").read_text())
    (tmp_path / "prompts.json").write_text(json.dumps(click).replace("liver", "LIVER"))
    assert main(["correct", "-i", image, "-s", labels, "--prompts", prompts, "-o", out, "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main([*command, "--replace", "-v", "-s", labels]) == 2
    assert "labels (-s) given twice" in capsys.readouterr().err
    assert main([*command, "--replace", "--verbose", "--json"]) == 0
    told = capsys.readouterr()
    assert f"image: {image}" in told.err
    assert [step["segment"] for step in json.loads(told.out)["prompts"]] == ["liver"]
    (tmp_path / "prompts.json").write_text(json.dumps(click).replace("liver", "livr"))
    assert main([*command, "--replace"]) == 2
    assert "no segment named 'livr'; did you mean 'liver'?" in capsys.readouterr().err
