"""Models of several parts, stages and members: what they must have in common with one network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, ArrayNetwork, stage_spec
from strategies import geometries, shapes

from DeepSegmentLib.data import Geometry, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.expectations import Expectations, SegmentExpectation
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.runtime import Ensemble, StoredNetwork
from DeepSegmentLib.networks.stage_spec import NO_AXIS_CHANGE, Resampling, Tiling
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.segmentation import predict as prediction
from DeepSegmentLib.segmentation.doubts.doubt import notes_after
from DeepSegmentLib.segmentation.needs import needs_of
from DeepSegmentLib.segmentation.outputs import PredictSettings


def predict(volume, spec, functions, **more):
    """As the library's, with networks that are functions of arrays."""
    networks = [each if hasattr(each, "device") else ArrayNetwork(each) for each in functions]
    return prediction.predict(volume, spec, networks, **more)


NAMES = ("low", "middle", "high")
GEOMETRY = Geometry.from_spacing((9, 8, 7), (1.5, 1, 1))
grids = geometries(shape=shapes(9), spacing=st.tuples(*[st.sampled_from([0.8, 1.0, 2.5])] * 3))


def noise(geometry=GEOMETRY, seed=0):
    return Volume(np.random.default_rng(seed).normal(size=(1, *geometry.shape)).astype(np.float32), geometry)


def stage(segments, *, inputs=1, output="labels", **changes):
    network = replace(TINY_UNET, in_channels=inputs, out_channels=len(segments) + (output == "labels"))
    return stage_spec(**({"network": network, "patch_shape": (4, 4, 4), "spacing_mm": None} | changes))


def spec(*parts, output="labels", names=NAMES):
    segments = tuple(Segment(name, n) for n, name in enumerate(names, start=1))
    return ModelSpec("m", "1", "", "CC0-1.0", (Channel("a", "MR"),), segments, parts, output=output)


def bands(*limits):
    """A network whose label n is where the first channel is between two limits, the logits 4 there and 0 elsewhere."""

    def network(patches):
        inside = [(low <= patches[:, 0]) & (patches[:, 0] < high) for low, high in limits]
        background = ~np.any(inside, axis=0)
        return 4 * np.stack([background, *inside], axis=1).astype(np.float32)

    return network


def one_part_each(*names):
    return tuple(Part((name,), (stage((name,)),)) for name in names)


LIMITS = {"low": (-9, -0.7), "middle": (-0.7, 0.2), "high": (0.2, 9)}


@given(st.permutations(NAMES), grids)
def test_parts_of_disjoint_segments_may_run_in_any_order_and_make_one_model(order, geometry):
    volume = noise(geometry)
    whole = predict(volume, spec(Part(NAMES, (stage(NAMES),))), [bands(*LIMITS.values())])
    model = spec(*one_part_each(*order))
    parts = predict(volume, model, [bands(LIMITS[name]) for name in order])
    assert np.array_equal(parts.label_map.layers, whole.label_map.layers)
    assert parts.label_map.segments == whole.label_map.segments
    assert parts.tiles == 3 * whole.tiles


def test_where_parts_overlap_the_later_one_wins():
    volume = noise()
    normal = (volume.voxels[0] - volume.voxels.mean()) / volume.voxels.std()
    model = spec(*one_part_each("low", "high"), names=("low", "high"))
    labels = predict(volume, model, [bands((-9, 9)), bands((0.5, 9))]).label_map.layers[0]
    assert np.array_equal(labels, np.where(normal >= 0.5, 2, 1))


def test_regions_of_several_parts_get_their_own_layers():
    parts = tuple(Part((name,), (stage((name,), output="regions"),)) for name in ("high", "low"))
    model = spec(*parts, output="regions", names=("low", "high"))
    result = predict(noise(), model, [lambda x: x - 0.3, lambda x: x + 0.3])
    low, high = result.label_map.layers
    assert (low[high > 0] > 0).all()
    assert (low > 0).sum() > (high > 0).sum() > 0


