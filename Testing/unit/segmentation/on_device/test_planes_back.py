"""Labels found by corners are those of interpolating everything."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import stage_spec
from scipy import ndimage

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.networks.runtime import Head
from DeepSegmentLib.networks.stage_spec import Resampling
from DeepSegmentLib.segmentation.on_device.planes_back import WayBack, labels_back, planes_back
from DeepSegmentLib.segmentation.regrid import network_geometry

steps = st.sampled_from([0.5, 0.7, 1.0, 1.5, 2.0, 4.0])
spacings = st.tuples(steps, steps, steps)
shapes = st.tuples(*[st.integers(1, 9)] * 3)
rules = st.sampled_from(
    [
        Resampling(),
        Resampling(keep_first=True),
        Resampling(keep_extent=True),
        Resampling(keep_extent=True, keep_corners=True),
        Resampling(logits_order=0),
        Resampling(keep_extent=True, thick_axis_from=3.0),
    ]
)


def planes_of(array, axis):
    return ((k, torch.from_numpy(np.take(array, k, axis + 1))) for k in range(array.shape[axis + 1]))


@given(shapes, spacings, spacings, rules, st.integers(0, 2), st.booleans(), st.integers(0, 1000))
def test_labels_are_those_of_the_largest_interpolated_score(shape, own, wanted, rule, axis, deferred, seed):
    rng = np.random.default_rng(seed)
    target = Geometry.from_spacing(shape, own)
    stage = stage_spec(spacing_mm=wanted, resampling=rule)
    source = network_geometry(target, stage)
    channels, classes = (2, 5) if deferred else (4, 4)
    features = ndimage.gaussian_filter(rng.normal(size=(channels, *source.shape)), (0, 1, 1, 1)).astype(np.float32)
    weight = torch.from_numpy(rng.normal(size=(classes, channels)).astype(np.float32))
    head = Head(weight, torch.from_numpy(rng.normal(size=classes).astype(np.float32))) if deferred else None
    way = WayBack(source, target, stage, axis)
    labels = list(labels_back(planes_of(features, axis), head, way))
    scores = [(k, plane if head is None else head(plane)) for k, plane in planes_back(planes_of(features, axis), way)]
    assert [k for k, _ in labels] == [k for k, _ in scores] == list(range(shape[axis]))
    for (_, found), (_, score) in zip(labels, scores, strict=True):
        least = score.max(dim=0).values - 1e-4  # classes as good as the best but for rounding
        assert (score.gather(0, found[None])[0] >= least).all()


@given(shapes, spacings, st.integers(0, 2), st.integers(0, 1000))
def test_planes_come_back_the_same_along_any_axis(shape, wanted, axis, seed):
    target = Geometry.from_spacing(shape, (1, 1, 1))
    stage = stage_spec(spacing_mm=wanted)
    source = network_geometry(target, stage)
    array = np.random.default_rng(seed).normal(size=(2, *source.shape)).astype(np.float32)
    straight, turned = (
        torch.stack([p for _, p in planes_back(planes_of(array, each), WayBack(source, target, stage, each))], each + 1)
        for each in (0, axis)
    )
    torch.testing.assert_close(straight, turned, atol=1e-5, rtol=0)


def test_a_class_that_wins_nowhere_at_a_corner_can_win_between_them():
    """Two corners prefer 0 and 2, halfway 1 is best: that is why corners that disagree are not enough."""
    stage = stage_spec(spacing_mm=(1.0, 1.0, 2.0), resampling=Resampling(keep_extent=True, keep_corners=True))
    target = Geometry.from_spacing((1, 1, 3), (1, 1, 1))
    scores = np.array([[3.0, -3.0], [1.0, 1.0], [-3.0, 3.0]], np.float32)[:, None, None]
    way = WayBack(network_geometry(target, stage), target, stage)
    assert way.source.shape == (1, 1, 2)
    ((_, plane),) = labels_back(planes_of(scores, 0), None, way)
    assert plane.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_only_straight_interpolation_lies_between_corners(order):
    grid = Geometry.from_spacing((2, 2, 2), (1, 1, 1))
    stage = stage_spec(resampling=Resampling(logits_order=order))
    assert WayBack(grid, grid, stage).is_linear == (order <= 1)
