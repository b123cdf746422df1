"""Prediction laws with networks that read coordinates, so that the right answer is known for any grid."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_examples import ArrayNetwork
from strategies import geometries, orientations, shapes

from DeepSegmentLib.data import Geometry, Segment, Volume
from DeepSegmentLib.errors import Cancelled, InvalidInputError
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_spec import Channel, Cleanup, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.segmentation import predict as prediction
from DeepSegmentLib.segmentation.needs import needs_of
from DeepSegmentLib.segmentation.outputs import PredictSettings


def predict(volume, spec, functions, **more):
    """As the library's, with networks that are functions of arrays."""
    return prediction.predict(volume, spec, [ArrayNetwork(each) for each in functions], **more)


_SLOPES = np.array([[0, 0, 0], [0.7, -0.2, 0.3], [-0.4, 0.6, 0.1], [0.1, 0.2, -0.8]])
_OFFSETS = np.array([0.0, -1.0, 0.5, 0.2])


def _spec(*, patch=(6, 5, 4), output="labels", channels=3, segments=3, cleanups=(), **more):
    out = segments + (output == "labels")
    network = UNetSpec(channels, out, (4, 4), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,))
    stage = StageSpec(patch, network, (Normalization("none"),) * channels, **more)
    return ModelSpec(
        name="coordinates",
        version="1",
        description="reads coordinates",
        license="Apache-2.0",
        channels=tuple(Channel(f"c{n}", "MR") for n in range(channels)),
        segments=tuple(Segment(f"s{n + 1}", n + 1) for n in range(segments)),
        parts=(Part(tuple(f"s{n + 1}" for n in range(segments)), (stage,)),),
        output=output,
        cleanups=cleanups,
    )


def _linear_network(patches):
    """Logits that are linear in the three channels."""
    return (np.einsum("co,bokji->bckji", _SLOPES, patches) + _OFFSETS[:, None, None, None]).astype(np.float32)


def _coordinates(geometry):
    """A volume whose channels are its own RAS coordinates, centred."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    ras = geometry.index_to_ras(index) - geometry.index_to_ras((np.array(geometry.shape) - 1) / 2)
    return Volume(np.moveaxis(ras, -1, 0).astype(np.float32), geometry)


def _direct(volume):
    logits = np.einsum("co,okji->ckji", _SLOPES, volume.voxels.astype(float)) + _OFFSETS[:, None, None, None]
    ordered = np.sort(logits, axis=0)
    return logits.argmax(axis=0), ordered[-1] - ordered[-2]


near = st.floats(0.5, 4.0).map(lambda value: round(value, 3))
grids = geometries(shape=shapes(14), spacing=st.tuples(near, near, near))


@given(geometry=grids, orientation=orientations(), overlap=st.floats(0, 0.8), patch=st.tuples(*[st.integers(1, 9)] * 3))
def test_a_network_that_reads_coordinates_gives_the_direct_answer(geometry, orientation, overlap, patch):
    volume = _coordinates(geometry)
    spec = _spec(patch=patch, orientation=orientation)
    labels = predict(volume, spec, [_linear_network], settings=PredictSettings(overlap=overlap)).label_map
    expected, margin = _direct(volume)
    sure = margin > 1e-3
    assert np.array_equal(labels.layers[0][sure], expected[sure])


@given(geometry=grids, orientation=orientations(), overlap=st.floats(0, 0.8), spacing=st.tuples(near, near, near))
def test_the_answer_holds_through_resampling(geometry, orientation, overlap, spacing):
    volume = _coordinates(geometry)
    # Sampling, not averaging, keeps a slope to the last digit.
    spec = _spec(spacing_mm=spacing, orientation=orientation, resampling=Resampling(antialias=False))
    labels = predict(volume, spec, [_linear_network], settings=PredictSettings(overlap=overlap)).label_map
    expected, margin = _direct(volume)
    # At its border a coarser grid repeats its last value: an error of at most the coarsest step, times the slopes.
    reach = max(*spacing, *geometry.spacing_mm) * 2
    sure = margin > 1e-3 + 2 * np.abs(_SLOPES).sum(axis=1).max() * reach * _border(geometry, reach)
    assert np.array_equal(labels.layers[0][sure], expected[sure])


def _border(geometry, reach_mm):
    """Which voxels lie within a distance of the grid's border."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    last = np.array(geometry.shape) - 1
    distance = np.minimum(index, last - index) * np.array(geometry.spacing_mm)
    return (distance <= reach_mm).any(axis=-1)


