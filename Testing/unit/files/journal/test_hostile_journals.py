"""Journals that want memory, time, or files that are not theirs."""

import json
import os
import time
import tracemalloc
import zlib
from base64 import b64encode
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.correction.packed_changes import Change, pack, put
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, Geometry, LabelMap, LabelUpdate, Point, Segment
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.journal import LINES_FILE, START_FILE, Journal
from DeepSegmentLib.files.journal import lines as journal_lines
from DeepSegmentLib.files.journal.lines import Entry, Header, _line, entry_line, header_line, read_entry
from DeepSegmentLib.files.journal.reading import State, newest_first

GRID = Geometry.from_spacing((4, 5, 6), (2, 1, 1))
EMPTY = LabelMap(np.zeros((1, *GRID.shape), np.uint8), GRID, (Segment("Cyst", 1),))
posix = pytest.mark.skipif(os.name != "posix", reason="pipes and links are those of POSIX")


@pytest.fixture
def folder(tmp_path):
    """A journal without entries."""
    Journal.create(tmp_path / "scan", EMPTY, volume_checksum="abc").close()
    return tmp_path / "scan"


def header_of(shape):
    """Of a journal about labels that are never made."""
    grid = Geometry.from_spacing(shape, (1, 1, 1))
    labels = LabelMap(np.broadcast_to(np.zeros(1, np.uint8), (1, *shape)), grid, (Segment("Cyst", 1),))
    return Header.of(labels, library="", created="", volume_checksum="", start_checksum="", model={})


def line_of(change, number=1, crc=0):
    prompt = Point("Cyst", True, np.zeros(3))
    return entry_line(
        Entry(number, datetime.now(UTC).isoformat(), "correction", change, prompt, CorrectionSettings()), crc
    )


def test_a_huge_box_without_a_change_costs_neither_memory_nor_much_time():
    shape = (512, 512, 512)
    nothing = zlib.compress(b"")
    line = line_of(Change(Box.of_shape(shape), 0, "uint8", zlib.compress(bytes(1 << 24)), nothing, nothing))
    assert len(line) < 50_000
    tracemalloc.start()
    try:
        start = time.process_time()
        entry = read_entry(line, 0, 1, header_of(shape))
        assert time.process_time() - start < 1
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
    assert entry.change.box.size == 1 << 27


@pytest.mark.parametrize("key", ["before", "after"])
def test_labels_that_unpack_to_more_than_they_may_are_never_unpacked(key):
    document = json.loads(line_of(pack(LabelUpdate(Box((0, 0, 0), (1, 1, 1)), *np.zeros((2, 1, 1, 1), np.uint8)))))
    del document["crc"]
    document["change"][key] = b64encode(zlib.compress(bytes(64 << 20))).decode()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInputError, match="do not unpack to 0 bytes"):
            read_entry(_line(document, 0), 0, 1, header_of((4, 4, 4)))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(min_size=1, max_size=40), st.integers(1, 320))
def test_bits_are_counted_as_numpy_counts_them(content, size):
    expected = np.unpackbits(np.frombuffer(content, np.uint8))
    fits = len(content) == -(-size // 8) and not expected[size:].any()
    try:
        count = journal_lines._count_bits(zlib.compress(content), size)
    except InvalidInputError:
        assert not fits
    else:
        assert fits
        assert count == expected.sum()


def test_many_entries_cost_as_much_each_as_few():
    state, prompts = State(0, 0), []
    change = Change(Box((0, 0, 0), (1, 1, 1)), 0, "uint8", b"", b"", b"")
    tail = b',"crc":"00000000"}\n'
    start = time.process_time()
    for number in range(1, 100_001):
        kind = ("edit", "correction", "undo", "redo")[number % 4]
        prompt = number if kind == "correction" else None
        state = state.after(Entry(number, "", kind, change, prompt), tail)
        prompts += [prompt] if kind in ("edit", "correction") else []
    assert time.process_time() - start < 5
    assert list(newest_first(state.done)) == prompts[::-1]


def test_a_header_that_claims_more_labels_than_there_were_is_refused(folder):
    header = header_of((20_000, 20_000, 20_000))
    (folder / LINES_FILE).write_bytes(header_line(header))
    with pytest.raises(VolumeFileError, match=r"start.seg.nrrd has \d+ bytes, which cannot be 1 layers of"):
        Journal.open(folder)


def test_a_line_without_end_is_refused(folder, monkeypatch):
    monkeypatch.setattr(journal_lines, "_LINE_BYTES", 1 << 16)
    with (folder / LINES_FILE).open("ab") as file:
        file.write(b"x" * (1 << 18))
    with pytest.raises(VolumeFileError, match="damaged in line 2"):
        Journal.open(folder)


@pytest.mark.parametrize("text", [b"[" * 100_000 + b"]" * 100_000, b"[" + b"[]," * (1 << 21) + b"0]"])
def test_lines_of_too_many_or_too_deep_values_are_refused(text):
    body = b'{"number":' + text
    line = body + b',"crc":"%08x"}\n' % zlib.crc32(body)
    with pytest.raises(InvalidInputError, match=r"nested deeper|more than 2097152 values"):
        read_entry(line, 0, 1, header_of((4, 4, 4)))


@posix
@pytest.mark.parametrize("name", [LINES_FILE, START_FILE])
@pytest.mark.parametrize("kind", ["pipe", "link out", "loop"])
def test_what_is_no_plain_file_of_the_journal_is_not_opened(folder, tmp_path, name, kind):
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    (tmp_path / "elsewhere").write_bytes(content)
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(tmp_path / "elsewhere" if kind == "link out" else name)
    with pytest.raises(VolumeFileError, match=rf"{name} .*(pipe|link|loop)"), Journal.open(folder) as journal:
        journal.labels()
    assert (tmp_path / "elsewhere").read_bytes() == content


def test_only_voxels_that_change_are_touched():
    labels = np.zeros((64, 64, 64), np.uint8)
    after = labels.copy()
    after[1, 2, 3], after[63, 63, 63] = 7, 9
    change = pack(LabelUpdate(Box.of_shape(labels.shape), labels, after))
    current = np.full_like(labels, 5)
    put(change, current)
    assert (current != 5).sum() == 2
    assert (current[1, 2, 3], current[63, 63, 63]) == (7, 9)
