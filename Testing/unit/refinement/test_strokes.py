"""Which voxels a prompt marks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import polygon2mask

from DeepSegmentLib.data import BoxPrompt, Geometry, Lasso, Point, Scribble
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.refinement.strokes import corners_around, distance_to_line, marked_voxels, points_of

SHAPE = (9, 11, 13)


@st.composite
def geometries(draw):
    """Oblique, flipped, anisotropic grids."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * rng.uniform(0.5, 4, 3)
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    return Geometry(SHAPE, affine)


places = st.tuples(*[st.floats(-0.4, size - 0.6) for size in SHAPE])


def everywhere(geometry):
    return geometry.index_to_ras(np.argwhere(np.ones(geometry.shape, bool)))


@given(geometries(), places)
def test_a_point_marks_the_nearest_voxel(geometry, place):
    marks = marked_voxels(Point("a", True, geometry.index_to_ras(place)), geometry)
    assert np.abs(marks.stroke - np.array(place)).max() <= 0.5 + 1e-6
    assert len(marks.stroke) == 1
    assert marks.region is None


@given(geometries(), st.lists(places, min_size=1, max_size=4))
def test_a_scribble_is_connected_and_holds_its_corners(geometry, corners):
    stroke = marked_voxels(Scribble("a", True, geometry.index_to_ras(corners)), geometry).stroke
    mask = np.zeros(SHAPE, bool)
    mask[tuple(stroke.T)] = True
    assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1
    for corner in np.floor(np.array(corners) + 0.5).astype(int):
        assert mask[tuple(np.minimum(corner, np.array(SHAPE) - 1))]


@given(geometries(), st.lists(places, min_size=1, max_size=3), st.floats(0.1, 8))
def test_a_wide_scribble_marks_all_within_its_radius(geometry, corners, radius):
    line = geometry.index_to_ras(corners)
    stroke = marked_voxels(Scribble("a", True, line, radius), geometry).stroke
    mask = np.zeros(SHAPE, bool)
    mask[tuple(stroke.T)] = True
    near = distance_to_line(everywhere(geometry), line).reshape(SHAPE) <= radius
    assert mask[near].all()
    thin = marked_voxels(Scribble("a", True, line), geometry).stroke
    near[tuple(thin.T)] = True
    assert np.array_equal(mask, near)


@given(geometries(), st.lists(places, min_size=2, max_size=2))
def test_a_box_marks_the_centers_inside(geometry, corners):
    prompt = BoxPrompt("a", False, geometry.index_to_ras(corners))
    low, high = prompt.corners_ras.min(axis=0), prompt.corners_ras.max(axis=0)
    at = everywhere(geometry)
    inside = ((at >= low - 1e-6) & (at <= high + 1e-6)).all(axis=1)
    if not inside.any():
        with pytest.raises(InvalidInputError, match="marks no voxel"):
            marked_voxels(prompt, geometry)
        return
    marks = marked_voxels(prompt, geometry)
    assert len(marks.stroke) == len(marks.region) == inside.sum()
    wanted = marked_voxels(BoxPrompt("a", True, prompt.corners_ras), geometry)
    assert len(wanted.stroke) == 0
    assert len(wanted.region) == inside.sum()


def test_a_lasso_agrees_with_skimage():
    geometry = Geometry.from_spacing(SHAPE, (2, 1, 1))
    outline = np.array([(2.2, 1.3), (9.4, 2.1), (8.2, 9.7), (5.1, 5.2), (2.4, 10.6)])
    ras = geometry.index_to_ras(np.insert(outline, 0, 4, axis=1))
    marks = marked_voxels(Lasso("a", True, ras, depth_mm=2.1), geometry)
    flat = polygon2mask(SHAPE[1:], outline)
    for voxels, planes in ((marks.stroke, [4]), (marks.region, [3, 4, 5])):
        mask = np.zeros(SHAPE, bool)
        mask[tuple(voxels.T)] = True
        assert np.array_equal(mask.any(axis=(1, 2)).nonzero()[0], planes)
        assert all(np.array_equal(mask[plane], flat) for plane in planes)


@given(geometries(), st.lists(places, min_size=3, max_size=5), st.floats(0, 6))
def test_the_corners_hold_all_that_is_marked(geometry, corners, margin):
    ras = geometry.index_to_ras(corners)
    for prompt in (Scribble("a", True, ras, margin), Lasso("a", True, ras, margin), BoxPrompt("a", True, ras[:2])):
        try:
            marks = marked_voxels(prompt, geometry)
        except InvalidInputError:
            continue
        voxels = marks.stroke if marks.region is None else np.concatenate([marks.stroke, marks.region])
        box = geometry.ras_to_index(corners_around(prompt))
        assert (voxels >= box.min(axis=0) - 1).all()
        assert (voxels <= box.max(axis=0) + 1).all()


@pytest.mark.parametrize("kind", [Point, Scribble, BoxPrompt, Lasso])
def test_outside_is_refused_with_the_place(kind):
    geometry = Geometry.from_spacing(SHAPE, (1, 1, 1))
    far = np.array([[900, 0, 0], [903, 2, 0], [901, 1, 2]], float)
    points = {Point: far[0], Scribble: far, BoxPrompt: far[:2], Lasso: far}[kind]
    prompt = kind("a", True, points, *([1.0] if kind is Lasso else []))
    assert points_of(prompt).shape[1] == 3
    with pytest.raises(InvalidInputError, match=r"RAS \[90.*marks no voxel.*place it inside"):
        marked_voxels(prompt, geometry)
