"""Journals: lines whose checksums are right, whatever they say."""

from __future__ import annotations

import base64
import json
import tempfile
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from ..cases import Case, Link, Pipe, Repeated, Sparse
from ..door import NINE_GB, Door, changed, odd_cases, odd_files, texts_and_data
from ..json_mutators import change
from ..mutators import BYTES, mutated
from .nrrd import text

LINES, START = "j/journal.jsonl", "j/start.seg.nrrd"
_TIME = "2026-01-01T00:00:00.000+00:00"


@cache
def sound_journal() -> Case:
    """A journal of an edit, two corrections, an undo and a redo; its times do not tell when it was made."""
    import numpy as np

    from DeepSegmentLib.correction.settings import CorrectionSettings
    from DeepSegmentLib.data import Box, Geometry, LabelMap, LabelUpdate, Point, Scribble, Segment
    from DeepSegmentLib.files.journal import Journal

    grid = Geometry.from_spacing((4, 5, 6), (1, 1, 1))
    labels = LabelMap(np.zeros((1, 4, 5, 6), np.uint8), grid, (Segment("a", 1), Segment("b", 2)))

    def update(start: tuple[int, int, int]) -> LabelUpdate:
        box = Box(start, (4, 5, 6))
        return LabelUpdate(box, np.zeros(box.shape, np.uint8), np.ones(box.shape, np.uint8))

    def reverse(done: LabelUpdate) -> LabelUpdate:
        return LabelUpdate(done.box, done.after, done.before)

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "j"
        with Journal.create(folder, labels, volume_checksum="") as journal:
            journal.record_edit(update((0, 0, 0)))
            journal.record(Point("a", True, np.ones(3)), CorrectionSettings(), update((2, 2, 2)), "a")
            journal.record(
                Scribble("b", False, np.eye(3), 1.0), CorrectionSettings(radius_mm=5), update((3, 3, 3)), "b"
            )
            journal.record_undo(reverse(update((3, 3, 3))))
            journal.record_redo(update((3, 3, 3)))
        documents = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
        timed = [
            {key: _TIME if key in ("time", "created") else value for key, value in each.items()} for each in documents
        ]
        return Case({LINES: signed(timed), START: (folder / "start.seg.nrrd").read_bytes()})


def signed(documents: Sequence[object]) -> bytes:
    """Lines with checksums that run through them."""
    crc, lines = 0, []
    for document in documents:
        plain = (
            {key: value for key, value in document.items() if key != "crc"} if isinstance(document, dict) else document
        )
        body = json.dumps(plain, separators=(",", ":"))[:-1].encode("ascii")
        lines.append(body + b',"crc":"%08x"}\n' % (crc := zlib.crc32(body, crc)))
    return b"".join(lines)


def _documents() -> list[dict]:
    return [json.loads(line) for line in sound_journal().files[LINES].splitlines()]


def seeds() -> list[Case]:
    """A whole journal, one of a header alone, and one that was cut off."""
    whole = sound_journal()
    return [
        whole,
        changed(whole, LINES, signed(_documents()[:1]), "short"),
        changed(whole, LINES, whole.files[LINES][:-9], "cut"),
    ]


def mutate(random: Random, cases: Sequence[Case]) -> Case:
    """Lines that say something else under a right checksum, or bytes, or the labels of the start."""
    action, seed = random.random(), cases[0]
    if action < 0.01:
        return changed(seed, random.choice((LINES, START)), random.choice(odd_files()), "odd")
    if action < 0.15:
        return changed(seed, LINES, mutated(random, seed.files[LINES], BYTES), "bytes")
    if action < 0.3:
        return changed(seed, START, texts_and_data(b"\n\n", text)(random, seed.files[START]), "start")
    documents = _documents()
    for _ in range(random.choice((1, 1, 2, 3))):
        _mutate_lines(random, documents)
    return changed(seed, LINES, signed(documents), "signed")


def _mutate_lines(random: Random, documents: list[dict]) -> None:
    at, action = random.randrange(len(documents)), random.random()
    if action < 0.1:
        documents.insert(at, documents[random.randrange(len(documents))])
    elif action < 0.2 and len(documents) > 1:
        del documents[at]
    elif action < 0.4 and at:
        documents[at] = _of_labels(random, _documents()[min(at, 5)])
    elif action < 0.5:
        documents[1:] = [
            {**each, "number": n} if isinstance(each, dict) else each for n, each in enumerate(documents[1:], start=1)
        ]
    else:
        documents[at] = change(random, documents[at])


