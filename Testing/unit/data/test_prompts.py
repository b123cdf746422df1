"""Prompts keep their points, and refuse what points at nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import BoxPrompt, Lasso, Point, Scribble
from DeepSegmentLib.errors import InvalidInputError

places = st.tuples(*[st.floats(-1e4, 1e4)] * 3)
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]])


@given(st.lists(places, min_size=3, max_size=9), st.booleans(), st.floats(0, 100))
def test_points_are_kept_and_read_only(points, positive, size_mm):
    prompts = (
        Scribble("liver", positive, points, size_mm),
        Lasso("liver", positive, points, size_mm),
        BoxPrompt("liver", positive, points[:2]),
        Point("liver", positive, points[0]),
    )
    kept = (prompts[0].points_ras, prompts[1].points_ras, prompts[2].corners_ras, prompts[3].point_ras)
    for prompt, mine, theirs in zip(prompts, kept, (points, points, points[:2], points[0]), strict=True):
        assert (prompt.segment, prompt.positive) == ("liver", positive)
        assert np.array_equal(mine, theirs)
        assert mine.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            mine[...] = 0


def test_the_callers_array_is_copied():
    points = CORNERS.copy()
    scribble = Scribble("liver", True, points)
    points[:] = 7
    assert np.array_equal(scribble.points_ras, CORNERS)


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((2, 2)), np.zeros(3), np.full((4, 3), np.nan)])
def test_refuses_points_that_are_none(points):
    for make in (Scribble, BoxPrompt, lambda *args: Lasso(*args, 1.0)):
        with pytest.raises(InvalidInputError, match=r"points \(R, A, S\) in mm, got|points must be finite, got \(nan"):
            make("liver", True, points)


@pytest.mark.parametrize("point", [(1, 2), (1, 2, 3, 4), (1, 2, np.inf)])
def test_refuses_a_click_that_is_no_place(point):
    with pytest.raises(
        InvalidInputError, match=r"points \(R, A, S\) in mm, got|points must be finite, got \(1, 2, inf"
    ):
        Point("liver", True, point)


def test_refuses_too_few_or_too_many_corners():
    with pytest.raises(InvalidInputError, match=r"at least 3 points \(R, A, S\)"):
        Lasso("liver", True, CORNERS[:2], 1.0)
    with pytest.raises(InvalidInputError, match="a box has two corners, got 3"):
        BoxPrompt("liver", True, CORNERS)


@pytest.mark.parametrize("size_mm", [-0.1, np.nan, np.inf])
def test_refuses_a_size_that_is_none(size_mm):
    with pytest.raises(InvalidInputError, match="radius must be 0 mm or more"):
        Scribble("liver", True, CORNERS, size_mm)
    with pytest.raises(InvalidInputError, match="depth must be 0 mm or more"):
        Lasso("liver", True, CORNERS, size_mm)
