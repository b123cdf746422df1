"""A result in a few numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec, stage_spec
from scipy import ndimage
from skimage import morphology

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.model_spec import Part
from DeepSegmentLib.segmentation.on_device.class_scores import entropy
from DeepSegmentLib.segmentation.outputs import Prediction
from DeepSegmentLib.segmentation.result_measures import ResultMeasures, measure_result, unsure_from

SEGMENTS = (Segment("left", 1), Segment("right", 2), Segment("none", 9))


def _case(seed, spacing=(1.0, 2.0, 0.5), shape=(7, 8, 9)):
    chance = np.random.default_rng(seed)
    geometry = Geometry.from_spacing(shape, spacing)
    labels = chance.choice([0, 0, 0, 1, 2], size=shape).astype(np.uint8)
    unsure = Volume(chance.random((1, *shape)).astype(np.float32), geometry)
    prediction = Prediction(LabelMap(labels[None], geometry, SEGMENTS), uncertainty=unsure)
    return Volume(chance.normal(size=(1, *shape)).astype(np.float32), geometry), prediction


@given(st.integers(0, 10_000))
def test_it_agrees_with_masks_of_the_whole_volume(seed):
    volume, prediction = _case(seed)
    labels, unsure = prediction.label_map.layers[0], prediction.uncertainty.voxels[0]
    measures = measure_result(volume, prediction, unsure=0.5)
    cross, near_any = ndimage.generate_binary_structure(3, 1), np.zeros(labels.shape, bool)
    for value, each in zip((1, 2), measures.segments, strict=False):
        mask = labels == value
        near = morphology.dilation(mask, cross)
        border = near & ~morphology.erosion(mask, cross)
        near_any |= near
        assert each.ml == pytest.approx(mask.sum() * volume.geometry.voxel_volume_mm3 / 1000)
        assert each.entropy == pytest.approx(unsure[near].mean(), rel=1e-5)
        assert each.unsure_border == pytest.approx((unsure[border] >= 0.5).mean())
        top = np.sort(unsure[near])[::-1][: max(1, round(near.sum() / 10))]
        assert each.top_entropy == pytest.approx(top.mean(), rel=1e-5)
    assert measures.entropy == pytest.approx(unsure[near_any].mean(), rel=1e-5)
    assert [each.segment for each in measures.found] == ["left", "right"]


def test_background_does_not_count():
    volume, prediction = _case(0)
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[3, 3, 3] = 1
    unsure = np.ones((1, *volume.geometry.shape), np.float32)
    unsure[0, 2:5, 2:5, 2:5] = 0.25
    few = Prediction(replace(prediction.label_map, layers=labels[None]), uncertainty=Volume(unsure, volume.geometry))
    assert measure_result(volume, few, unsure=0.5).entropy == 0.25


def test_the_end_of_the_volume_is_no_border():
    volume, prediction = _case(0)
    unsure = Volume(np.ones((1, *volume.geometry.shape), np.float32), volume.geometry)
    full = np.ones((1, *volume.geometry.shape), np.uint8)
    whole = Prediction(replace(prediction.label_map, layers=full), uncertainty=unsure)
    assert measure_result(volume, whole, unsure=0.5).segments[0].unsure_border == 0
    half, far = full.copy(), np.zeros_like(unsure.voxels)
    half[:, 4:], far[:, :3] = 0, 1  # all but the two planes beside the border are unsure
    part = Prediction(replace(prediction.label_map, layers=half), uncertainty=Volume(far, volume.geometry))
    assert measure_result(volume, part, unsure=0.5).segments[0].unsure_border == 0


def test_a_result_without_anything_is_measured():
    volume, prediction = _case(0)
    nothing = replace(prediction.label_map, layers=np.zeros((1, *volume.geometry.shape), np.uint8))
    measures = measure_result(volume, replace(prediction, label_map=nothing), unsure=0.5)
    assert not measures.found
    assert (measures.entropy, measures.top_entropy) == (0, 0)
    assert not any(measures.shape)


@given(st.integers(0, 10_000), st.permutations([0, 1, 2]), st.floats(0.1, 100), st.floats(-1000, 1000))
def test_neither_the_order_of_axes_nor_the_scale_of_intensities_tells_volumes_apart(seed, axes, scale, offset):
    volume, prediction = _case(seed)
    shape = tuple(volume.geometry.shape[axis] for axis in axes)
    geometry = Geometry.from_spacing(shape, tuple(volume.geometry.spacing_mm[axis] for axis in axes))
    turned = Volume(volume.voxels.transpose(0, *(1 + np.array(axes))) * scale + offset, geometry)
    label_map = LabelMap(prediction.label_map.layers.transpose(0, *(1 + np.array(axes))), geometry, SEGMENTS)
    unsure = Volume(prediction.uncertainty.voxels.transpose(0, *(1 + np.array(axes))), geometry)
    one = measure_result(volume, prediction, unsure=0.5)
    other = measure_result(turned, Prediction(label_map, uncertainty=unsure), unsure=0.5)
    assert other.look == pytest.approx(one.look, abs=1e-3)
    assert other.shape == pytest.approx(one.shape, abs=1e-3)


def test_a_volume_of_one_value_has_a_look():
    volume, prediction = _case(0)
    flat = replace(volume, voxels=np.full_like(volume.voxels, 7))
    assert np.isfinite(measure_result(flat, prediction, unsure=0.5).look).all()


def test_labels_in_layers_are_measured_each():
    volume, prediction = _case(0)
    layers = np.stack([prediction.label_map.layers[0] == 1, prediction.label_map.layers[0] == 2]).astype(np.uint8)
    segments = (Segment("left", 1), Segment("right", 1, layer=1))
    split = replace(prediction, label_map=LabelMap(layers, volume.geometry, segments))
    whole, parts = (measure_result(volume, each, unsure=0.5) for each in (prediction, split))
    assert parts.segments == whole.segments[:2]


def test_a_map_of_uncertainty_is_needed():
    volume, prediction = _case(0)
    with pytest.raises(InvalidInputError, match="uncertainty"):
        measure_result(volume, replace(prediction, uncertainty=None), unsure=0.5)


def test_unsure_is_less_than_two_to_one():
    """As the maps of entropy have it, of labels and of regions."""
    two_to_one = torch.tensor([2 / 3, 1 / 3, 0.0])
    assert unsure_from(model_spec()) == pytest.approx(entropy(two_to_one, exclusive=True).item(), abs=1e-6)
    two_channels = replace(TINY_UNET, out_channels=2)
    one_of_two = entropy(torch.tensor([2 / 3, 0.0]), exclusive=False).item()
    regions = model_spec(output="regions", network=two_channels)
    assert unsure_from(regions) == pytest.approx(one_of_two, abs=1e-6)
    stage = stage_spec(network=two_channels)
    two_parts = model_spec(parts=(Part(("left",), (stage,)), Part(("right",), (stage,))))
    assert unsure_from(two_parts) == pytest.approx(entropy(two_to_one[:2], exclusive=True).item(), abs=1e-6)


def test_it_is_frozen_plain_data():
    volume, prediction = _case(0)
    assert isinstance(hash(measure_result(volume, prediction, unsure=0.5)), int)
    assert measure_result(volume, prediction, unsure=0.5) == measure_result(volume, prediction, unsure=0.5)
    assert ResultMeasures.__dataclass_params__.frozen
