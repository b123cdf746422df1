"""Laws of the journal: what was accepted is there, whatever happens to the program afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import label_maps, prompts, updates, volumes

from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, Geometry, LabelMap, LabelUpdate, Point, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.journal import LINES_FILE, START_FILE, Journal, volume_checksum
from DeepSegmentLib.files.journal.lines import _line
from DeepSegmentLib.files.prompts import StoredPrompt

REPOSITORY = Path(__file__).resolve().parents[4]
GRID = Geometry.from_spacing((4, 5, 6), (2, 1, 1))
EMPTY = LabelMap(np.zeros((1, *GRID.shape), np.uint8), GRID, (Segment("Cyst", 1),))


def cube(value=1, start=(0, 0, 0), stop=(2, 2, 2), before=0):
    """An update that fills a block."""
    box = Box(start, stop)
    return LabelUpdate(box, np.full(box.shape, before, np.uint8), np.full(box.shape, value, np.uint8))


def click(segment="Cyst", positive=True):
    return Point(segment, positive, np.array([0.1, 0.2, 0.3]))


@pytest.fixture
def folder(tmp_path):
    """A journal of two corrections."""
    with Journal.create(tmp_path / "scan", EMPTY, volume_checksum="abc") as journal:
        journal.record(click(), CorrectionSettings(), cube(), "Cyst")
        journal.record(click(positive=False), CorrectionSettings(7.5), cube(0, (1, 1, 1), before=1), "Cyst")
    return tmp_path / "scan"


class Script:
    """A session: what is done to the labels, by hypothesis, and what must be true after each step."""

    def __init__(self, draw, start):
        self.draw, self.labels = draw, start
        self.done, self.undone, self.states = [], [], [start.layers.copy()]
        self.prompts = [[]]

    def step(self, journal):
        kinds = ["edit"] + ["correction"] * bool(self.labels.segments) + ["undo"] * bool(self.done)
        kind = self.draw(st.sampled_from([*kinds, *["redo"] * bool(self.undone)]))
        if kind == "undo":
            update, prompt = self.done.pop()
            self.undone.append((update, prompt))
            update = update.inverse()
            journal.record_undo(update)
        elif kind == "redo":
            update, prompt = self.undone.pop()
            self.done.append((update, prompt))
            journal.record_redo(update)
        else:
            update, prompt = self.draw(updates(self.labels)), None
            if kind == "edit":
                journal.record_edit(update)
            else:
                segment = self.draw(st.sampled_from(self.labels.segments)).name
                prompt = self.draw(prompts(segment))
                chosen = CorrectionSettings(self.draw(st.floats(0.1, 99)), self.draw(st.floats(0, 1)), "grow", True)
                journal.record(prompt, chosen, update, segment)
            self.done.append((update, prompt))
            self.undone.clear()
        self.labels = self.labels.apply(update)
        self.states.append(self.labels.layers.copy())
        self.prompts.append([prompt for _, prompt in self.done if prompt is not None])


def assert_is_state(journal, script, n):
    """Whether a journal says what the session was after n steps."""
    assert [entry.number for entry in journal.entries()] == list(range(1, n + 1))
    assert np.array_equal(journal.labels().layers, script.states[n])
    for segment in script.labels.segments:
        wanted = [StoredPrompt.of(prompt) for prompt in script.prompts[n] if prompt.segment == segment.name]
        assert [StoredPrompt.of(prompt) for prompt in journal.prompts(segment.name)] == wanted


@given(st.data())
def test_what_was_recorded_comes_back_also_when_the_file_ends_anywhere(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journals") / "scan"
    start = data.draw(label_maps())
    script = Script(data.draw, start)
    ends = []
    with Journal.create(folder, start, volume_checksum="abc", model={"model": "brain-mr"}) as journal:
        ends.append((folder / LINES_FILE).stat().st_size)
        for _ in range(data.draw(st.integers(0, 8))):
            script.step(journal)
            ends.append((folder / LINES_FILE).stat().st_size)
            assert_is_state(journal, script, len(ends) - 1)
    whole = (folder / LINES_FILE).read_bytes()
    assert len(whole) == ends[-1]
    for cut in (len(whole), *data.draw(st.lists(st.integers(ends[0], len(whole)), max_size=5))):
        (folder / LINES_FILE).write_bytes(whole[:cut])
        with Journal.open(folder) as journal:
            known = sum(end <= cut for end in ends) - 1
            assert_is_state(journal, script, known)
            assert journal.header.model == {"model": "brain-mr"}
            assert journal.labels().segments == start.segments
            assert np.array_equal(journal.labels().geometry.affine, start.geometry.affine)
            assert journal.labels().layers.dtype == start.layers.dtype
            journal.record_edit(data.draw(updates(journal.labels())))
        with Journal.open(folder) as journal:
            assert len(list(journal.entries())) == known + 1


@given(st.data())
@settings(max_examples=100)
def test_any_flipped_byte_is_found(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journals") / "scan"
    with Journal.create(folder, EMPTY, volume_checksum="abc") as journal:
        for n in range(3):
            journal.record(click(), CorrectionSettings(), cube(n + 1, before=n), "Cyst")
    content = bytearray((folder / LINES_FILE).read_bytes())
    place = data.draw(st.integers(0, len(content) - 2))
    content[place] ^= data.draw(st.integers(1, 255))
    (folder / LINES_FILE).write_bytes(content)
    line = content[:place].count(b"\n") + 1
    try:
        with Journal.open(folder) as journal:
            last_line_is_lost = len(list(journal.entries())) == 2 and line == 4 and b"\0" in content
            assert last_line_is_lost
    except VolumeFileError as error:
        assert f"line {line}" in str(error)  # noqa: PT017 - either is right, and only this one says where


def test_entries_tell_everything(folder):
    with Journal.open(folder) as journal:
        first, second = journal.entries()
    assert (first.kind, first.number, second.number) == ("correction", 1, 2)
    assert StoredPrompt.of(first.prompt) == StoredPrompt.of(click())
    assert (first.settings, second.settings) == (CorrectionSettings(), CorrectionSettings(7.5))
    assert first.time <= second.time


def test_undone_prompts_no_longer_hold_and_come_back(folder):
    with Journal.open(folder) as journal:
        assert [prompt.positive for prompt in journal.prompts("Cyst")] == [True, False]
        journal.record_undo(cube(1, (1, 1, 1)))
        assert [prompt.positive for prompt in journal.prompts("Cyst")] == [True]
        journal.record_redo(cube(0, (1, 1, 1), before=1))
        assert [prompt.positive for prompt in journal.prompts("Cyst")] == [True, False]
        journal.record_undo(cube(1, (1, 1, 1)))
        journal.record_edit(cube(0, before=1))
        assert len(journal.prompts("Cyst")) == 1
        with pytest.raises(InvalidInputError, match="nothing to redo"):
            journal.record_redo(cube())
        assert journal.prompts("Liver") == ()


def test_more_undos_than_changes_are_refused_and_not_written(folder):
    with Journal.open(folder) as journal:
        journal.record_undo(cube(0))
        journal.record_undo(cube(0))
        size = (folder / LINES_FILE).stat().st_size
        with pytest.raises(InvalidInputError, match="nothing to undo"):
            journal.record_undo(cube(0))
        assert (folder / LINES_FILE).stat().st_size == size


def test_one_process_at_a_time(folder):
    with Journal.open(folder), pytest.raises(VolumeFileError, match="somebody else is writing"):
        Journal.open(folder)
    Journal.open(folder).close()


def test_another_process_is_kept_out(folder):
    code = (
        "import sys, pathlib; from DeepSegmentLib.files.journal import Journal; Journal.open(pathlib.Path(sys.argv[1]))"
    )
    with Journal.open(folder):
        command = [sys.executable, "-c", code, str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert "somebody else is writing" in done.stderr


def test_another_volume_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    volume = Volume(rng.integers(0, 99, (1, *GRID.shape), dtype=np.int16), GRID, "scan")
    with Journal.create(tmp_path / "a", EMPTY, volume_checksum=volume_checksum(volume)) as journal:
        journal.check_volume(volume)
        nearly = Geometry(GRID.shape, GRID.affine + 1e-9 * (np.arange(16).reshape(4, 4) < 12))
        journal.check_volume(Volume(volume.voxels, nearly))
        with pytest.raises(InvalidInputError, match=r"scan is not the one .* its voxels differ"):
            journal.check_volume(Volume(volume.voxels + np.int16(1), GRID, "scan"))
        with pytest.raises(InvalidInputError, match="lies elsewhere"):
            journal.check_volume(Volume(volume.voxels, Geometry.from_spacing(GRID.shape, (2, 1, 1.1))))
        with pytest.raises(InvalidInputError, match="lies elsewhere"):
            journal.check_volume(Volume(volume.voxels[..., :-1], Geometry.from_spacing((4, 5, 5), (2, 1, 1))))


@given(volumes(), st.data())
def test_a_checksum_is_of_the_values_however_they_lie_in_memory(volume, data):
    known = volume_checksum(volume)
    turned = np.ascontiguousarray(volume.voxels.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    assert volume_checksum(Volume(turned, volume.geometry)) == known
    swapped = volume.voxels.astype(volume.voxels.dtype.newbyteorder())
    assert volume_checksum(Volume(swapped, volume.geometry)) == known
    other = volume.voxels.copy()
    other[tuple(data.draw(st.integers(0, n - 1)) for n in other.shape)] += 1
    assert volume_checksum(Volume(other, volume.geometry)) != known


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (cube(1, (3, 4, 5), (5, 5, 6)), "does not fit"),
        (LabelUpdate(Box((0, 0, 0), (1, 1, 1)), *np.zeros((2, 1, 1, 1), np.uint16)), "uint16 does not fit"),
        (LabelUpdate(Box((0, 0, 0), (1, 1, 1)), *np.zeros((2, 1, 1, 1), np.uint8), layer=1), "layer 1"),
    ],
)
def test_updates_of_other_labels_are_refused(folder, update, message):
    with Journal.open(folder) as journal:
        with pytest.raises(InvalidInputError, match=message):
            journal.record_edit(update)
        assert len(list(journal.entries())) == 2


def test_a_prompt_is_for_the_segment_that_is_named(folder):
    with Journal.open(folder) as journal:
        with pytest.raises(InvalidInputError, match="not for 'Liver'"):
            journal.record(click(), CorrectionSettings(), cube(), "Liver")
        with pytest.raises(InvalidInputError, match="no segment 'Liver'"):
            journal.record(click("Liver"), CorrectionSettings(), cube(), "Liver")


def test_a_folder_with_something_in_it_is_left_alone(folder, tmp_path):
    with pytest.raises(InvalidInputError, match="not empty"):
        Journal.create(folder, EMPTY, volume_checksum="")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInputError, match="not empty"):
        Journal.create(tmp_path / "file", EMPTY, volume_checksum="")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "new").mkdir()
    Journal.create(tmp_path / "new", EMPTY, volume_checksum="").close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "new", "scan"]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(VolumeFileError, match="holds no journal"):
        Journal.open(tmp_path)
    with pytest.raises(VolumeFileError, match="cannot be opened"):
        Journal.create(tmp_path / "missing" / "scan", EMPTY, volume_checksum="")
    assert list(tmp_path.iterdir()) == []


def test_names_and_codes_of_segments_come_back(tmp_path):
    segments = (Segment("Größe \\ 1\n", 3, (1, 2, 3), layer=1), Segment("\N{LUNGS}", 3, layer=0))
    labels = LabelMap(np.full((2, *GRID.shape), 3, np.uint16), GRID, segments)
    Journal.create(tmp_path / "a", labels, volume_checksum="").close()
    with Journal.open(tmp_path / "a") as journal:
        assert journal.labels().segments == segments
        assert journal.labels().layers.dtype == np.uint16


def test_start_labels_of_another_journal_are_refused(folder, tmp_path):
    other = LabelMap(np.ones((1, *GRID.shape), np.uint8), GRID, EMPTY.segments)
    Journal.create(tmp_path / "other", other, volume_checksum="").close()
    shutil.copy(tmp_path / "other" / START_FILE, folder / START_FILE)
    with Journal.open(folder) as journal, pytest.raises(VolumeFileError, match="not the file that the journal began"):
        journal.labels()


def test_zeros_that_a_lost_power_leaves_are_cut_off(folder):
    with (folder / LINES_FILE).open("ab") as file:
        file.write(b'{"number":3,' + bytes(5000) + b"\n")
    with Journal.open(folder) as journal:
        assert len(list(journal.entries())) == 2
        journal.record_edit(cube(5))
    with Journal.open(folder) as journal:
        assert [entry.kind for entry in journal.entries()] == ["correction", "correction", "edit"]


def lines_of(folder):
    return (folder / LINES_FILE).read_bytes().splitlines(keepends=True)


def test_damage_in_the_middle_says_what_is_good_and_how_to_go_on(folder):
    lines = lines_of(folder)
    with Journal.open(folder) as journal:
        journal.record_edit(cube(5))
    damaged = [*lines[:2], lines[2].replace(b"correction", b"edit"), *lines_of(folder)[3:]]
    (folder / LINES_FILE).write_bytes(b"".join(damaged))
    with pytest.raises(VolumeFileError, match=r"line 3: its checksum differs. The 1 entries before it are good"):
        Journal.open(folder)
    (folder / LINES_FILE).write_bytes(b"".join(damaged[:2]))
    with Journal.open(folder) as journal:
        assert journal.labels().layers.sum() == 8


def test_lines_that_are_missing_or_exchanged_are_found(folder):
    first, second, third = lines_of(folder)
    for content in (first + third, first + third + second, first + second + second):
        (folder / LINES_FILE).write_bytes(content)
        with pytest.raises(VolumeFileError, match="damaged in line"):
            Journal.open(folder)


def forged(folder, **parts):
    """Replace parts of the second entry's change and give it a right checksum."""
    lines = lines_of(folder)
    document = json.loads(lines[2])
    del document["crc"]
    document["change"] |= {key: part for key, part in parts.items() if key in document["change"]}
    document |= {key: part for key, part in parts.items() if key not in document["change"]}
    crc = int(json.loads(lines[1])["crc"], 16)
    (folder / LINES_FILE).write_bytes(b"".join([*lines[:2], _line(document, crc)]))


