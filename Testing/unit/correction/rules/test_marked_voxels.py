"""Prompts mark the voxels that brute force finds, on any grid."""

from itertools import pairwise

import numpy as np
import pytest
from correction_worlds import MAKERS
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import polygon2mask
from strategies import geometries, shapes, spacings

from DeepSegmentLib.correction.rules.marked_voxels import distance_to_line, extent_ras, marked_voxels, points_of
from DeepSegmentLib.data import BoxPrompt, Geometry, Lasso, Point, Scribble
from DeepSegmentLib.errors import InvalidInputError

grids = geometries(shapes(9), spacings(0.4, 4))
seeds = st.integers(0, 2**32 - 1)
GRID = Geometry.from_spacing((7, 8, 9), (2, 1, 0.5))


def _mask(indices, geometry):
    mask = np.zeros(geometry.shape, dtype=int)
    np.add.at(mask, tuple(indices.T), 1)
    assert mask.max(initial=0) <= 1, "a voxel is marked twice"
    return mask.astype(bool)


@pytest.mark.parametrize("kind", MAKERS)
@given(geometry=grids, seed=seeds, positive=st.booleans())
def test_marks_what_brute_force_finds(kind, geometry, seed, positive):
    asked = MAKERS[kind](np.random.default_rng(seed), geometry, "a", positive)
    may_mark = asked.maybe if asked.region is None else asked.region
    if not may_mark.any():
        with pytest.raises(InvalidInputError, match="marks no voxel"):
            marked_voxels(asked.prompt, geometry)
        return
    try:
        marks = marked_voxels(asked.prompt, geometry)
    except InvalidInputError:
        assert not asked.sure.any()
        return
    stroke = _mask(marks.stroke, geometry)
    assert not (asked.sure & ~stroke).any()
    assert not (stroke & ~asked.maybe).any()
    assert (marks.region is None) == (asked.region is None)
    if asked.region is not None:
        region = _mask(marks.region, geometry)
        assert not (region & ~asked.region).any()
        assert not (stroke & ~region).any()


@given(geometry=grids, data=st.data())
def test_a_click_on_a_center_marks_its_voxel(geometry, data):
    index = [data.draw(st.integers(0, n - 1)) for n in geometry.shape]
    marks = marked_voxels(Point("a", True, geometry.index_to_ras(index)), geometry)
    assert marks.stroke.tolist() == [index]
    assert marks.region is None


@given(geometry=grids, seed=seeds, count=st.integers(1, 6), thin=st.booleans())
def test_the_voxels_of_a_line_hang_together(geometry, seed, count, thin):
    rng = np.random.default_rng(seed)
    corners = geometry.index_to_ras(rng.uniform(0, np.asarray(geometry.shape) - 1, (count, 3)))
    radius_mm = 0.0 if thin else float(rng.uniform(0, 5))
    mask = _mask(marked_voxels(Scribble("a", True, corners, radius_mm), geometry).stroke, geometry)
    assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1


@given(geometry=grids, seed=seeds)
def test_a_wider_line_marks_all_that_a_thinner_one_does(geometry, seed):
    rng = np.random.default_rng(seed)
    corners = geometry.index_to_ras(rng.uniform(0, np.asarray(geometry.shape) - 1, (3, 3)))
    masks = [
        _mask(marked_voxels(Scribble("a", True, corners, r), geometry).stroke, geometry)
        for r in sorted([0.0, *rng.uniform(0, 8, 3)])
    ]
    assert all(not (thin & ~wide).any() for thin, wide in pairwise(masks))


@given(seed=seeds, axis=st.integers(0, 2), count=st.integers(3, 9))
def test_a_flat_lasso_is_the_polygon_of_its_slice(seed, axis, count):
    rng = np.random.default_rng(seed)
    geometry = Geometry.from_spacing((9, 10, 11), (1.5, 0.7, 2))
    others = [a for a in range(3) if a != axis]
    sizes = [geometry.shape[a] for a in others]
    flat = rng.uniform(-2, np.add(sizes, 1), (count, 2))
    corners = np.full((count, 3), float(rng.integers(0, geometry.shape[axis])))
    corners[:, others] = flat
    expected = polygon2mask(tuple(sizes), flat)
    assume(expected.any())
    marks = marked_voxels(Lasso("a", True, geometry.index_to_ras(corners), 0), geometry)
    assert np.array_equal(marks.stroke, marks.region)
    assert np.unique(marks.stroke[:, axis]).tolist() == [int(corners[0, axis])]
    assert np.array_equal(_mask(marks.stroke, geometry).any(axis=axis), expected)


