"""Results are held against what the segments were like in training."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from model_examples import LEFT_AND_RIGHT, model_spec

from DeepSegmentLib.data import Box, Geometry, LabelMap, Volume
from DeepSegmentLib.segmentation.doubts.doubt import notes_after
from DeepSegmentLib.segmentation.doubts.of_result import cut_segments, doubts_of_result
from DeepSegmentLib.segmentation.doubts.sizes_and_places import border_mm2, measure_shapes
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.training.measure_expectations import expect

SEGMENTS = model_spec().segments
SHAPE = (40, 40, 50)
GRID = Geometry.from_spacing(SHAPE, (2, 2, 2))
RNG = np.random.default_rng(0)


def balls(left=(20, 20, 16), right=(20, 20, 34), radius=7.0):
    """Two balls of about 11 ml, 36 mm apart; None leaves one out."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, middle in ((1, left), (2, right)):
        if middle is not None:
            labels[radius > np.linalg.norm(np.indices(SHAPE).T - middle, axis=-1).T] = value
    return labels


def label_map(labels, geometry=GRID):
    return LabelMap(labels[None], geometry, SEGMENTS)


def scan(labels):
    """Air around something."""
    return Volume(
        np.pad(np.ones([n - 2 for n in labels.shape]), 1)[None], Geometry.from_spacing(labels.shape, (2, 2, 2))
    )


def doubts(labels, **more):
    return doubts_of_result(label_map(labels), LEFT_AND_RIGHT, scan(labels), **more)


def in_pieces(labels):
    """Every slab apart from the next."""
    torn = labels.copy()
    torn[:, ::3] = 0
    return torn


GOOD = balls()
BAD = {
    "too large": (balls(radius=14), r"Unusual volumes: all segments together have \d+ ml \(20 to 30\)"),
    "too small": (balls(radius=3), "left has 0.7 ml"),
    "one missing": (balls(left=None), r"left has 0.0 ml \(10 to 15\)"),
    "nothing": (np.zeros(SHAPE, np.uint8), "No segment was found"),
    "sides exchanged": (np.array([0, 2, 1], np.uint8)[GOOD], "left is 3. mm off, right is 3. mm off"),
    "one above the other": (balls(left=(9, 20, 25), right=(31, 20, 25)), "do not lie to each other"),
    "in pieces": (in_pieces(GOOD), "lie in many pieces: left in"),
    "noise": (RNG.integers(0, 3, SHAPE).astype(np.uint8), "lie in many pieces"),
}


def test_what_is_as_in_training_is_not_doubted():
    assert doubts(GOOD) == ()
    assert notes_after((), scan(GOOD), label_map(GOOD), model_spec(expectations=LEFT_AND_RIGHT), None) == ()


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_is_doubted_in_a_sentence(name):
    import re

    labels, expected = BAD[name]
    found = doubts(labels)
    assert any(re.search(expected, doubt) for doubt in found), found


@given(st.sampled_from(["good", *BAD]), st.sampled_from(["RAS", "LPI", "SAR", "IPL", "ARS"]))
def test_how_the_file_is_stored_does_not_change_the_verdict(name, orientation):
    labels = GOOD if name == "good" else BAD[name][0]
    geometry, _, _ = GRID.oriented(orientation)
    turned = np.ascontiguousarray(GRID.view(labels, orientation))
    volume = scan(labels).oriented(orientation)
    assert doubts_of_result(label_map(turned, geometry), LEFT_AND_RIGHT, volume) == doubts(labels)


@given(st.tuples(*[st.integers(-6, 6)] * 3))
def test_where_the_organ_lies_in_the_volume_does_not_matter(shift):
    assert doubts(np.roll(GOOD, shift, axis=(0, 1, 2))) == ()


@pytest.mark.parametrize(("axis", "place"), [(0, 20), (1, 20), (2, 36)])
def test_a_cut_field_of_view_is_said_and_not_doubted(axis, place):
    kept = (slice(None),) * axis + (slice(0, place),)
    labels = np.ascontiguousarray(GOOD[kept])
    geometry = GRID.crop(Box((0, 0, 0), labels.shape))
    volume = Volume(np.ones((1, *labels.shape)), geometry)
    spec = model_spec(expectations=LEFT_AND_RIGHT)
    assert doubts_of_result(label_map(labels, geometry), LEFT_AND_RIGHT, volume) == ()
    (note,) = notes_after((), volume, label_map(labels, geometry), spec, None)
    assert note.startswith("Cut by the border of the volume: ")


def test_a_region_may_hold_little():
    half = np.where(np.indices(SHAPE)[2] < 25, GOOD, 0).astype(np.uint8)
    assert doubts(half)
    assert doubts(half, region=True) == ()
    assert doubts(np.zeros(SHAPE, np.uint8), region=True) == ()
    asked = PredictSettings(region_ras=np.array([[0.0, 0, 0], [20, 20, 20]]))
    assert notes_after((), scan(half), label_map(half), model_spec(expectations=LEFT_AND_RIGHT), asked) == ()


def test_doubts_end_with_what_the_model_is_for():
    notes = notes_after(("The volume looks odd.",), scan(GOOD), label_map(GOOD), model_spec(), None)
    assert notes == (
        "The volume looks odd.", "Look at the result before you use it. tiny-brain is for: Two structures.",
    )  # fmt: skip


@given(st.lists(st.tuples(st.floats(6, 8), st.integers(-2, 2)), min_size=1, max_size=3))
def test_no_case_of_the_training_is_doubted(cases):
    maps = [label_map(balls((20 + shift, 20, 16), (20, 20 + shift, 34), radius)) for radius, shift in cases]
    expected = expect(maps, coarsest_mm=2.0)
    assert expected.cases == len(maps)
    for each in maps:
        assert doubts_of_result(each, expected, scan(each.layers[0])) == ()
        for segment in expected.segments:
            assert segment.ml[0] - 0.01 <= each.volumes_ml()[segment.segment] <= segment.ml[1] + 0.01


def test_shapes_agree_with_simpleitk():
    turned, _, _ = Geometry.from_spacing(SHAPE, (2, 2.5, 3)).oriented("LSP")
    labels = Geometry.from_spacing(SHAPE, (2, 2.5, 3)).view(GOOD, "LSP")
    given = label_map(np.ascontiguousarray(labels), turned)
    spacing, origin, direction = turned.to_itk()
    image = sitk.GetImageFromArray(given.layers[0])
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    for segment in SEGMENTS:
        shape = measure_shapes(given).segments[segment.name]
        assert shape.ml == pytest.approx(statistics.GetPhysicalSize(segment.value) / 1000)
        centroid = np.array(statistics.GetCentroid(segment.value)) * [-1, -1, 1]
        assert shape.middle_ras == pytest.approx(centroid, abs=1e-6)
        assert shape.pieces == 1


def test_the_border_is_measured_in_square_millimetres():
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[0, :2, :3] = 1
    labels[3, 4, 5] = 2
    given = label_map(labels, Geometry.from_spacing((4, 5, 6), (2, 3, 4)))
    box = Box.of_shape((4, 5, 6))
    # Six voxels at the lower face, three at the front one, two at the left one; a corner meets three faces.
    assert border_mm2(given, box) == {"left": 6 * 12 + 3 * 8 + 2 * 6, "right": 12 + 8 + 6}
    assert border_mm2(given, Box((1, 0, 0), (3, 5, 6))) == {}
    assert cut_segments(given) == ""