def test_a_part_that_is_not_wanted_is_not_run_and_costs_nothing():
    def never(_):
        raise AssertionError

    model, networks = spec(*one_part_each(*NAMES)), [never, bands(LIMITS["middle"]), never]
    wanted = PredictSettings(subset=("middle",))
    result = predict(noise(), model, networks, settings=wanted)
    assert result.label_map.mask(result.label_map.segments[1]).any()
    alone, all_parts = (needs_of(model, GEOMETRY, each) for each in (wanted, PredictSettings()))
    assert 3 * alone.passes == all_parts.passes
    assert alone.network_bytes < all_parts.network_bytes
    assert 3 * alone.operations_in_all == all_parts.operations_in_all
    with_map = predict(
        noise(), model, [bands(LIMITS["low"]), *networks[1:]], settings=replace(wanted, probabilities=("low",))
    )
    assert with_map.probabilities["low"].voxels.any()


def test_maps_come_from_their_part_and_uncertainty_is_the_largest():
    model = spec(*one_part_each("low", "high"), names=("low", "high"))
    networks = [bands(LIMITS["low"]), lambda x: 0.1 * bands(LIMITS["high"])(x)]
    settings = PredictSettings(probabilities=("low", "high"), uncertainty=True)
    both = predict(noise(), model, networks, settings=settings)
    for n, name in enumerate(("low", "high")):
        alone = predict(noise(), model, networks, settings=replace(settings, subset=(name,), probabilities=(name,)))
        assert np.array_equal(alone.probabilities[name].voxels, both.probabilities[name].voxels)
        assert (alone.uncertainty.voxels <= both.uncertainty.voxels).all(), n


def test_progress_and_tiles_go_over_all_parts():
    fractions, model = [], spec(*one_part_each(*NAMES))
    networks = [bands(LIMITS[name]) for name in NAMES]
    result = predict(noise(), model, networks, on_progress=lambda event: fractions.append(event.fraction))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert result.tiles == result.passes == needs_of(model, GEOMETRY, PredictSettings()).passes


# Cascades ------------------------------------------------------------------------------------------------------------


def repeats_earlier(patches):
    """A second stage that gives back what it was told."""
    earlier = patches[:, 1:]
    return 4 * np.concatenate([1 - earlier.sum(axis=1, keepdims=True), earlier], axis=1)


@given(grids, st.sampled_from([None, (1.0, 1.0, 1.0), (2.0, 1.5, 1.0)]))
def test_a_second_stage_that_repeats_the_first_changes_nothing_on_the_same_grid(geometry, spacing):
    first = stage(NAMES, spacing_mm=spacing)
    second = stage(NAMES, inputs=4)
    volume, network = noise(geometry), bands(*LIMITS.values())
    alone = predict(volume, spec(Part(NAMES, (first,))), [network]).label_map.layers
    both = predict(volume, spec(Part(NAMES, (first, second))), [network, repeats_earlier]).label_map.layers
    assert np.array_equal(both, alone)


def test_the_second_stage_gets_the_image_and_a_mask_for_each_label():
    seen = []

    def second(patches):
        seen.append(patches)
        return repeats_earlier(patches)

    model = spec(Part(NAMES, (stage(NAMES), stage(NAMES, inputs=4, patch_shape=(9, 8, 7)))))
    labels = predict(noise(), model, [bands(*LIMITS.values()), second]).label_map.layers[0]
    (patches,) = seen
    assert np.array_equal(patches[0, 1:].astype(bool), [labels == n for n in (1, 2, 3)])


def test_regions_become_flat_masks_in_the_order_of_their_values():
    """The later region wins, as in nnU-Net; values 2 and 1 here."""
    seen = []

    def first(patches):
        return np.concatenate([np.ones_like(patches), patches], axis=1)

    def second(patches):
        seen.append(patches)
        return patches[:, 1:] - 0.5

    segments = (Segment("outer", 2), Segment("inner", 1))
    names = ("outer", "inner")
    stages = (
        stage(names, output="regions", patch_shape=(9, 8, 7)),
        stage(names, inputs=3, output="regions", patch_shape=(9, 8, 7)),
    )
    model = ModelSpec("m", "1", "", "", (Channel("a", ""),), segments, (Part(names, stages),), output="regions")
    predict(noise(), model, [first, second])
    inner, outer = seen[0][0, 1:] > 0
    assert np.array_equal(inner, seen[0][0, 0] > 0)
    assert np.array_equal(outer, ~inner)


