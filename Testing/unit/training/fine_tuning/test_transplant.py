"""What a parent becomes for other segments: what it knows of those that stay is exactly what it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from foreign_models.monai_networks import pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import THALAMUS, TINY_UNET, model_spec

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.model_spec import Part
from DeepSegmentLib.networks.runtime.building import build, module_from_weights, weights_of
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.training.fine_tuning.heads import head_axes
from DeepSegmentLib.training.fine_tuning.transplant import transplanted, transplanted_weights

LIGHT = ("UNet", "BasicUNet 2D", "DynUNet 2D", "SegResNet 2D")
PAIRS = {pair.name: pair for pair in pairs() if pair.name.startswith(LIGHT)}


@st.composite
def unets(draw):
    size, deep = draw(st.sampled_from([2, 3])), draw(st.booleans())
    out = draw(st.integers(2, 4))
    kernels, strides = ((3,) * size,) * 2, ((1,) * size, (2,) * size)
    return UNetSpec(1, out, (2, 4), kernels, strides, (1, 1), (1,), deep_supervision=deep)


def _logits(spec, weights, shape):
    network = module_from_weights(spec, weights).eval()
    with torch.inference_mode():
        return network(torch.randn(shape, generator=torch.Generator().manual_seed(3)))


def _check_rows(spec, rows, shape):
    torch.manual_seed(0)
    weights = weights_of(build(spec))
    wider = replace(spec, out_channels=len(rows))
    given_weights = transplanted_weights(spec, wider, weights, rows, 5)
    before, after = _logits(spec, weights, shape), _logits(wider, given_weights, shape)
    for n, row in enumerate(rows):
        if row is not None:
            torch.testing.assert_close(after[:, n], before[:, row], atol=1e-5, rtol=1e-5)
    changed = {name for name in weights if not np.array_equal(weights[name], given_weights[name])}
    assert changed <= set(head_axes(spec))


@settings(max_examples=25, deadline=None)
@given(unets(), st.data())
def test_kept_channels_have_the_logits_of_the_parent(spec, data):
    kept = data.draw(st.permutations(range(spec.out_channels)))[: data.draw(st.integers(1, spec.out_channels))]
    rows = data.draw(st.permutations([*kept, *[None] * data.draw(st.integers(0, 3))]))
    _check_rows(spec, rows, (1, 1, *(4,) * spec.dimensions))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("turned", [True, False], ids=["other order", "new channels"])
def test_so_they_have_in_networks_of_monai(name, turned):
    pair = PAIRS[name]
    count = pair.spec.out_channels
    rows = [*range(count)][::-1] if turned else [None, *range(count), None]
    _check_rows(pair.spec, rows, pair.shape)


def _parent(*segments, output="labels"):
    stage = model_spec().stages[0]
    network = replace(stage.network, out_channels=len(segments) + (output == "labels"))
    part = Part(tuple(each.name for each in segments), (replace(stage, network=network),))
    return model_spec(segments=segments, parts=(part,), output=output, cleanups=(), expectations=None)


@pytest.mark.parametrize("output", ["labels", "regions"])
def test_segments_are_found_by_name_then_by_code(output):
    parent = _parent(
        Segment("Liver", 1), Segment("Thalamus", 2, terminology=THALAMUS), Segment("Spleen", 3), output=output
    )
    change = transplanted(
        parent, [Segment("Sehhügel", 1, terminology=THALAMUS), Segment("Cyst", 2), Segment("liver", 3)]
    )
    assert (change.kept, change.new, change.dropped) == (("Sehhügel", "liver"), ("Cyst",), ("Spleen",))
    assert change.rows == ((0, 2, None, 1) if output == "labels" else (1, None, 0))
    assert [each.value for each in change.spec.segments] == [1, 2, 3]
    assert change.spec.stages[0].network.out_channels == len(change.rows)


def test_a_segment_of_the_parent_is_taken_once_and_by_its_name_rather_than_its_code():
    parent = _parent(Segment("Thalamus", 1, terminology=THALAMUS))
    change = transplanted(parent, [Segment("Sehhügel", 1, terminology=THALAMUS), Segment("THALAMUS", 2)])
    assert change.rows == (0, None, 1)


def test_the_same_segments_change_nothing():
    parent = _parent(Segment("Liver", 1), Segment("Spleen", 2))
    change = transplanted(parent, parent.segments)
    assert (change.rows, change.new, change.dropped) == ((0, 1, 2), (), ())


def test_a_model_of_two_parts_is_refused_with_a_remedy():
    parent = _parent(Segment("Liver", 1))
    other = _parent(Segment("Spleen", 2))
    both = replace(parent, segments=(*parent.segments, *other.segments), parts=(*parent.parts, *other.parts))
    with pytest.raises(InvalidInputError, match=r"2 parts and 2 stages.*Train a new one"):
        transplanted(both, parent.segments)


@pytest.mark.parametrize("first_bias", [-9.0, 9.0])
def test_a_new_channel_is_rare_whatever_the_first_one_is(first_bias):
    torch.manual_seed(0)
    weights = weights_of(build(TINY_UNET))
    for name in head_axes(TINY_UNET):
        if name.endswith("bias"):
            weights[name][0] = first_bias
    wider = replace(TINY_UNET, out_channels=1)
    logits = _logits(wider, transplanted_weights(TINY_UNET, wider, weights, [None], 0), (1, 1, 8, 8, 8))
    assert logits.sigmoid().max() < 0.05
