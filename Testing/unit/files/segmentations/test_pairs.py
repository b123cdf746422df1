"""A labelmap and its table are one: whatever two writers or a killed one do, no labels get the names of others."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path, read_labelmap, write_segmentation
from DeepSegmentLib.files.volumes import write_volume

GRID = Geometry.from_spacing((3, 4, 5), (1, 1, 1))


def _labels(writer):
    """All voxels have the writer's value, whose only segment tells it again."""
    return LabelMap(np.full((1, *GRID.shape), writer, np.uint8), GRID, (Segment(f"of {writer}", writer),))


def _is_whole(label_map):
    (segment,) = label_map.segments
    return segment.name == f"of {segment.value}" and bool((label_map.layers == segment.value).all())


# Writes the same file again and again, as writer 1 or 2.
_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_pairs import _labels, write_segmentation
print("ready", flush=True)
sys.stdin.readline()
for _ in range(60):
    write_segmentation(_labels(int(sys.argv[3])), Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock folders")
def test_two_writers_never_part_them(tmp_path, pytestconfig):
    path, here = tmp_path / "a.nrrd", str(Path(__file__).parent)
    command = [sys.executable, "-c", _WRITER, here, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": pytestconfig.rootpath}
    writers = [subprocess.Popen([*command, str(n)], **pipes) for n in (1, 2)]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("\n")
            writer.stdin.flush()
        reads = 0
        while any(writer.poll() is None for writer in writers):
            if path.exists():
                try:
                    assert _is_whole(read_labelmap(path))
                except VolumeFileError as error:  # twice caught between two renames
                    assert "table of other labels" in str(error)  # noqa: PT017
                reads += 1
    finally:
        for writer in writers:
            writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert reads > 5
    assert _is_whole(read_labelmap(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.labels.json", "a.nrrd"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_a_writer_that_is_killed_at_any_step_leaves_the_old_the_new_or_a_refusal(tmp_path, name):
    seen, path = [], tmp_path / name
    for n in range(1, 50):
        write_segmentation(_labels(1), path)
        child = os.fork()
        if not child:
            _die_at_step(n, tmp_path)
            write_segmentation(_labels(2), path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        try:
            found = read_labelmap(path)
            assert _is_whole(found)
            seen.append(found.segments[0].value)
        except VolumeFileError as error:
            assert re.search(r"a\.labels\.json is the table of other labels", str(error))  # noqa: PT017
            seen.append("refused")
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert seen[-1] == 2
    assert seen.count("refused") == 1  # between the two renames
    assert seen == sorted(seen, key=[1, "refused", 2].index)


def _die_at_step(n, folder):
    left = [n]

    def crash(event, arguments):
        if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(crash)


def test_the_table_of_other_labels_is_refused_until_the_user_says_that_it_is_right(tmp_path):
    write_segmentation(_labels(1), tmp_path / "a.nrrd")
    write_segmentation(_labels(2), tmp_path / "b.nrrd")
    table = label_table_path(tmp_path / "a.nrrd")
    table.write_text(label_table_path(tmp_path / "b.nrrd").read_text())
    with pytest.raises(VolumeFileError, match=r"a\.labels\.json is the table of other labels .* remove it"):
        read_labelmap(tmp_path / "a.nrrd")
    document = json.loads(table.read_text())
    del document["labels_crc32"]
    table.write_text(json.dumps(document))
    assert read_labelmap(tmp_path / "a.nrrd").segments[0].name == "of 2"


def test_labels_that_another_program_mended_keep_their_names(tmp_path):
    path, labels = tmp_path / "a.nii.gz", _labels(1)
    write_segmentation(labels, path)
    mended = labels.layers.copy()
    mended[0, 0] = 0
    write_volume(Volume(mended, GRID), path)
    os.utime(path, (time.time() + 300, time.time() + 300))
    assert read_labelmap(path).segments == labels.segments
    assert np.array_equal(read_labelmap(path).layers, mended)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_another_format_of_the_same_labels_keeps_the_table(tmp_path, kind):
    labels = _labels(1)
    write_segmentation(labels, tmp_path / "a.nii.gz")
    wider = LabelMap(labels.layers.astype(kind), GRID, labels.segments)
    write_segmentation(wider, tmp_path / "b.mha")
    (tmp_path / "b.labels.json").write_text((tmp_path / "a.labels.json").read_text())
    assert _is_whole(read_labelmap(tmp_path / "b.mha"))


@pytest.mark.parametrize("name", ["A.NII.GZ", "A.NRRD", "A.Mha", "A.SEG.NRRD"])
def test_capitals_in_a_suffix_change_nothing(tmp_path, name):
    write_segmentation(_labels(2), tmp_path / name)
    assert _is_whole(read_labelmap(tmp_path / name))
