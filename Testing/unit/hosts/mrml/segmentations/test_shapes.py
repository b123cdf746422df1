"""Shapes of segments as sets of voxels, and the merge policies on them."""

import numpy as np
import SimpleITK as sitk
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import boxes, geometries, masks

from DeepSegmentLib.data import Box, Geometry
from DeepSegmentLib.hosts.mrml.segmentations.merge_policies import Merge, MergePolicy
from DeepSegmentLib.hosts.mrml.segmentations.shapes import (
    Shape,
    difference,
    hull,
    nothing,
    same_voxels,
    shapes_of,
    stack,
    union,
)

LATTICE = Geometry.from_spacing((1, 1, 1), (3.0, 1.5, 0.7)).affine


@st.composite
def shapes(draw, affine=LATTICE):
    """Shapes anywhere on a lattice, empty ones included."""
    box = draw(boxes(-5, 6))
    return Shape(affine, box, draw(masks(box.shape)) if box.size else np.zeros(box.shape, bool))


def _voxels(shape):
    """The indices of a shape as a set."""
    return {tuple(index) for index in (np.argwhere(shape.mask) + shape.box.start).tolist()}


def _points(shape):
    return {tuple(np.round(shape.affine[:3, :3] @ index + shape.affine[:3, 3], 6)) for index in _voxels(shape)}


@given(shapes(), shapes())
def test_shapes_are_sets_of_voxels(first, second):
    assert _voxels(union(first, second)) == _voxels(first) | _voxels(second)
    assert _voxels(difference(first, second)) == _voxels(first) - _voxels(second)
    assert same_voxels(first, second) == (_voxels(first) == _voxels(second))
    assert first.is_empty == (not _voxels(first))


@given(shapes(), boxes())
def test_a_cut_keeps_what_is_in_the_box(shape, box):
    spans = [range(a, b) for a, b in zip(box.start, box.stop, strict=True)]
    inside = {index for index in _voxels(shape) if all(n in span for n, span in zip(index, spans, strict=True))}
    assert _voxels(shape.cut(box)) == inside
    assert shape.within(box).shape == box.shape
    assert shape.within(box).sum() == len(inside)


@given(shapes(), st.tuples(*[st.integers(-20, 20)] * 3))
def test_lattices_of_the_same_voxels_are_one(shape, offset):
    moved = LATTICE.copy()
    moved[:3, 3] += moved[:3, :3] @ offset
    there = shape.onto(moved)
    assert _points(there) == _points(shape)
    assert same_voxels(shape, there)
    assert same_voxels(there, shape)


@given(masks(filled=True), geometries(), geometries())
def test_other_lattices_take_the_nearest_voxel_as_simpleitk_does(mask, source, target):
    geometry = Geometry(mask.shape, source.affine)
    centre = geometry.index_to_ras((np.asarray(mask.shape) - 1) / 2)
    affine = target.affine.copy()
    affine[:3, 3] += centre - target.index_to_ras((np.asarray(target.shape) - 1) / 2)
    grid = Geometry(target.shape, affine)
    index = geometry.ras_to_index(grid.index_to_ras(np.moveaxis(np.indices(grid.shape), 0, -1)))
    sure = (np.abs(np.abs(index - np.round(index)) - 0.5) > 1e-3).all(axis=-1)  # not halfway between voxels
    image = sitk.Resample(
        _image(mask, geometry), _image(np.zeros(grid.shape), grid), sitk.Transform(), sitk.sitkNearestNeighbor
    )
    there = Shape(geometry.affine, Box.of_shape(mask.shape), mask).onto(grid.affine).within(Box.of_shape(grid.shape))
    assert np.array_equal(there[sure], sitk.GetArrayFromImage(image)[sure] > 0)


def _image(array, geometry):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    spacing, origin, direction = geometry.to_itk()
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


@given(shapes(), geometries())
def test_no_voxel_is_cut_off_on_another_lattice(shape, target):
    there = shape.onto(target.affine)
    around = there.box.grow((2, 2, 2)) if there.box.size else Box((0, 0, 0), (3, 3, 3))
    grid = Geometry(around.shape, target.affine).crop(around)
    index = np.round(np.linalg.solve(shape.affine, np.c_[_centers(grid), np.ones(np.prod(grid.shape))].T)[:3].T, 6)
    assume((np.abs(np.abs(index - np.round(index)) - 0.5) > 1e-3).all())
    inside = np.array([tuple(each) in _voxels(shape) for each in np.round(index).astype(int).tolist()])
    assert there.within(around).sum() == inside.sum()