def test_a_deep_lasso_reaches_to_both_sides_of_its_plane():
    corners = GRID.index_to_ras(np.array([(3, 1.5, 1.5), (3, 1.5, 6.5), (3, 5.5, 6.5), (3, 5.5, 1.5)]))
    marks = marked_voxels(Lasso("a", True, corners, 4.0), GRID)
    assert np.unique(marks.stroke[:, 0]).tolist() == [3]
    assert np.unique(marks.region[:, 0]).tolist() == [1, 2, 3, 4, 5]
    assert len(marks.region) == 5 * len(marks.stroke) == 5 * 4 * 5


def test_a_positive_box_says_only_where_the_segment_is():
    corners = GRID.index_to_ras(np.array([(1, 1, 1), (2, 3, 4)]))
    marks = marked_voxels(BoxPrompt("a", True, corners), GRID)
    assert marks.stroke.shape == (0, 3)
    assert len(marks.region) == 2 * 3 * 4
    assert len(marked_voxels(BoxPrompt("a", False, corners), GRID).stroke) == 2 * 3 * 4


def test_the_part_of_a_line_outside_the_grid_is_left_out():
    ends = GRID.index_to_ras(np.array([(3, 4, 4), (3, 4, 40)]))
    stroke = marked_voxels(Scribble("a", True, ends), GRID).stroke
    assert stroke.tolist() == [[3, 4, i] for i in range(4, 9)]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda place: Point("a", True, place), "point"),
        (lambda place: Scribble("a", True, place[None], 1.0), "scribble"),
        (lambda place: BoxPrompt("a", True, [place, place + 1]), "box"),
        (lambda place: BoxPrompt("a", False, [place, place + 1]), "box"),
        (lambda place: Lasso("a", True, place + np.eye(3), 1.0), "lasso"),
    ],
)
def test_says_where_a_prompt_lies_that_misses_the_volume(make, kind):
    far = r"reaches from \[0\.0, 0\.0, 0\.0\] to \[4\.0, 7\.0, 12\.0\]; place it inside"
    with pytest.raises(InvalidInputError, match=rf"the {kind} around RAS \[.*\] mm marks no voxel.*{far}"):
        marked_voxels(make(np.array([100.0, 200, 300])), GRID)


def test_a_lasso_without_area_marks_nothing():
    with pytest.raises(InvalidInputError, match=r"lasso .* marks no voxel"):
        marked_voxels(Lasso("a", True, GRID.index_to_ras(np.array([(1, 1, 1), (2, 2, 2), (3, 3, 3)])), 0), GRID)


@given(places=st.lists(st.tuples(*[st.floats(-9, 9)] * 3), min_size=1, max_size=4), seed=seeds)
def test_distance_to_a_line_is_that_to_its_nearest_sample(places, seed):
    corners = np.asarray(places)
    points = np.random.default_rng(seed).uniform(-9, 9, (20, 3))
    ends = corners[1:] if len(corners) > 1 else corners
    samples = [a + (b - a) * t for a, b in zip(corners, ends, strict=False) for t in np.linspace(0, 1, 300)]
    nearest = np.linalg.norm(points[:, None] - np.array(samples), axis=2).min(axis=1)
    found = distance_to_line(points, corners)
    assert (found <= nearest + 1e-9).all()
    assert (found >= nearest - 0.06).all()


@given(geometry=grids, seed=seeds, kind=st.sampled_from(sorted(MAKERS)), positive=st.booleans())
def test_all_that_is_marked_lies_within_the_extent(geometry, seed, kind, positive):
    prompt = MAKERS[kind](np.random.default_rng(seed), geometry, "a", positive).prompt
    try:
        marks = marked_voxels(prompt, geometry)
    except InvalidInputError:
        return
    places = geometry.index_to_ras(np.concatenate([marks.stroke, *([] if marks.region is None else [marks.region])]))
    (low, high), margin = extent_ras(prompt), sum(geometry.spacing_mm) / 2 + 1e-4
    assert (places >= low - margin).all()
    assert (places <= high + margin).all()


def test_the_points_of_each_kind_of_prompt():
    corners = np.arange(9.0).reshape(3, 3) ** 2
    assert points_of(Point("a", True, corners[0])).tolist() == [corners[0].tolist()]
    for prompt in (Scribble("a", True, corners), Lasso("a", True, corners, 1)):
        assert points_of(prompt) is prompt.points_ras
    assert points_of(BoxPrompt("a", True, corners[:2])).tolist() == corners[:2].tolist()