@given(geometry=grids, orientation=orientations())
def test_another_storage_order_gives_the_same_segments(geometry, orientation):
    volume = _coordinates(geometry)
    turned = volume.oriented(orientation)
    spec = _spec(spacing_mm=(1.5, 1.5, 1.5))
    straight = predict(volume, spec, [_linear_network]).label_map
    again = predict(turned, spec, [_linear_network]).label_map
    back = Volume(again.layers, again.geometry).oriented(geometry.orientation)
    assert np.mean(back.voxels != straight.layers) < 0.01


def test_labels_lie_on_the_grid_of_the_input():
    geometry = Geometry.from_spacing((7, 8, 9), (3, 1, 1))
    label_map = predict(_coordinates(geometry), _spec(spacing_mm=(2, 2, 2)), [_linear_network]).label_map
    assert label_map.geometry is geometry
    assert [segment.name for segment in label_map.segments] == ["s1", "s2", "s3"]


def test_regions_may_overlap_in_layers():
    geometry = Geometry.from_spacing((6, 6, 6), (1, 1, 1))
    volume = _coordinates(geometry)
    spec = _spec(output="regions", segments=4)
    result = predict(volume, spec, [_linear_network], settings=PredictSettings(probabilities=("s2",), uncertainty=True))
    logits = np.einsum("co,okji->ckji", _SLOPES, volume.voxels) + _OFFSETS[:, None, None, None]
    for n, segment in enumerate(result.label_map.segments):
        assert np.array_equal(result.label_map.mask(segment), logits[n] > 0)
    assert np.allclose(result.probabilities["s2"].voxels[0], 1 / (1 + np.exp(-logits[1])), atol=1e-5)
    assert 0 <= result.uncertainty.voxels.min() <= result.uncertainty.voxels.max() <= 1


@given(geometry=grids)
def test_probabilities_are_the_softmax_and_the_entropy_agrees(geometry):
    volume = _coordinates(geometry)
    settings = PredictSettings(probabilities=("s1", "s2", "s3"), uncertainty=True)
    result = predict(volume, _spec(), [_linear_network], settings=settings)
    logits = np.einsum("co,okji->ckji", _SLOPES, volume.voxels.astype(float)) + _OFFSETS[:, None, None, None]
    exact = np.exp(logits - logits.max(0)) / np.exp(logits - logits.max(0)).sum(0)
    for n in (1, 2, 3):
        assert np.allclose(result.probabilities[f"s{n}"].voxels[0], exact[n], atol=1e-4)
    entropy = -(exact * np.log(np.maximum(exact, 1e-12))).sum(0) / np.log(4)
    assert np.allclose(result.uncertainty.voxels[0], entropy, atol=1e-3)


def test_a_region_of_interest_limits_labels_and_changes_nothing_inside():
    geometry = Geometry.from_spacing((20, 18, 16), (1, 1.5, 1))
    volume = _coordinates(geometry)
    whole = predict(volume, _spec(), [_linear_network]).label_map.layers[0]
    corners = geometry.index_to_ras([[5, 4, 3], [11, 9, 12]])
    part = predict(volume, _spec(), [_linear_network], settings=PredictSettings(region_ras=corners)).label_map.layers[0]
    inside = np.zeros(geometry.shape, bool)
    inside[5:12, 4:10, 3:13] = True
    assert np.array_equal(part[inside], whole[inside])
    assert not part[~inside].any()


def test_a_region_outside_the_volume_is_refused():
    settings = PredictSettings(region_ras=np.array([[500.0, 500, 500], [600, 600, 600]]))
    with pytest.raises(InvalidInputError, match="outside the volume"):
        predict(
            _coordinates(Geometry.from_spacing((4, 4, 4), (1, 1, 1))), _spec(), [_linear_network], settings=settings
        )


@pytest.mark.parametrize("flat", [[0], [1], [2], [0, 2], [0, 1, 2]])
def test_a_region_of_no_extent_is_refused(flat):
    corners = np.array([[1.0, 2, 3], [4, 5, 6]])
    corners[1, flat] = corners[0, flat]
    with pytest.raises(InvalidInputError, match=f"no extent.*{'.*'.join('RAS'[axis] for axis in flat)}"):
        PredictSettings(region_ras=corners)