def packed(content):
    return b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"stop": [2, 2, 10**9]}, "outside the labels"),
        ({"start": [-1, 0, 0]}, "outside the labels"),
        ({"stop": [0, 0, 0]}, "must not end before it starts"),
        ({"layer": 3}, "layer 3"),
        ({"where": packed(bytes(1 << 28))}, "do not unpack to 1 bytes"),
        ({"after": packed(bytes(1 << 28))}, "do not unpack to 1 bytes"),
        ({"after": packed(b"")}, "do not unpack to 1 bytes"),
        ({"after": packed(b"a")[:-8]}, "labels"),
        ({"after": "%%"}, "base64"),
        ({"before": b64encode(b"no deflate").decode()}, "cannot be unpacked"),
        ({"number": 7}, "number 7 instead of 2"),
        ({"kind": "format c:"}, "must be one of"),
        ({"kind": "undo"}, "go with a correction"),
        ({"more": 1}, "unknown key"),
        ({"settings": {"radius_mm": 0, "aggressiveness": 0.5, "mode": "fix", "overwrite": False}}, "edit radius"),
    ],
)
def test_what_cannot_be_is_refused_before_it_costs_memory(folder, parts, message):
    forged(folder, **parts)
    with pytest.raises(VolumeFileError, match=message):
        Journal.open(folder)


