"""What a plan may not depend on: units, order of axes and cases; and what it must use: the budget and the memory."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.networks.runtime.building import build
from DeepSegmentLib.training.planning import machine
from DeepSegmentLib.training.planning.fingerprint import Fingerprint, Intensities
from DeepSegmentLib.training.planning.machine import Machine, this_machine
from DeepSegmentLib.training.planning.plan import CPU, plan_stage, target_spacing, training_memory_bytes

LARGE = Machine(64 << 30)
EDGES = st.tuples(*[st.integers(1, 400)] * 3)
STEPS = st.tuples(*[st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0])] * 3)


def _cases(*pairs):
    shapes, spacings = zip(*pairs, strict=True)
    return Fingerprint(shapes, spacings, (Intensities(-100, 300, 50, 80),), {}, {})


def _plan(shape, spacing, machine=LARGE):
    return plan_stage(_cases((shape, spacing)), ["CT"], 3, machine)


@settings(deadline=None)
@given(EDGES, STEPS, st.sampled_from([0.25, 4.0, 16.0]))
def test_units_of_length_change_nothing_but_the_spacing(shape, spacing, unit):
    plan, other = (_plan(shape, tuple(factor * step for step in spacing)) for factor in (1.0, unit))
    assert other.stage.patch_shape == plan.stage.patch_shape
    assert other.stage.network == plan.stage.network
    assert other.batch_size == plan.batch_size
    assert np.allclose(other.stage.spacing_mm, unit * np.array(plan.stage.spacing_mm))


@settings(deadline=None)
@given(EDGES, st.permutations([0.5, 1.0, 2.5]), st.permutations([0, 1, 2]))
def test_the_order_of_axes_changes_nothing_but_the_order(shape, spacing, axes):
    def turned(values):
        return tuple(values[axis] for axis in axes)

    plan, other = _plan(shape, tuple(spacing)), _plan(turned(shape), turned(spacing))
    assert other.stage.patch_shape == turned(plan.stage.patch_shape)
    assert other.stage.network.strides == tuple(map(turned, plan.stage.network.strides))
    assert other.stage.network.kernel_sizes == tuple(map(turned, plan.stage.network.kernel_sizes))


@settings(deadline=None)
@given(st.lists(st.tuples(EDGES, STEPS), min_size=2, max_size=7), st.randoms())
def test_the_order_of_cases_changes_nothing(cases, random):
    shuffled = random.sample(cases, len(cases))
    assert plan_stage(_cases(*shuffled), ["CT"], 3, LARGE) == plan_stage(_cases(*cases), ["CT"], 3, LARGE)


@settings(deadline=None)
@given(EDGES, STEPS)
def test_a_patch_is_the_whole_case_or_uses_the_budget(shape, spacing):
    patch = _plan(shape, spacing).stage.patch_shape
    whole = all(n >= most for n, most in zip(patch, shape, strict=True))
    assert whole or math.prod(patch) > 0.5 * CPU.patch_voxels


@settings(deadline=None)
@given(STEPS)
def test_where_cases_are_large_a_patch_is_about_as_long_along_each_axis(spacing):
    stage = _plan((4000, 4000, 4000), spacing).stage
    lengths = [n * step for n, step in zip(stage.patch_shape, spacing, strict=True)]
    halves = [step * divisor for step, divisor in zip(spacing, stage.network.divisor, strict=True)]
    assert max(lengths) - min(lengths) <= max(halves) + max(spacing)


@settings(deadline=None, max_examples=15)
@given(EDGES, STEPS, st.integers(29, 33))
def test_more_memory_never_makes_a_smaller_patch(shape, spacing, power):
    def voxels(memory):
        try:
            return math.prod(_plan(shape, spacing, Machine(memory)).stage.patch_shape)
        except ResourceError:
            return 0

    assert voxels(1 << power) <= voxels(1 << (power + 1))


@settings(deadline=None)
@given(st.lists(st.tuples(EDGES, STEPS), min_size=1, max_size=9))
def test_without_thick_slices_the_spacing_is_the_median(cases):
    spacings = np.array([spacing for _, spacing in cases])
    median = np.median(spacings, axis=0)
    found = np.array(target_spacing(_cases(*cases)))
    changed = ~np.isclose(found, median)
    assert changed.sum() <= 1
    if changed.any():
        assert median.argmax() == changed.argmax()
        assert found[changed] < median[changed]
        assert median.max() > 3 * np.delete(median, median.argmax()).max()
        assert found[changed] >= np.delete(median, median.argmax()).max() * (1 - 1e-5)


@pytest.mark.parametrize(("shape", "spacing"), [((9, 40, 30), (4.0, 1.0, 1.0)), ((24, 24, 24), (1.0, 1.0, 1.0))])
def test_a_planned_network_takes_its_patch_and_its_weights_are_counted(shape, spacing):
    import torch

    stage = _plan(shape, spacing).stage
    network = build(replace(stage.network, deep_supervision=False)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, *stage.patch_shape)).shape == (1, 3, *stage.patch_shape)
    weights = sum(each.numel() for each in network.parameters())
    small, large = (training_memory_bytes(stage.network, math.prod(stage.patch_shape) * n) for n in (1, 2))
    assert weights * 4 * 4 < small < large


def test_the_machine_has_the_memory_that_is_free_and_a_guess_where_nobody_knows(monkeypatch):
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 5 << 30)
    assert this_machine() == Machine(5 << 30)
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: None)
    assert this_machine() == Machine(8 << 30)
