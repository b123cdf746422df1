"""What a prompt costs follows the volume around it, not the numbers in it."""

import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import geometries, shapes, spacings

from DeepSegmentLib.correction.rules import marked_voxels as strokes
from DeepSegmentLib.correction.rules.marked_voxels import distance_to_line, marked_voxels
from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import BoxPrompt, Geometry, LabelMap, Lasso, Point, Scribble, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError, ResourceError

GRID = Geometry.from_spacing((30, 40, 50), (2, 1, 1))
FAR = 9.9e6
seeds = st.integers(0, 2**32 - 1)


@given(geometry=geometries(shapes(9), spacings(0.4, 4)), seed=seeds, count=st.integers(1, 5))
def test_a_line_marks_what_sampling_all_of_it_marks(geometry, seed, count):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-40, 40, (count, 3))
    corners[1:] = np.where(rng.random((count - 1, 3)) < 0.2, corners[:-1], corners[1:])  # sides along an axis, too
    steps = [int(np.ceil(np.abs(b - a).max() / 0.25)) + 1 for a, b in pairwise(corners)]
    samples = [a + (b - a) * np.linspace(0, 1, n)[:, None] for (a, b), n in zip(pairwise(corners), steps, strict=True)]
    nearest = np.floor(np.concatenate([corners, *samples]) + 0.5).astype(int)
    expected = np.unique(nearest[((nearest >= 0) & (nearest < geometry.shape)).all(axis=1)], axis=0)
    found = strokes._crossed(corners, geometry)
    assert np.array_equal(found, expected)


@given(geometry=geometries(shapes(9), spacings(0.4, 4)), seed=seeds, count=st.integers(1, 5))
def test_a_wide_line_marks_what_is_near_any_part_of_it(geometry, seed, count):
    rng = np.random.default_rng(seed)
    corners = geometry.index_to_ras(rng.uniform(-3, 10, (count, 3)))
    radius_mm = float(rng.uniform(0.1, 8))
    voxels = np.argwhere(np.ones(geometry.shape, bool))
    expected = voxels[distance_to_line(geometry.index_to_ras(voxels), corners) <= radius_mm]
    assert np.array_equal(strokes._near_line(corners, radius_mm, geometry), expected)


@given(seed=seeds, count=st.integers(3, 12))
def test_a_place_is_in_an_outline_when_a_ray_crosses_it_an_odd_number_of_times(seed, count):
    rng = np.random.default_rng(seed)
    corners, places = rng.integers(-4, 5, (count, 2)).astype(float), rng.integers(-8, 9, (60, 2)) / 2
    expected = np.zeros(len(places), bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        for n, (x, y) in enumerate(places):
            if (ay > y) != (by > y):
                expected[n] ^= x < ax + (y - ay) * (bx - ax) / (by - ay)
    assert np.array_equal(strokes._in_polygon(places, corners), expected)


def _zigzag(count, height):
    line = np.zeros((count, 3))
    line[:, 0] = np.linspace(0, 49, count)
    line[:, 1] = np.where(np.arange(count) % 2, height, 0)
    line[:, 2] = 20
    return line


ACROSS = np.array([[-FAR, 20.0, 20.0], [FAR, 20.0, 20.0]])


@pytest.mark.parametrize(
    ("prompt", "voxels"),
    [
        (Scribble("Cyst", True, ACROSS), 50),
        (Scribble("Cyst", True, ACROSS, 2.5), 50 * 11),
        (Scribble("Cyst", True, np.concatenate([ACROSS] * 500)), 50),
        (Scribble("Cyst", True, np.repeat([[3.0, 3, 4]], 100_000, axis=0)), 1),
        (BoxPrompt("Cyst", False, np.array([[-FAR] * 3, [FAR] * 3])), 30 * 40 * 50),
        (Lasso("Cyst", True, np.repeat(_zigzag(20, 39), 3000, axis=0), 0.0), None),
        (Lasso("Cyst", True, np.array([[-FAR, -FAR, 20], [FAR, -FAR, 20], [FAR, FAR, 20], [-FAR, FAR, 20.0]]), 1e6),
         30 * 40 * 50),
    ],
)  # fmt: skip
def test_prompts_without_end_cost_what_lies_in_the_volume(prompt, voxels):
    tracemalloc.start()
    try:
        start = time.process_time()
        marks = marked_voxels(prompt, GRID)
        assert time.process_time() - start < 4
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    marked = marks.stroke if marks.region is None else marks.region
    assert len(marked) == voxels or voxels is None


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Scribble("Cyst", True, np.concatenate([ACROSS] * 20_000)), "voxels long in the volume, more than 1048576"),
        (Scribble("Cyst", True, _zigzag(20_000, 10), 1e4), "comparisons with voxels.*smaller radius, or in parts"),
        (Lasso("Cyst", True, _zigzag(99_999, 10), 1e4), "comparisons with voxels.*simpler or smaller outline"),
        (Point("Cyst", True, np.full(3, FAR)), "marks no voxel"),
        (Scribble("Cyst", True, np.full((2, 3), -FAR), 5), "marks no voxel"),
    ],
)
def test_prompts_that_would_take_minutes_are_refused_at_once(prompt, message):
    start = time.process_time()
    with pytest.raises(InvalidInputError, match=message):
        marked_voxels(prompt, GRID)
    assert time.process_time() - start < 4