def test_a_forged_line_with_nothing_wrong_is_read(folder):
    forged(folder, time="yesterday")
    with Journal.open(folder) as journal:
        assert [entry.time == "yesterday" for entry in journal.entries()] == [False, True]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 99, "this version reads 1"),
        ("layers", 0, "labels of shape"),
        ("dtype", "float32", "must be one of"),
        ("shape", [10**9, 10**9, 10**9], "labels of shape"),
        ("shape", [4, 5], "must have 3 entries"),
        ("shape", [0, 5, 6], "labels of shape"),
        ("affine", [[0, 0, 0, 0]] * 4, "last row"),
        (
            "table",
            [{"layer": 4, "segment": {"name": "a", "value": 1, "color": [1, 2, 3], "terminology": None}}],
            "layer 4",
        ),
    ],
)
def test_headers_that_make_no_sense_are_refused(folder, key, value, message):
    lines = lines_of(folder)
    document = json.loads(lines[0]) | {key: value}
    del document["crc"]
    (folder / LINES_FILE).write_bytes(_line(document, 0))
    with pytest.raises(VolumeFileError, match=message):
        Journal.open(folder)


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b'{"crc":"00000000"}\n', bytes(100), b"x" * 70])
def test_what_is_no_journal_is_refused(folder, content):
    (folder / LINES_FILE).write_bytes(content)
    with pytest.raises(VolumeFileError, match="line 1"):
        Journal.open(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits the size of files")
def test_a_full_disk_loses_only_what_it_says(folder):
    import resource

    rng = np.random.default_rng(0)
    box = Box.of_shape(GRID.shape)
    big = LabelUpdate(box, np.zeros(box.shape, np.uint8), rng.integers(0, 255, box.shape, dtype=np.uint8))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal.open(folder) as journal:
        size = (folder / LINES_FILE).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
        try:
            with pytest.raises(VolumeFileError, match="this change is not in the journal"):
                journal.record_edit(big)
            assert len(list(journal.entries())) == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.record_edit(cube(5))
        assert [entry.kind for entry in journal.entries()][2:] == ["edit"]
    with Journal.open(folder) as journal:
        assert len(list(journal.entries())) == 3


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from DeepSegmentLib.data import Box, LabelUpdate
from DeepSegmentLib.files.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
rng = np.random.default_rng(0)
box = Box.of_shape(journal.header.shape)
labels = journal.labels().layers[0]
n = 2
while True:
    after = rng.integers(0, 9, box.shape, dtype=np.uint8)
    journal.record_edit(LabelUpdate(box, labels, after))
    labels, n = after, n + 1
    print(n, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_killed_writer_loses_nothing_that_was_accepted(folder, after):
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    told = [int(writer.stdout.readline()) for _ in range(after)]
    killer = threading.Timer(0.003 * after, os.kill, (writer.pid, signal.SIGKILL))
    killer.start()
    told += [int(line) for line in writer.stdout if line.endswith("\n")]
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    with Journal.open(folder) as journal:
        known = len(list(journal.entries()))
        labels = journal.labels()
    assert known in (told[-1], told[-1] + 1)
    rng = np.random.default_rng(0)
    states = [rng.integers(0, 9, GRID.shape, dtype=np.uint8) for _ in range(known - 2)]
    assert np.array_equal(labels.layers[0], states[-1])
