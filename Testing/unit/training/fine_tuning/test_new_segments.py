"""What a parent answers for other segments before anything is learned, and what its description says of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import LEFT_AND_RIGHT, THALAMUS, TINY_UNET, model_spec, unet_specs

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.networks.graph_spec import GraphSpec, MeasuredCosts
from DeepSegmentLib.networks.model_json import spec_from_json, spec_to_json
from DeepSegmentLib.networks.model_spec import Cleanup, Part
from DeepSegmentLib.networks.runtime.building import build, module_from_weights, weights_of
from DeepSegmentLib.training.fine_tuning.heads import head_axes
from DeepSegmentLib.training.fine_tuning.transplant import transplanted, transplanted_weights


def _weights(spec, shift=0.0):
    """Random ones, whose logits are all shifted."""
    torch.manual_seed(2)
    weights = {name: each.copy() for name, each in weights_of(build(spec)).items()}
    for name in head_axes(spec):
        if name.endswith("bias"):
            weights[name] += np.float32(shift)
    return weights


@torch.inference_mode()
def _logits(spec, weights):
    shape = (2, spec.in_channels, *(4 * step for step in spec.divisor))
    patch = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    return module_from_weights(spec, weights).eval()(patch)


@settings(max_examples=25, deadline=None)
@given(unet_specs(), st.integers(1, 3), st.sampled_from([-30.0, 0.0, 30.0]), st.randoms())
def test_whatever_a_parent_of_labels_answers_it_still_does_where_segments_are_added(spec, new, shift, random):
    kept = [*range(1, spec.out_channels)]
    rows = [*kept, *[None] * new]
    random.shuffle(rows)
    rows = [0, *rows]
    weights, wider = _weights(spec, shift), replace(spec, out_channels=len(rows))
    before = _logits(spec, weights)
    after = _logits(wider, transplanted_weights(spec, wider, weights, rows, 7, background=True))
    answer = np.array([-1 if row is None else row for row in rows])[after.argmax(1).numpy()]
    assert np.array_equal(answer, before.argmax(1).numpy())
    for n, row in enumerate(rows):
        if row is None:
            rare = torch.sigmoid(after[:, n] - after[:, 0])
            assert rare.min() > 0.005
            assert rare.max() < 0.06


@settings(max_examples=15, deadline=None)
@given(unet_specs(), st.integers(1, 3), st.sampled_from([-30.0, 0.0, 30.0]))
def test_new_regions_are_rare_and_differ_from_each_other(spec, new, shift):
    rows = [None] * new + [*range(spec.out_channels)]
    weights, wider = _weights(spec, shift), replace(spec, out_channels=len(rows))
    after = _logits(wider, transplanted_weights(spec, wider, weights, rows, 7))
    assert after[:, :new].sigmoid().max() < 0.06
    assert torch.unique(after[:, :new].amax((0, *range(2, after.ndim)))).numel() == new


def test_rows_of_new_segments_are_those_of_the_seed():
    rows, wider = [0, None, 1, 2], replace(TINY_UNET, out_channels=4)
    a, b, c = (transplanted_weights(TINY_UNET, wider, _weights(TINY_UNET), rows, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert {name for name in a if not np.array_equal(a[name], c[name])} <= set(head_axes(TINY_UNET))
    assert not all(np.array_equal(a[name], c[name]) for name in a)


def test_the_weights_of_the_parent_stay_as_they_are():
    weights = _weights(TINY_UNET)
    before = {name: each.copy() for name, each in weights.items()}
    transplanted_weights(TINY_UNET, replace(TINY_UNET, out_channels=2), weights, [None, 1], 0, background=True)
    assert all(np.array_equal(weights[name], before[name]) for name in before)


def test_weights_without_a_head_are_refused_by_name():
    weights = _weights(TINY_UNET)
    missing = next(iter(head_axes(TINY_UNET)))
    del weights[missing]
    with pytest.raises(ModelError, match=missing):
        transplanted_weights(TINY_UNET, TINY_UNET, weights, [0, 1, 2], 0)


@pytest.fixture
def parent():
    """A model of two segments, with clean-up and what is usual of them."""
    cleanups = (
        Cleanup("left", keep_largest=True),
        Cleanup("right", minimum_ml=2.0, together_with=("left",)),
    )
    return model_spec(cleanups=cleanups, expectations=LEFT_AND_RIGHT)


def test_the_same_segments_keep_all_that_is_known_of_them(parent):
    spec = transplanted(parent, parent.segments).spec
    assert (spec.segments, spec.cleanups, spec.expectations) == (parent.segments, parent.cleanups, parent.expectations)


def test_clean_up_follows_a_segment_to_its_new_name(parent):
    wanted = [Segment("RIGHT", 1), Segment("Sehhügel", 2, terminology=THALAMUS), Segment("Cyst", 3)]
    change = transplanted(parent, wanted)
    assert change.kept == ("RIGHT", "Sehhügel")
    assert [each.segments for each in change.spec.cleanups] == [("Sehhügel",), ("RIGHT", "Sehhügel")]
    assert (change.spec.cleanups[0].keep_largest, change.spec.cleanups[1].minimum_ml) == (True, 2.0)
    assert change.spec.expectations is None
    assert spec_from_json(spec_to_json(change.spec)) == change.spec


def test_clean_up_of_what_is_gone_goes_too(parent):
    change = transplanted(parent, [Segment("right", 1), Segment("Cyst", 2)])
    assert (change.dropped, change.spec.cleanups, change.spec.expectations) == (("left",), (), None)


def test_colours_and_codes_are_the_parents_where_there_are_none(parent):
    left, right, cyst = transplanted(
        parent, [Segment("left", 1), Segment("right", 2, (9, 9, 9)), Segment("Cyst", 3, (7, 8, 9))]
    ).spec.segments
    assert left.terminology == THALAMUS
    assert right.color == (1, 2, 3)
    assert cyst == Segment("Cyst", 3, (7, 8, 9))


@pytest.mark.parametrize("axes", [2, 3])
def test_of_several_members_one_is_tuned(axes):
    network = replace(TINY_UNET, kernel_sizes=((3,) * axes,) * 2, strides=((1,) * axes, (2,) * axes))
    parent = model_spec(network=network, patch_shape=(8 if axes == 3 else 1, 8, 8))
    stage = parent.stages[0]
    stage = replace(stage, weights=tuple(replace(stage.weights[0], file=f"w{n}.safetensors") for n in range(3)))
    parent = replace(parent, parts=(replace(parent.parts[0], stages=(stage,)),))
    change = transplanted(parent, [*parent.segments, Segment("Cyst", 3)])
    assert [each.file for each in change.spec.stages[0].weights] == ["weights.safetensors"]
    assert change.spec.stages[0].network == replace(network, out_channels=4)


def test_a_graph_is_refused_with_a_remedy():
    network = GraphSpec(1, 3, (8, 8, 8), MeasuredCosts(1, 1, 1))
    stage = replace(model_spec().stages[0], network=network)
    stage = replace(stage, weights=(replace(stage.weights[0], file="graph.ts"),))
    spec = model_spec(parts=(Part(("left", "right"), (stage,)),))
    with pytest.raises(InvalidInputError, match=r"cannot be trained; add the model from its checkpoint"):
        transplanted(spec, spec.segments)