# Members -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=4), st.booleans())
def test_the_logits_of_members_are_averaged(offsets, mirror):
    def member(offset):
        return ArrayNetwork(lambda patches: np.concatenate([np.zeros_like(patches), patches * offset + offset], axis=1))

    model = spec(Part(("s",), (stage(("s",), mirror_axes=(0, 2)),)), names=("s",))
    settings = PredictSettings(probabilities=("s",), mirror=mirror)
    together = predict(noise(), model, [Ensemble([member(each) for each in offsets])], settings=settings)
    mean = predict(noise(), model, [member(np.float32(np.mean(offsets)))], settings=settings)
    np.testing.assert_allclose(together.probabilities["s"].voxels, mean.probabilities["s"].voxels, atol=1e-5)


def test_a_stored_network_is_read_once_and_only_when_asked():
    reads = []

    def load():
        reads.append(1)
        return ArrayNetwork(bands((0, 9)))

    stored = StoredNetwork(load)
    assert reads == []
    patches = torch.from_numpy(np.array(noise().voxels[None]))
    assert torch.equal(stored(patches), stored(patches))
    assert reads == [1]


# Axes, planes, crops, normalisation ----------------------------------------------------------------------------------


def first_axis_ramp(patches):
    """Label 1 in the far half of the network's own first axis, larger the more there is in the image."""
    ramp = np.linspace(-1, 1, patches.shape[2], dtype=np.float32)[:, None, None]
    return np.concatenate([np.zeros_like(patches), ramp + 0.01 * patches], axis=1)


@given(st.permutations(NO_AXIS_CHANGE).map(tuple), st.sampled_from([None, "RAS", "LPI", "SAL"]))
def test_axes_are_those_of_the_volume_turned_by_hand(axes, orientation):
    """A stage that turns the axes does what one without does with a volume that is stored so."""
    volume, settings = noise(), PredictSettings(probabilities=("s",))
    kji = volume.geometry.oriented(orientation or volume.geometry.orientation)[0].orientation[::-1]
    turned = volume.oriented("".join(kji[axis] for axis in axes)[::-1])
    patch = {"patch_shape": turned.geometry.shape, "crop": "none"}
    models = [
        spec(Part(("s",), (stage(("s",), **patch, **rules),)), names=("s",))
        for rules in ({"orientation": orientation, "axes": axes}, {"orientation": None})
    ]
    ours, by_hand = (
        predict(each, model, [first_axis_ramp], settings=settings).probabilities["s"]
        for each, model in zip((volume, turned), models, strict=True)
    )
    again = by_hand.oriented(volume.geometry.orientation)
    np.testing.assert_allclose(ours.voxels, again.voxels, atol=1e-6)


def test_an_oblique_volume_as_it_is_stored_keeps_its_axes():
    turn = np.array([[0.7, 0.7, 0.1, 0], [-0.7, 0.7, 0, 0], [0, -0.1, 1, 0], [0, 0, 0, 1.0]])
    geometry, seen = Geometry((3, 4, 5), turn), []

    def look(patches):
        seen.append(patches[0, 0])
        return np.concatenate([patches * 0, patches], axis=1)

    rules = {"orientation": None, "crop": "none", "normalizations": (Normalization("none"),), "patch_shape": (3, 4, 5)}
    predict(noise(geometry), spec(Part(("s",), (stage(("s",), **rules),)), names=("s",)), [look])
    assert np.array_equal(seen[0], noise(geometry).voxels[0])