@given(geometry=grids)
def test_maps_on_disk_are_those_in_memory(tmp_path_factory, geometry):
    volume, asked = _coordinates(geometry), PredictSettings(probabilities=("s1", "s3"), uncertainty=True)
    folder = tmp_path_factory.mktemp("maps")
    memory = predict(volume, _spec(), [_linear_network], settings=asked)
    disk = predict(volume, _spec(), [_linear_network], settings=replace(asked, maps_folder=folder))
    for name, expected in memory.probabilities.items():
        np.testing.assert_array_equal(disk.probabilities[name].voxels, expected.voxels)
    np.testing.assert_array_equal(disk.uncertainty.voxels, memory.uncertainty.voxels)
    assert not list(folder.iterdir())


def test_memory_does_not_grow_with_maps_on_disk():
    geometry, all_maps = Geometry.from_spacing((300, 300, 300), (1, 1, 1)), PredictSettings(probabilities=("s",) * 100)
    few = replace(all_maps, probabilities=("s",) * 2)
    on_disk = [needs_of(_spec(), geometry, replace(each, maps_folder=Path("/"))) for each in (few, all_maps)]
    assert on_disk[0] == on_disk[1]
    in_memory = needs_of(_spec(), geometry, all_maps).array_bytes
    assert in_memory > 9 * on_disk[0].array_bytes


def test_mirroring_averages_over_the_allowed_axes():
    geometry = Geometry.from_spacing((4, 4, 4), (1, 1, 1))
    volume = Volume(np.random.default_rng(0).normal(size=(3, 4, 4, 4)).astype(np.float32), geometry)

    def one_sided(patches):
        """A network with a preference for its own low k."""
        ramp = np.arange(patches.shape[2], dtype=np.float32)[:, None, None]
        return np.stack([patches[:, 0] * ramp, patches[:, 1], patches[:, 2], patches[:, 0]], axis=1)

    spec = _spec(patch=(4, 4, 4), mirror_axes=(0,))
    settings = PredictSettings(mirror=True, probabilities=("s1", "s2", "s3"))
    result = predict(volume, spec, [one_sided], settings=settings)
    logits = (one_sided(volume.voxels[None]) + one_sided(volume.voxels[None, :, ::-1])[:, :, ::-1])[0] / 2
    exact = np.exp(logits) / np.exp(logits).sum(0)
    assert np.allclose(result.probabilities["s1"].voxels[0], exact[1], atol=1e-5)


def test_cleanups_of_the_model_are_applied():
    geometry = Geometry.from_spacing((1, 1, 9), (1, 1, 1))
    voxels = np.array([9, 9, 0, 9, 9, 9, 9, 0, 5], np.float32).reshape(1, 1, 1, 9) - 1

    def threshold(patches):
        return np.concatenate([np.zeros_like(patches), patches], axis=1)

    spec = _spec(channels=1, segments=1, cleanups=(Cleanup("s1", keep_largest=True),))
    label_map = predict(Volume(voxels, geometry), spec, [threshold]).label_map
    assert label_map.layers.ravel().tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    raw = predict(Volume(voxels, geometry), spec, [threshold], settings=PredictSettings(clean_up=False)).label_map
    assert raw.layers.ravel().tolist() == [1, 1, 0, 1, 1, 1, 1, 0, 1]


def test_empty_borders_are_not_run_but_get_background():
    geometry = Geometry.from_spacing((20, 20, 20), (1, 1, 1))
    voxels = np.zeros((1, 20, 20, 20), np.float32)
    voxels[:, 8:12, 8:12, 8:12] = 1
    seen = []

    def threshold(patches):
        seen.append(patches.shape)
        return np.concatenate([np.full_like(patches, 0.5), patches], axis=1)

    result = predict(Volume(voxels, geometry), _spec(patch=(4, 4, 4), channels=1, segments=1), [threshold])
    assert len(seen) == result.tiles == 1
    assert np.array_equal(result.label_map.layers[0], voxels[0])