def _of_labels(random: Random, document: dict) -> dict:
    """An entry whose packed labels are other bytes."""
    part = random.choice(("where", "before", "after"))
    packed = mutated(random, base64.b64decode(document["change"][part]), BYTES)
    return {**document, "change": {**document["change"], part: base64.b64encode(packed).decode()}}


def _packed(size: int) -> str:
    """So many zeros, in little room."""
    deflate = zlib.compressobj(9)
    packed = b"".join(
        [*(deflate.compress(bytes(1 << 24)) for _ in range(size >> 24)), deflate.compress(bytes(size % (1 << 24)))]
    )
    return base64.b64encode(packed + deflate.flush()).decode()


def wide_journal(shape: list[int], layers: int = 1, dtype: str = "uint8") -> bytes:
    """A journal of large labels with one edit that touches every voxel and changes none."""
    header, edit = {**_documents()[0], "shape": shape, "layers": layers, "dtype": dtype}, _documents()[1]
    size = shape[0] * shape[1] * shape[2]
    nothing = base64.b64encode(zlib.compress(b"")).decode()
    wide = {
        "start": [0, 0, 0],
        "stop": shape,
        "layer": 0,
        "where": _packed(-(-size // 8)),
        "before": nothing,
        "after": nothing,
    }
    return signed([header, {**edit, "change": wide}])


def hostile() -> list[Case]:
    """Journals that unpack to gigabytes, are long, or are no files."""
    seed, (header, edit, correction, *_) = sound_journal(), _documents()
    prompt = correction["prompt"]
    corners = [[n % 100 * 0.5, n % 77 * 0.5, n % 13] for n in range(300_000)]
    small = {
        **edit["change"],
        "start": [0, 0, 0],
        "stop": [1, 1, 1],
        "where": _packed(1),
        "before": _packed(0),
        "after": _packed(0),
    }
    many = [{**edit, "number": n, "change": small} for n in range(1, 10_001)]
    undone = [{**edit, "kind": "undo", "number": n + 5000, "change": small} for n in range(1, 5001)]
    segment = header["table"][0]["segment"]
    rows = [{"layer": 0, "segment": {**segment, "name": str(n), "value": n + 1}} for n in range(60_000)]
    documents = {
        "10,000 edits": [header, *many],
        "5,000 edits undone": [header, *many[:5000], *undone],
        "60,000 segments": [{**header, "table": rows, "dtype": "uint16"}],
        "300,000 corners": [
            header,
            edit,
            {**correction, "prompt": {**prompt, "type": "scribble", "points_ras": corners}},
        ],
        "a prompt at 1e308": [header, edit, {**correction, "prompt": {**prompt, "points_ras": [[1e308, -1e308, 0]]}}],
        "labels of 2^47 voxels": [{**header, "shape": [1 << 16, 1 << 16, 1 << 15]}],
        "a million layers": [{**header, "layers": 1_000_000}],
        "10^30": [{**header, "layers": 10**30, "shape": [10**30, 1, 1]}],
        "half a character": [{**header, "library": "\ud800", "model": {"\ud800": "\udfff"}}],
    }
    made = {note: signed(lines) for note, lines in documents.items()}
    made |= {
        "2.5 G voxels in 400 kB": wide_journal([2048, 2048, 600]),
        "10 G voxels in 1.4 MB": wide_journal([4096, 4096, 600]),
        "9 GB behind": Sparse(NINE_GB, seed.files[LINES]),
        "a line of 2 GB": Repeated(seed.files[LINES], b"x" * (1 << 20), 2000),
        "brackets": b"[" * 100_000 + b"\n",
        "a header of 16 MB": b'{"a":"' + b"x" * (1 << 24) + b'"}\n',
    }
    cases = [changed(seed, LINES, content, note) for note, content in made.items()]
    locks = [
        Case({**seed.files, "j/.deepsegment.lock": odd}, note=f"lock {odd!r}")
        for odd in (Pipe(), Link("../../made-outside"))
    ]
    return [*cases, *locks, *odd_cases(seed, LINES, START)]


def read(folder: Path, _: Case) -> None:
    """Open a journal, and make all that it holds happen."""
    from DeepSegmentLib.files.journal import Journal

    with Journal.open(folder / "j") as journal:
        journal.labels()
        for segment in journal.header.segments[:9]:
            journal.prompts(segment.name)


DOORS = (Door("journal", seeds, mutate, read, hostile),)
