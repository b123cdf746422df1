"""Cases on the network's grid: as volumes are prepared to be segmented, with what is known of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import model_spec

from DeepSegmentLib.data import Box, Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.segmentation.prepare import prepare
from DeepSegmentLib.training.cases.labelled_case import LabelledCase
from DeepSegmentLib.training.cases.prepare_case import prepare_case
from DeepSegmentLib.training.cases.stored_case import load, store

SEGMENTS = (Segment("left", 1), Segment("right", 2))


def _case(seed=0, shape=(9, 10, 11), affine=None, **more):
    rng = np.random.default_rng(seed)
    geometry = Geometry(shape, affine) if affine is not None else Geometry.from_spacing(shape, (1, 1, 1))
    labels = rng.integers(0, 3, shape).astype(np.uint8)
    volume = Volume(rng.normal(100, 20, (1, *shape)).astype(np.float32), geometry)
    drawn = more.pop("drawn", {"left": (), "right": ()})
    return LabelledCase("case_0001", volume, LabelMap(labels[None], geometry, SEGMENTS), drawn, **more)


def _spec(**more):
    spec = model_spec(**{"spacing_mm": None, "orientation": "RAS", "crop": "none", **more})
    return spec, spec.parts[0]


def _names(part):
    return part.segments


def test_the_segments_of_the_example_are_those_of_the_model():
    _, part = _spec()
    assert set(_names(part)) == {"left", "right"}


@given(st.integers(0, 99), st.permutations([0, 1, 2]), st.lists(st.booleans(), min_size=3, max_size=3))
def test_image_and_labels_turn_together(seed, axes, flips):
    """On its own spacing a case is only turned: each voxel keeps its label, wherever its axes point."""
    affine = np.eye(4)[[*axes, 3]] * np.array([*(-1.0 if flip else 1.0 for flip in flips), 1.0])
    case = _case(seed, affine=affine)
    spec, part = _spec()
    prepared = prepare_case(case, spec, part)
    orientation = part.stages[0].orientation_of(case.volume.geometry.orientation)
    labels = case.volume.geometry.view(case.label_map.layers[0], orientation)
    order = [part.segments.index(segment.name) + 1 for segment in SEGMENTS]
    assert np.array_equal(prepared.labels[0], np.array([0, *order])[labels])
    expected = prepare(case.volume, part.stages[0]).volume.voxels
    assert np.array_equal(prepared.image, expected)


def test_what_was_not_drawn_is_unknown_and_no_label():
    case = _case(drawn={"left": ()})
    spec, part = _spec()
    prepared = prepare_case(case, spec, part)
    number = part.segments.index("left") + 1
    assert set(np.unique(prepared.labels)) == {0, number}
    assert [row.classes[number] for row in prepared.known] == [True]
    assert prepared.known[0].classes.count(False) == 1
    assert prepared.regions.max() == 0


def test_a_box_makes_the_class_unknown_outside_of_it():
    box = Box((2, 0, 0), (6, 10, 11))
    case = _case(drawn={"left": (box,), "right": ()})
    spec, part = _spec(orientation=None)
    prepared = prepare_case(case, spec, part)
    number = part.segments.index("left") + 1
    known = np.array([row.classes[number] for row in prepared.known])[prepared.regions]
    inside = np.zeros(case.volume.geometry.shape, bool)
    inside[box.to_slices()] = True
    assert np.array_equal(known, inside)
    assert not (prepared.labels[0] == number)[~inside].any()


def test_voxels_that_nobody_looked_at_count_less():
    box = Box((0, 0, 0), (9, 4, 11))
    case = _case(reviewed=(box,))
    spec, part = _spec(orientation=None)
    prepared = prepare_case(case, spec, part, unreviewed=0.5)
    weight = np.array([row.weight for row in prepared.known])[prepared.regions]
    assert (weight[:, :4] == 1).all()
    assert (weight[:, 4:] == 0.5).all()


@given(st.integers(0, 50))
def test_places_are_voxels_of_their_class(seed):
    spec, part = _spec()
    prepared = prepare_case(_case(seed), spec, part)
    for channel, places in enumerate(prepared.places):
        assert all(prepared.labels[(0, *place)] == channel for place in places.tolist())
        assert len(places) == 0 if channel == 0 else len(places) > 0


@settings(max_examples=10)
@given(st.integers(0, 50))
def test_a_stored_case_is_the_same_again(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("cases") / "one"
    spec, part = _spec()
    case = prepare_case(_case(seed, reviewed=(Box((0, 0, 0), (3, 3, 3)),)), spec, part)
    store(case, folder)
    again = load(folder, check=True)
    np.testing.assert_allclose(again.image, case.image, rtol=1e-3, atol=1e-3)
    for name in ("labels", "regions"):
        assert np.array_equal(getattr(again, name), getattr(case, name))
    assert all(np.array_equal(a, b) for a, b in zip(again.places, case.places, strict=True))
    assert (again.known, again.spacing_mm, again.name, again.group) == (
        case.known,
        case.spacing_mm,
        case.name,
        case.group,
    )
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "notes"])
def test_a_damaged_stored_case_is_told(tmp_path, damage):
    spec, part = _spec()
    store(prepare_case(_case(), spec, part), tmp_path / "one")
    path = tmp_path / "one" / ("case.json" if damage == "notes" else "labels.npy")
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage != "flip" else content[:-9] + bytes([99]) * 9)
    with pytest.raises(ValueError, match="damaged"):
        load(tmp_path / "one", check=True)


def test_a_case_of_other_channels_is_refused():
    spec, part = _spec()
    case = _case()
    two = replace(case, volume=replace(case.volume, voxels=np.repeat(case.volume.voxels, 2, axis=0)))
    with pytest.raises(InvalidInputError, match="2 channels, the model 1"):
        prepare_case(two, spec, part)


def test_too_many_kinds_of_places_are_refused():
    names = [f"s{n}" for n in range(6)]
    geometry = Geometry.from_spacing((8, 8, 8), (1, 1, 1))
    segments = tuple(Segment(name, n + 1) for n, name in enumerate(names))
    boxes = {
        name: (Box((0, 0, 0), tuple(3 * (n // 3 + 1) if axis == n % 3 else 8 for axis in range(3))),)
        for n, name in enumerate(names)
    }
    volume = Volume(np.zeros((1, 8, 8, 8), np.float32), geometry)
    case = LabelledCase("many", volume, LabelMap(np.zeros((1, 8, 8, 8), np.uint8), geometry, segments), boxes)
    spec, part = _spec()
    with pytest.raises(InvalidInputError, match="kinds of places"):
        prepare_case(case, spec, replace(part, segments=tuple(names)))
