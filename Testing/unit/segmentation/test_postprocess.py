"""Cleaning up within boxes is cleaning up the whole."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure
from strategies import label_maps

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.errors import Cancelled, InvalidInputError
from DeepSegmentLib.networks.model_spec import Cleanup
from DeepSegmentLib.segmentation.postprocess import clean_up


def slowly(label_map, cleanup):
    """One clean-up over the whole grid, with SciPy's own functions."""
    layers = label_map.layers.copy()
    segment = label_map.segment(cleanup.segment)
    layer = layers[segment.layer]
    mask = layer == segment.value
    parts, count = ndimage.label(mask)
    sizes = [int((parts == n).sum()) for n in range(1, count + 1)]
    least = cleanup.minimum_ml * 1000 / label_map.geometry.voxel_volume_mm3
    kept = np.zeros_like(mask)
    for n, size in enumerate(sizes, start=1):
        if size >= least and (not cleanup.keep_largest or n == 1 + sizes.index(max(sizes))):
            kept |= parts == n
    layer[mask & ~kept] = 0
    if cleanup.fill_holes:
        layer[ndimage.binary_fill_holes(kept) & (layer == 0)] = segment.value
    return LabelMap(layers, label_map.geometry, label_map.segments)


@given(label_maps(), st.data())
def test_boxes_change_nothing(label_map, data):
    names = [segment.name for segment in label_map.segments]
    cleanup = st.builds(Cleanup, st.sampled_from(names or ["none"]), st.booleans(), st.floats(0, 0.01), st.booleans())
    cleanups = data.draw(st.lists(cleanup, max_size=4)) if names else []
    expected = label_map
    for one in cleanups:
        expected = slowly(expected, one)
    assert np.array_equal(clean_up(label_map, cleanups).layers, expected.layers)


@given(label_maps().filter(lambda label_map: len(label_map.segments) > 1), st.sampled_from([6, 18, 26]))
def test_segments_taken_together_are_as_one(label_map, neighbours):
    """As nnU-Net's `remove_all_but_largest_component_from_segmentation`, which takes scikit-image's components."""
    first, *rest = label_map.segments[:3]
    cleanup = Cleanup(first.name, keep_largest=True, together_with=tuple(s.name for s in rest), neighbours=neighbours)
    union = np.logical_or.reduce([label_map.layers[s.layer] == s.value for s in (first, *rest)])
    parts = measure.label(union, connectivity={6: 1, 18: 2, 26: 3}[neighbours])
    kept = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]) if union.any() else union
    found = clean_up(label_map, [cleanup])
    for segment in label_map.segments:
        before = label_map.layers[segment.layer] == segment.value
        expected = before & kept if segment in (first, *rest) else before
        assert np.array_equal(found.layers[segment.layer] == segment.value, expected)


@given(label_maps().filter(lambda label_map: label_map.segments), st.data())
def test_what_is_removed_everywhere_is_left_nowhere(label_map, data):
    """As nnU-Net, which cleans up regions after they are flattened."""
    segment = data.draw(st.sampled_from(label_map.segments))
    alone = clean_up(label_map, [Cleanup(segment.name, keep_largest=True)]).layers
    removed = (label_map.layers[segment.layer] == segment.value) & (alone[segment.layer] != segment.value)
    found = clean_up(label_map, [Cleanup(segment.name, keep_largest=True, everywhere=True)]).layers
    assert np.array_equal(found, np.where(removed, 0, alone))


def test_a_hundred_segments_together_take_no_more_memory_than_two():
    shape, names = (40, 40, 40), [f"s{n}" for n in range(1, 101)]
    voxels = np.random.default_rng(0).integers(0, 101, (1, *shape)).astype(np.uint8)
    segments = tuple(Segment(name, n) for n, name in enumerate(names, start=1))
    label_map = LabelMap(voxels, Geometry.from_spacing(shape, (1, 1, 1)), segments)
    most = []
    for count in (2, 100):
        tracemalloc.start()
        clean_up(label_map, [Cleanup(names[0], keep_largest=True, together_with=tuple(names[1:count]))])
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 2 * most[0]


@given(label_maps().filter(lambda label_map: label_map.segments))
def test_it_can_be_stopped(label_map):
    def stop():
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        clean_up(label_map, [Cleanup(label_map.segments[0].name, True)], stop)


@given(label_maps())
def test_an_unknown_segment_is_named(label_map):
    with pytest.raises(InvalidInputError, match="nobody"):
        clean_up(label_map, [Cleanup("nobody")])