def test_one_thick_voxel_is_three_thin_ones():
    thick = Shape(np.diag([3.0, 1.0, 1.0, 1.0]), Box((0, 0, 0), (1, 1, 1)), np.ones((1, 1, 1), bool))
    thin = thick.onto(np.eye(4))
    assert np.argwhere(thin.within(Box((-3, -1, -1), (4, 2, 2)))).tolist() == [[2, 1, 1], [3, 1, 1], [4, 1, 1]]


def _centers(grid):
    return grid.index_to_ras(np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3))


@given(st.lists(shapes(), max_size=5), boxes())
def test_a_stack_holds_every_shape_whole(members, box):
    layers, places = stack(members, box)
    assert layers.shape[1:] == box.shape
    assert set(places) <= set(range(len(layers)))
    for value, (shape, place) in enumerate(zip(members, places, strict=True), start=1):
        assert np.array_equal(layers[place] == value, shape.within(box))


@given(masks(), st.integers(1, 6))
def test_shapes_without_overlap_need_one_layer(mask, pieces):
    labels = np.where(mask, 1 + np.arange(mask.size).reshape(mask.shape) % pieces, 0).astype(np.uint8)
    values = list(range(1, pieces + 2))
    found = shapes_of(labels, LATTICE, values)
    for value, shape in zip(values, found, strict=True):
        assert np.array_equal(shape.within(Box.of_shape(mask.shape)), labels == value)
    layers, _ = stack(found, Box.of_shape(mask.shape))
    assert np.array_equal(layers, labels[None])


def test_many_shapes_get_wide_labels():
    members = [Shape(LATTICE, Box((n, 0, 0), (n + 1, 1, 1)), np.ones((1, 1, 1), bool)) for n in range(300)]
    layers, _ = stack(members, hull(members))
    assert np.array_equal(layers[0, :, 0, 0], np.arange(1, 301))


@given(shapes(), shapes(), shapes(), masks((4, 4, 4)))
def test_policies_keep_their_word_also_outside_the_volume(old, new, neighbor, labels):
    volume = Geometry((4, 4, 4), LATTICE)
    whole, region = Box.of_shape(volume.shape), Box((1, 0, 1), (3, 4, 4))
    new = new.cut(whole)
    there, result, inside = _voxels(old), _voxels(new), _voxels(Shape(LATTICE, region, np.ones(region.shape, bool)))
    assert _voxels(Merge(MergePolicy.UPDATE).merged(old, new)) == result
    assert _voxels(Merge(MergePolicy.EMPTY).merged(old, new)) == there | result
    roi = Merge(MergePolicy.UPDATE, region)
    assert _voxels(roi.merged(old, new.cut(region))) == (there - inside) | (result & inside)
    layers = labels[None].astype(np.uint8)
    free = Merge(MergePolicy.EMPTY).allowed(layers, volume, [old, neighbor])[0]
    taken = there | _voxels(neighbor)
    assert {tuple(index) for index in np.argwhere(free).tolist()} == {
        tuple(index) for index in np.argwhere(labels).tolist() if tuple(index) not in taken
    }
    assert np.array_equal(
        roi.allowed(layers, volume, [])[0] > 0,
        labels & Shape(LATTICE, region, np.ones(region.shape, bool)).within(whole),
    )


@given(shapes(), masks((5, 6, 7)), geometries())
def test_a_finer_or_turned_segment_keeps_its_own_voxels(old, labels, other):
    """Where a segment lies on another lattice than the volume, what stays of it stays voxel for voxel."""
    volume = Geometry(labels.shape, other.affine)
    new = Shape(volume.affine, Box.of_shape(labels.shape), labels)
    assume(not old.is_empty)
    grown = Merge(MergePolicy.EMPTY).merged(old, new)
    assert np.array_equal(grown.affine, old.affine)
    assert _voxels(old) <= _voxels(grown)
    region = Box((0, 0, 0), (2, 6, 7))
    merged = Merge(MergePolicy.UPDATE, region).merged(old, nothing(volume.affine))
    inside = Shape(volume.affine, region, np.ones(region.shape, bool)).onto(old.affine)
    assert _voxels(merged) == _voxels(old) - _voxels(inside)