def test_the_array_of_all_classes_never_exists():
    geometry = Geometry.from_spacing((160, 32, 32), (1, 1, 1))
    volume = Volume(np.random.default_rng(0).normal(size=(1, *geometry.shape)).astype(np.float32), geometry)
    classes = 60
    spec = _spec(patch=(16, 16, 16), channels=1, segments=classes - 1)

    def network(patches):
        return np.repeat(patches, classes, axis=1) * np.arange(classes, dtype=np.float32)[:, None, None, None]

    tracemalloc.start()
    predict(volume, spec, [network])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < classes * volume.voxels.size * 4 * 0.4


def test_cancel_stops_the_run_at_once():
    geometry = Geometry.from_spacing((20, 20, 20), (1, 1, 1))
    events = []

    def stop_after_three(event):
        events.append(event)
        if len(events) == 3:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        predict(_coordinates(geometry), _spec(), [_linear_network], on_progress=stop_after_three)
    assert len(events) == 3


def test_progress_rises_to_one():
    fractions = []
    volume = _coordinates(Geometry.from_spacing((9, 9, 9), (1, 1, 1)))
    predict(volume, _spec(), [_linear_network], on_progress=lambda event: fractions.append(event.fraction))
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.zeros((2, 4, 4, 4), np.float32), "3 channel"),
        (np.full((3, 4, 4, 4), np.nan, np.float32), "NaN"),
        (np.full((3, 4, 4, 4), np.inf, np.float32), "infinite"),
    ],
)
def test_a_volume_that_does_not_fit_is_refused(voxels, message):
    with pytest.raises(InvalidInputError, match=message):
        predict(Volume(voxels, Geometry.from_spacing((4, 4, 4), (1, 1, 1))), _spec(), [_linear_network])


def test_an_unknown_segment_is_refused_with_the_known_ones():
    settings = PredictSettings(probabilities=("liver",))
    volume = _coordinates(Geometry.from_spacing((4, 4, 4), (1, 1, 1)))
    with pytest.raises(InvalidInputError, match="s1, s2, s3"):
        predict(volume, _spec(), [_linear_network], settings=settings)


def test_a_network_that_gives_nan_is_reported():
    volume = _coordinates(Geometry.from_spacing((4, 4, 4), (1, 1, 1)))
    with pytest.raises(InvalidInputError, match="logits"):
        predict(volume, _spec(), [lambda patches: _linear_network(patches) * np.nan])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 9), (9, 1, 3), (30, 2, 2)])
def test_thin_volumes_work_at_any_target_spacing(shape):
    volume = _coordinates(Geometry.from_spacing(shape, (2, 0.7, 1)))
    for spacing in (None, (1, 1, 1), (5, 5, 5)):
        assert predict(volume, _spec(spacing_mm=spacing), [_linear_network]).label_map.layers.shape == (1, *shape)


def test_the_wish_to_stop_is_looked_for_between_all_steps():
    """Once for each plane and tile, each clean-up, and several times while preparing; at each it is obeyed."""
    geometry = Geometry.from_spacing((7, 6, 5), (1, 1, 1))
    spec = _spec(cleanups=(Cleanup("s1", True, 0.0, True), Cleanup("s2")), spacing_mm=(1.5, 1.5, 1.5))
    stages = []
    predict(_coordinates(geometry), spec, [_linear_network], on_progress=lambda event: stages.append(event.stage))
    assert stages.count("prepare") >= 1 + 1 + 3 + 3  # at the beginning, after checking, a channel, an axis
    assert stages.count("predict") >= 7
    assert stages.count("clean up") >= 1 + 3
    for last in range(len(stages)):
        seen = []

        def stop(event, seen=seen, last=last):
            seen.append(event)
            if len(seen) > last:
                raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            predict(_coordinates(geometry), spec, [_linear_network], on_progress=stop)
        assert len(seen) == last + 1


@pytest.mark.parametrize("value", [1e31, -1e300, np.nan, np.inf])
def test_voxels_that_are_no_intensities_are_refused(value):
    voxels = np.zeros((3, 4, 4, 4))
    voxels[1, 1, 2, 3] = value
    with pytest.raises(InvalidInputError, match="NaN or infinite voxels, or some beyond"):
        predict(Volume(voxels, Geometry.from_spacing((4, 4, 4), (1, 1, 1))), _spec(), [_linear_network])