def test_a_radius_beyond_the_volume_takes_the_volume_and_no_more():
    volume = Volume(np.zeros((1, *GRID.shape), np.float32), GRID)
    labels = LabelMap(np.zeros((1, *GRID.shape), np.uint8), GRID, (Segment("Cyst", 1),))
    session = CorrectionSession(volume, labels)
    update = session.apply(Point("Cyst", True, np.full(3, 20.0)), CorrectionSettings(radius_mm=1e6))
    assert update.box.size <= 30 * 40 * 50


@pytest.mark.parametrize(
    "prompt",
    [
        Point("Cyst", True, np.full(3, 30.0)),
        Scribble("Cyst", True, np.array([[5.0, 5, 5], [50, 50, 30]]), 3.0),
        BoxPrompt("Cyst", True, np.array([[0.0] * 3, [60] * 3])),
        BoxPrompt("Cyst", False, np.array([[0.0] * 3, [60] * 3])),
        Lasso("Cyst", True, np.array([[0.0, 0, 20], [60, 0, 20], [60, 60, 20], [0, 60, 20]]), 60.0),
    ],
    ids=["point", "scribble", "box", "negative box", "lasso"],
)
def test_a_correction_takes_no_more_memory_than_is_asked_for(prompt):
    grid = Geometry.from_spacing((40, 60, 60), (1, 1, 1))
    noise = np.random.default_rng(0).normal(size=(1, *grid.shape)).astype(np.float32)
    labels = LabelMap(np.zeros((1, *grid.shape), np.uint8), grid, (Segment("Cyst", 1),))
    session = CorrectionSession(Volume(noise, grid), labels)
    session.apply(Point("Cyst", True, np.full(3, 30.0)), CorrectionSettings(radius_mm=3))  # what is loaded once
    tracemalloc.start()
    try:
        session.preview(prompt, CorrectionSettings(radius_mm=100))
        assert tracemalloc.get_traced_memory()[1] < strokes.BYTES_PER_VOXEL * 40 * 60 * 60
    finally:
        tracemalloc.stop()


def test_a_block_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(strokes, "available_memory_bytes", lambda: 1 << 20)
    volume = Volume(np.zeros((1, *GRID.shape), np.float32), GRID)
    labels = LabelMap(np.zeros((1, *GRID.shape), np.uint8), GRID, (Segment("Cyst", 1),))
    session = CorrectionSession(volume, labels)
    for prompt in (Point("Cyst", True, np.full(3, 20.0)), BoxPrompt("Cyst", True, np.array([[0.0] * 3, [49] * 3]))):
        with pytest.raises(ResourceError, match=r"[56].000 voxels and needs .* smaller edit radius"):
            session.apply(prompt, CorrectionSettings(radius_mm=1e5))
