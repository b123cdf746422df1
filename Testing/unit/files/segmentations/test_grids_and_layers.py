"""Labelmaps in another index order and in one layer: nothing is lost, nothing else is let through."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import geometries, label_maps, orientations, shapes

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.segmentations.grids_and_layers import (
    empty_segments,
    flatten,
    labels_without_segment,
    match_grid,
)

GRID = Geometry.from_spacing((2, 3, 4), (2, 1, 1))


def _labels(*layers, segments=()):
    return LabelMap(np.array(layers, np.uint8).reshape(len(layers), 2, 3, 4), GRID, segments)


class TestMatchGrid:
    @given(label_maps(), orientations())
    def test_every_voxel_keeps_its_place_and_label(self, label_map, orientation):
        target, _, _ = label_map.geometry.oriented(orientation)
        matched = match_grid(label_map, target)
        assert matched.geometry.is_close(target)
        for index in np.ndindex(*label_map.geometry.shape):
            there = np.rint(target.ras_to_index(label_map.geometry.index_to_ras(index))).astype(int)
            assert np.array_equal(matched.layers[(slice(None), *there)], label_map.layers[(slice(None), *index)])

    @given(label_maps(), orientations())
    def test_there_and_back_is_the_identity(self, label_map, orientation):
        target, _, _ = label_map.geometry.oriented(orientation)
        again = match_grid(match_grid(label_map, target), label_map.geometry)
        assert np.array_equal(again.layers, label_map.layers)
        assert again.segments == label_map.segments

    @given(geometries(shapes(shortest=2)), st.floats(0.2, 5), st.integers(0, 2))
    def test_other_voxels_are_refused(self, geometry, voxels, axis):
        affine = geometry.affine.copy()
        affine[:3, 3] += affine[:3, axis] * voxels
        label_map = LabelMap(np.zeros((1, *geometry.shape), np.uint8), Geometry(geometry.shape, affine))
        with pytest.raises(InvalidInputError, match="not on the volume's grid"):
            match_grid(label_map, geometry)

    def test_the_rounding_of_files_passes_and_is_gone(self):
        affine = GRID.affine.copy()
        affine[:3, 3] += 0.01
        matched = match_grid(LabelMap(np.zeros((1, 2, 3, 4), np.uint8), Geometry(GRID.shape, affine)), GRID)
        assert matched.geometry is GRID


class TestFlatten:
    @given(label_maps())
    def test_segments_keep_their_voxels_or_are_refused_for_overlap(self, label_map):
        masks = [label_map.mask(segment) for segment in label_map.segments]
        overlap = len(masks) > 0 and len(label_map.layers) > 1 and np.sum(masks, axis=0).max() > 1
        if overlap:
            with pytest.raises(InvalidInputError, match="overlap"):
                flatten(label_map)
            return
        flat = flatten(label_map)
        assert len(flat.layers) == 1
        assert [segment.name for segment in flat.segments] == [segment.name for segment in label_map.segments]
        for segment, mask in zip(flat.segments, masks, strict=True):
            assert np.array_equal(flat.mask(segment), mask)

    def test_the_message_names_the_pair(self):
        segments = (Segment("liver", 1), Segment("lesion", 1, layer=1), Segment("spleen", 2))
        label_map = _labels([1] * 12 + [2] * 12, [0] * 11 + [1] + [0] * 12, segments=segments)
        with pytest.raises(InvalidInputError, match="'liver' and 'lesion'") as caught:
            flatten(label_map)
        assert "spleen" not in str(caught.value)


class TestTables:
    @given(label_maps())
    def test_each_label_has_a_segment_or_is_told(self, label_map):
        found = {(n, int(v)) for n, layer in enumerate(label_map.layers) for v in np.unique(layer) if v}
        known = {(segment.layer, segment.value) for segment in label_map.segments}
        assert set(labels_without_segment(label_map)) == found - known

    @given(label_maps())
    def test_empty_segments_are_those_without_a_voxel(self, label_map):
        assume(label_map.segments)
        assert set(empty_segments(label_map)) == {s for s in label_map.segments if not label_map.mask(s).any()}
