"""Plans by the data and the machine: laws, extreme geometries, and nnU-Net's answers."""

import json
import math
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import model_spec

from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.networks.model_json import spec_from_json, spec_to_json
from DeepSegmentLib.networks.model_spec import Part
from DeepSegmentLib.training.planning.fingerprint import Fingerprint, Intensities
from DeepSegmentLib.training.planning.machine import Machine
from DeepSegmentLib.training.planning.plan import CPU, GPU, plan_stage, target_spacing, training_memory_bytes

LARGE = Machine(64 << 30)
EDGES = st.tuples(*[st.integers(1, 400)] * 3)
STEPS = st.tuples(*[st.floats(0.1, 10)] * 3)


def _cases(shapes, spacings, drawn=None, smallest=None):
    numbers = (Intensities(-100, 300, 50, 80),)
    return Fingerprint(tuple(shapes), tuple(spacings), numbers, drawn or {}, smallest or {})


def _one(shape, spacing, machine=LARGE, **more):
    return plan_stage(_cases([shape], [spacing]), ["CT"], 3, machine, **more)


@settings(deadline=None)
@given(EDGES, STEPS)
def test_a_patch_is_divided_by_the_strides_within_the_budget_and_never_larger_than_needed(shape, spacing):
    plan = _one(shape, spacing)
    patch, divisor = plan.stage.patch_shape, plan.stage.network.divisor
    assert all(n % step == 0 for n, step in zip(patch, divisor, strict=True))
    assert math.prod(patch) <= CPU.patch_voxels
    needed = [-(-n // step) * step for n, step in zip(shape, divisor, strict=True)]
    assert all(n <= max(most, 12) for n, most in zip(patch, needed, strict=True))
    assert plan == _one(shape, spacing)


@settings(deadline=None)
@given(st.lists(st.tuples(EDGES, STEPS), min_size=1, max_size=9))
def test_the_spacing_is_one_that_the_cases_have(cases):
    shapes, spacings = zip(*cases, strict=True)
    for found, steps in zip(target_spacing(_cases(shapes, spacings)), zip(*spacings, strict=True), strict=True):
        assert min(steps) * (1 - 1e-5) <= found <= max(steps) * (1 + 1e-5)


@settings(deadline=None)
@given(EDGES, STEPS, st.integers(28, 34))
def test_a_plan_fits_into_memory_or_says_that_none_does(shape, spacing, power):
    large, machine = _one(shape, spacing), Machine(1 << power)
    with suppress(ResourceError):
        small = _one(shape, spacing, machine)
        voxels = math.prod(small.stage.patch_shape) * small.batch_size
        assert training_memory_bytes(small.stage.network, voxels) <= machine.memory_bytes
        assert math.prod(small.stage.patch_shape) <= math.prod(large.stage.patch_shape)


# `get_pool_and_conv_props(spacing, patch, 4, 999999)` of nnunetv2 2.6, network_topology.py: strides and kernels.
NNUNET = [
    ((1, 1, 1), (40, 56, 40), "111 222 222 222", "333 333 333 333"),
    ((1, 1, 1), (128, 128, 128), "111 222 222 222 222 222", "333 333 333 333 333 333"),
    ((6.5, 0.78, 0.78), (25, 256, 224), "111 122 122 122 222 222", "133 133 133 333 333 333"),
    ((3, 1.5, 1.5), (40, 96, 96), "111 122 222 222 222", "133 333 333 333 333"),
    ((2.5, 0.8, 0.8), (64, 192, 160), "111 122 222 222 222 222", "133 333 333 333 333 333"),
    ((1, 1, 1), (8, 9, 20), "111 222", "333 333"),
    ((20, 1, 1), (16, 128, 128), "111 122 122 122 122 222", "133 133 133 133 333 333"),
    ((3, 4, 4), (64, 128, 128), "111 222 222 222 222 122", "333 333 333 333 333 333"),
]


@pytest.mark.parametrize(("spacing", "shape", "strides", "kernels"), NNUNET)
def test_strides_and_kernels_are_those_of_nnunet(spacing, shape, strides, kernels):
    network = _one(shape, spacing, budget=GPU).stage.network
    assert ["".join(map(str, stride)) for stride in network.strides] == strides.split()
    assert ["".join(map(str, kernel)) for kernel in network.kernel_sizes] == kernels.split()


def test_thick_slices_get_the_tenth_percentile_of_their_spacing():
    spacings = [(float(k), 1.0, 1.0) for k in range(2, 13)]
    assert target_spacing(_cases([(20, 200, 200)] * 11, spacings)) == (3.0, 1.0, 1.0)
    many_slices = _cases([(150, 200, 200)] * 11, spacings)
    assert target_spacing(many_slices) == (7.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((1, 512, 512), (5.0, 0.7, 0.7)),
        ((1, 1, 1), (1.0, 1.0, 1.0)),
        ((3, 4, 5), (2.0, 1.0, 1.0)),
        ((800, 800, 800), (0.1, 0.1, 0.1)),
        ((20, 400, 400), (20.0, 1.0, 1.0)),
        ((2000, 2000, 2000), (0.002, 0.002, 0.002)),
    ],
)
def test_extreme_geometries_get_a_network(shape, spacing):
    stage = _one(shape, spacing).stage
    assert len(stage.network.strides) >= 2
    assert stage.spacing_mm == spacing


def test_a_plan_survives_json():
    stage = plan_stage(_cases([(40, 50, 60)], [(2.0, 1.0, 1.0)]), ["CT"], 3, LARGE).stage
    spec = model_spec()
    names = tuple(segment.name for segment in spec.segments)
    spec = replace(spec, parts=(Part(names, (stage,)),))
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


def test_ct_is_scaled_by_the_training_set_and_others_by_themselves():
    cases = _cases([(40, 50, 60)], [(2.0, 1.0, 1.0)])
    assert plan_stage(cases, ["CT"], 2, LARGE).stage.normalizations[0].kind == "window"
    assert plan_stage(cases, ["MR"], 2, LARGE).stage.normalizations[0].kind == "zscore"


def test_memory_takes_the_batch_first():
    roomy = _one((32, 32, 32), (1.0, 1.0, 1.0))
    enough = training_memory_bytes(roomy.stage.network, 2 * 32**3)
    tight = _one((32, 32, 32), (1.0, 1.0, 1.0), Machine(enough))
    assert (tight.batch_size, roomy.batch_size) == (2, 4)
    assert tight.stage.patch_shape == roomy.stage.patch_shape


def test_nothing_fits_into_no_memory():
    with pytest.raises(ResourceError, match="close other programs"):
        _one((40, 50, 60), (1.0, 1.0, 1.0), Machine(1 << 20))


def test_doubtful_segments_are_named():
    cases = _cases([(40, 50, 60)], [(2.0, 2.0, 2.0)], {"nerve": 1, "bone": 9}, {"nerve": 1.0, "bone": 30.0})
    told = [reason for reason in plan_stage(cases, ["CT"], 3, LARGE).reasons if "nerve" in reason]
    assert len(told) == 2
    assert not [reason for reason in plan_stage(cases, ["CT"], 3, LARGE).reasons if "bone" in reason]