def test_planes_of_a_2d_network_run_together_and_give_what_each_gives_alone():
    geometry, calls = Geometry.from_spacing((70, 9, 8), (3, 1, 1)), []
    network = UNetSpec(1, 2, (2, 2), ((3, 3),) * 2, ((1, 1), (2, 2)), (1, 1), (1,))

    def one_by_one(patches):
        calls.append(patches.shape)
        means = patches.mean(axis=(3, 4), keepdims=True)
        return np.concatenate([np.zeros_like(patches), patches + means], axis=1)

    rules = {"network": network, "patch_shape": (1, 6, 5), "normalizations": (Normalization("none"),), "crop": "none"}
    model = spec(Part(("s",), (stage(("s",), **rules),)), names=("s",))
    result = predict(noise(geometry), model, [one_by_one])
    assert len(calls) < 70
    for k in (0, 33, 69):
        plane = Volume(noise(geometry).voxels[:, k : k + 1], Geometry.from_spacing((1, 9, 8), (3, 1, 1)))
        alone = predict(plane, model, [one_by_one]).label_map.layers
        assert np.array_equal(result.label_map.layers[:, k : k + 1], alone)


@pytest.mark.parametrize("crop", ["content", "nonzero", "none"])
def test_what_is_cropped_is_background_and_never_seen(crop):
    voxels = np.full((1, 9, 9, 9), 7.0 if crop == "content" else 0.0, np.float32)
    voxels[:, 3:6, 2:7, 4:8] = np.random.default_rng(0).normal(3, 1, (3, 5, 4))
    voxels[0, 4, 4, 5] = voxels[0, 0, 0, 0]  # a hole inside stays
    seen = []

    def look(patches):
        seen.append(patches.shape[2:])
        return np.concatenate([patches * 0, patches * 0 + 1], axis=1)

    rules = {"crop": crop, "patch_shape": (1, 1, 1), "tiling": Tiling(0.0)}
    volume = Volume(voxels, Geometry.from_spacing((9, 9, 9), (1, 1, 1)))
    labels = predict(volume, spec(Part(("s",), (stage(("s",), **rules),)), names=("s",)), [look]).label_map.layers[0]
    assert labels.sum() == (9**3 if crop == "none" else 3 * 5 * 4)
    assert len(seen) == 3 * 5 * 4 or crop == "none"


@given(st.sampled_from(["zscore", "percentile"]), st.booleans())
def test_a_region_gets_the_intensities_of_the_whole_whenever_they_are_normalised(kind, after):
    rules = {
        "normalizations": (Normalization(kind),),
        "normalize": "after" if after else "before",
        "spacing_mm": (1.5, 1, 1),
        "patch_shape": (2, 2, 2),
        "resampling": Resampling(antialias=False),
    }
    model = spec(Part(("s",), (stage(("s",), **rules),)), names=("s",))
    settings = PredictSettings(probabilities=("s",))

    def show(patches):
        return np.concatenate([np.zeros_like(patches), patches], axis=1)

    whole = predict(noise(), model, [show], settings=settings).probabilities["s"].voxels
    corners = GEOMETRY.index_to_ras([[3, 2, 2], [5, 5, 4]])
    part = predict(noise(), model, [show], settings=replace(settings, region_ras=corners)).probabilities["s"].voxels
    np.testing.assert_allclose(part[0, 3:6, 2:6, 2:5], whole[0, 3:6, 2:6, 2:5], atol=1e-5)


def test_a_network_for_each_stage_is_needed():
    with pytest.raises((InvalidInputError, ValueError)):
        predict(noise(), spec(*one_part_each("low", "high"), names=("low", "high")), [bands((0, 9))])


def test_segments_of_parts_that_were_not_run_are_not_missed():
    shape = SegmentExpectation("low", (5.0, 9.0), ((-9.0, 9.0),) * 3, 1)
    expected = Expectations(1, (10.0, 20.0), ((5.0, 50.0),) * 3, 4.0, (shape, replace(shape, segment="high")))
    model = replace(spec(*one_part_each("low", "high"), names=("low", "high")), expectations=expected)
    settings = PredictSettings(subset=("low",))
    nothing = predict(noise(), model, [lambda x: np.concatenate([x * 0 + 1, x * 0], axis=1)] * 2, settings=settings)
    some, all_run = (notes_after((), noise(), nothing.label_map, model, each) for each in (settings, PredictSettings()))
    assert len(all_run) > 0
    assert len(some) < len(all_run)
