"""Laws of prompts as JSON."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import prompts

from DeepSegmentLib.data import Point, Scribble
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.prompts import StoredPrompt, read_prompts, write_prompts

CLICK = {"type": "point", "segment": "Cyst", "positive": True, "points_ras": [[1, 2.5, -3]]}


def same(a, b):
    """Whether two prompts are equal to the last bit."""
    return StoredPrompt.of(a) == StoredPrompt.of(b) and type(a) is type(b)


@given(st.lists(prompts(), max_size=4))
def test_written_prompts_come_back_to_the_last_bit(tmp_path_factory, some):
    path = tmp_path_factory.mktemp("prompts") / "a.json"
    write_prompts(tuple(some), path)
    back = read_prompts(path)
    assert len(back) == len(some)
    assert all(same(a, b) for a, b in zip(some, back, strict=True))


def test_a_file_written_by_hand(tmp_path):
    path = tmp_path / "a.json"
    line = {"type": "scribble", "positive": False, "points_ras": [[0, 0, 0], [1, 1, 1]], "size_mm": 2}
    path.write_text(json.dumps([CLICK, line]))
    click, scribble = read_prompts(path, "Liver")
    assert isinstance(click, Point)
    assert (click.segment, click.point_ras.tolist()) == ("Cyst", [1, 2.5, -3])
    assert isinstance(scribble, Scribble)
    assert (scribble.segment, scribble.positive, scribble.radius_mm) == ("Liver", False, 2)
    assert np.array_equal(scribble.points_ras, [[0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[", "no JSON"),
        ("{}", "no list"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "prompt 1 must be an object"),
        (json.dumps([CLICK, {**CLICK, "type": "circle"}]), "prompt 2.type must be one of point, scribble, box, lasso"),
        (json.dumps([{**CLICK, "points_ras": [[1, 2]]}]), "must have 3 entries"),
        (json.dumps([{**CLICK, "points_ras": [[1, 2, float("nan")]]}]), "NaN is no number"),
        (json.dumps([{**CLICK, "points_ras": [[1, 2, 10**400]]}]), "finite"),
        (json.dumps([{**CLICK, "points_ras": [[1, 2, 3]] * 2}]), "a point has one place"),
        (json.dumps([{**CLICK, "points_ras": []}]), "a point has one place"),
        (json.dumps([{**CLICK, "type": "box"}]), "at least 2"),
        (json.dumps([{**CLICK, "type": "scribble", "size_mm": -1}]), "0 mm or more"),
        (json.dumps([{**CLICK, "size_mm": 3}]), "a point has no size_mm"),
        (json.dumps([{**CLICK, "points_ras": [[1, 2, 1e12]]}]), r"within 1e\+07 mm of the origin, got 1e\+12 mm"),
        (json.dumps([{**CLICK, "points_ras": [[1, 2, 10**30]]}]), r"within 1e\+07 mm of the origin"),
        (json.dumps([{**CLICK, "type": "scribble", "size_mm": 1e12}]), r"at most 1e\+06 mm, got 1000000000000"),
        (json.dumps([{**CLICK, "type": "lasso", "points_ras": [[0, 0, 0]] * 100_001}]), "at most 100000 corners"),
        (json.dumps([{}] * 10_001), "10001 prompts, more than 10000; split them"),
        (" " * ((1 << 24) + 1), "bytes, more than"),
        ('[{"type": "point", "type": "box"}]', "'type' appears twice"),
        (json.dumps([{**CLICK, "radius": 3}]), "unknown key 'radius'"),
        (json.dumps([{key: value for key, value in CLICK.items() if key != "segment"}]), "'segment' is missing"),
    ],
)
def test_what_is_no_list_of_prompts_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(VolumeFileError, match=message):
        read_prompts(path)


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(VolumeFileError, match="pipe"):
        read_prompts(tmp_path / "a.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VolumeFileError, match="does not exist"):
        read_prompts(tmp_path / "a.json")
