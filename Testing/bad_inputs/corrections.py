"""Prompts and journals that must be refused: name, maker, and what the message must say."""

from __future__ import annotations

import json

from fuzz.cases import Case, Link, Pipe, Sparse
from fuzz.door import NINE_GB
from fuzz.doors.documents import PROMPTS, text
from fuzz.doors.journals import LINES, START, signed, sound_journal, wide_journal

POINT, SCRIBBLE, BOX, LASSO = PROMPTS


def prompts(folder, content):
    """A file of prompts."""
    Case({"prompts.json": content if not isinstance(content, list | dict) else text(content)}).write(folder)
    return folder / "prompts.json"


_CORNERS = [[n % 100 * 0.5, n % 77 * 0.5, n % 13] for n in range(300_000)]
PROMPT_FILES = {
    "no file": (lambda d: d / "nothing.json", "nothing.json does not exist"),
    "an empty file": (lambda d: prompts(d, b""), "prompts.json"),
    "a pipe": (lambda d: prompts(d, Pipe()), "prompts.json.*(pipe|plain file)"),
    "a file without end": (lambda d: prompts(d, Link("/dev/zero")), "prompts.json"),
    "9 GB": (lambda d: prompts(d, Sparse(NINE_GB)), "prompts.json"),
    "no list": (lambda d: prompts(d, {}), r"no list of prompts; put \[ and \] around"),
    "100,000 brackets": (lambda d: prompts(d, b"[" * 100_000), "prompts.json.*JSON"),
    "half a document": (lambda d: prompts(d, text(PROMPTS)[:-20]), "prompts.json.*JSON.*mend"),
    "other letters": (lambda d: prompts(d, b'[{"segment": "\xe9"}]'), "prompts.json.*JSON"),
    "a prompt of nothing": (lambda d: prompts(d, [None]), "prompt 1 must be an object"),
    "a prompt of another type": (lambda d: prompts(d, [{**POINT, "type": "circle"}]), "prompt 1.*type must be one of"),
    "a key of its own": (lambda d: prompts(d, [{**POINT, "color": 1}]), "prompt 1.*unknown key 'color'"),
    "a point without a place": (lambda d: prompts(d, [{**POINT, "points_ras": []}]), "prompt 1.*point"),
    "a point of two places": (
        lambda d: prompts(d, [{**POINT, "points_ras": [[0, 0, 0]] * 2}]),
        "a point has one place",
    ),
    "a point of two numbers": (lambda d: prompts(d, [{**POINT, "points_ras": [[0, 0]]}]), "must have 3 entries"),
    "a point of words": (lambda d: prompts(d, [{**POINT, "points_ras": [["a", 0, 0]]}]), "must be a number"),
    "a point at infinity": (lambda d: prompts(d, [{**POINT, "points_ras": [[10**400, 0, 0]]}]), "finite number"),
    "a point of NaN": (lambda d: prompts(d, b'[{"type": "point", "points_ras": [[NaN, 0, 0]]}]'), "prompts.json.*NaN"),
    "a point with a size": (lambda d: prompts(d, [{**POINT, "size_mm": 3}]), "a point has no size_mm"),
    "a scribble of negative width": (lambda d: prompts(d, [{**SCRIBBLE, "size_mm": -1}]), "radius must be"),
    "a box of three corners": (lambda d: prompts(d, [{**BOX, "points_ras": [[0, 0, 0]] * 3}]), "two corners"),
    "a lasso of one corner": (lambda d: prompts(d, [{**LASSO, "points_ras": [[0, 0, 0]]}]), "prompt 1"),
    "300,000 corners": (lambda d: prompts(d, [{**SCRIBBLE, "points_ras": _CORNERS}]), "prompt(s.json| 1).*300000"),
    "a scribble to 1e12 mm": (
        lambda d: prompts(d, [{**SCRIBBLE, "points_ras": [[0, 0, 0], [1e12, 0, 0]]}]),
        "prompt 1",
    ),
    "a radius of 1e12 mm": (lambda d: prompts(d, [{**SCRIBBLE, "size_mm": 1e12}]), "prompt 1"),
}


def journal(folder, lines=None, **more):
    """A journal with other lines, or other files."""
    files = dict(sound_journal().files) | {
        {"lines": LINES, "start": START}[key]: content for key, content in more.items()
    }
    if lines is not None:
        files[LINES] = signed(lines)
    Case({name: content for name, content in files.items() if content is not None}).write(folder)
    return folder / "j"


def documents():
    """What the lines of a sound journal say."""
    return [json.loads(line) for line in sound_journal().files[LINES].splitlines()]


def header(**changes):
    """A journal of a header alone."""
    return [{**documents()[0], **changes}]


def entry(n=1, **changes):
    """A journal with entry n changed."""
    lines = documents()
    lines[n] = {**lines[n], **changes}
    return lines


def change(**changes):
    """A journal whose first entry changes labels in another way."""
    return entry(change={**documents()[1]["change"], **changes})


JOURNALS = {
    "no journal": (lambda d: d / "nothing", "nothing holds no journal"),
    "no lines": (lambda d: journal(d, lines=None, start=b"") and _without(d, LINES), "holds no journal"),
    "no start": (lambda d: journal(d, start=None), "start.seg.nrrd"),
    "another start": (lambda d: journal(d, start=b"NRRD0004\n"), "start.seg.nrrd"),
    "a start that is a pipe": (lambda d: journal(d, start=Pipe()), "start.seg.nrrd"),
    "a start of 9 GB": (lambda d: journal(d, start=Sparse(NINE_GB)), "start.seg.nrrd"),
    "lines from a pipe": (lambda d: _lines(d, Pipe()), "j"),
    "lines without end": (lambda d: _lines(d, Link("/dev/zero")), "j"),
    "9 GB of lines": (lambda d: _lines(d, Sparse(NINE_GB)), "line 1"),
    "lines of text": (lambda d: _lines(d, b"hello\n" * 99), "line 1"),
    "lines of brackets": (lambda d: _lines(d, b"[" * 100_000 + b"\n"), "line 1"),
    "one bit": (lambda d: _lines(d, _turned(sound_journal().files[LINES])), "journal.jsonl.*damaged.*keep a copy"),
    "a later format": (lambda d: journal(d, header(format=99)), "format is 99"),
    "labels of 2^47 voxels": (lambda d: journal(d, header(shape=[1 << 16, 1 << 16, 1 << 15])), "journal.jsonl"),
    "labels of 10^30 layers": (lambda d: journal(d, header(layers=10**30)), "line 1"),
    "labels of no voxels": (lambda d: journal(d, header(shape=[0, 5, 6])), "claims labels"),
    "an affine of zeros": (lambda d: journal(d, header(affine=[[0.0] * 4] * 4)), "line 1"),
    "segments twice": (lambda d: journal(d, header(table=documents()[0]["table"] * 2)), "line 1"),
    "10 G voxels in 1.4 MB": (lambda d: _lines(d, wide_journal([4096, 4096, 600])), "journal.jsonl"),
    "an entry out of turn": (lambda d: journal(d, entry(number=7)), "line 2.*number 7"),
    "an entry of another kind": (lambda d: journal(d, entry(kind="delete")), "line 2.*kind must be one of"),
    "a correction without a prompt": (lambda d: journal(d, entry(2, prompt=None)), "line 3.*prompt and settings"),
    "nothing to undo": (lambda d: journal(d, entry(kind="undo")), "nothing to undo"),
    "a change outside": (lambda d: journal(d, change(stop=[9, 9, 9])), "line 2.*outside the labels"),
    "a change in another layer": (lambda d: journal(d, change(layer=5)), "line 2.*layer 5"),
    "a change that is no base64": (lambda d: journal(d, change(where="?")), "line 2.*base64"),
    "a change that cannot be unpacked": (lambda d: journal(d, change(where="aGVsbG8=")), "line 2.*unpack"),
    "a change of another size": (lambda d: journal(d, change(start=[1, 1, 1])), "line 2.*unpack"),
    "settings beyond measure": (
        lambda d: journal(d, entry(2, settings={**documents()[2]["settings"], "radius_mm": 10**400})),
        "line 3.*finite",
    ),
}


def _without(folder, name):
    (folder / name).unlink()
    return folder / "j"


def _lines(folder, content):
    Case({**sound_journal().files, LINES: content}).write(folder)
    return folder / "j"


def _turned(content):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


def use_prompts(path, _):
    """Read prompts."""
    from DeepSegmentLib.files.prompts import read_prompts

    read_prompts(path, "a")


def use_journal(folder, _):
    """Open a journal and read its labels."""
    from DeepSegmentLib.files.journal import Journal

    with Journal.open(folder) as opened:
        opened.labels()
