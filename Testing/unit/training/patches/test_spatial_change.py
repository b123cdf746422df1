"""Turning, scaling and deforming: rigid in the patient, within limits, and nothing into thin axes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import shapes, spacings

from DeepSegmentLib.data import Segment
from DeepSegmentLib.training.patches.augmentation_settings import NO_AUGMENTATION, AugmentationSettings
from DeepSegmentLib.training.patches.mirror_plan import mirror_plan
from DeepSegmentLib.training.patches.spatial_change import SpatialChange, draw_change, sources, thin_axes

CUBE, THIN = (16, 20, 18), (4, 24, 20)
ONE = mirror_plan([Segment("Liver", 1)], "RAS")
SIDED = mirror_plan([Segment("Left eye", 1), Segment("Right eye", 2)], "RAS")
TURNED = replace(NO_AUGMENTATION, rotation=1)


def _change(shape, settings, seed, spacing=(1.0, 1.0, 1.0), mirror=ONE):
    return draw_change(shape, spacing, settings, mirror, np.random.default_rng(seed))


def _in_mm(matrix, spacing):
    return np.diag(spacing) @ matrix @ np.diag(1 / np.array(spacing))


def _degrees(turn):
    return np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))


@given(seed=st.integers(0, 10_000), spacing=spacings())
def test_a_turn_is_rigid_in_millimetres(seed, spacing):
    turn = _in_mm(_change(CUBE, TURNED, seed, spacing).matrix, spacing)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)
    assert 0 < _degrees(turn) <= 3 * 30


@given(seed=st.integers(0, 10_000), spacing=spacings(), thin=st.integers(0, 2))
def test_of_patches_that_are_thin_only_planes_are_turned_and_scaled(seed, spacing, thin):
    shape = [24, 20, 22]
    shape[thin] = 4
    settings = replace(TURNED, scaling=1, elastic=1)
    change = _change(tuple(shape), settings, seed, spacing)
    expected = np.zeros(3)
    expected[thin] = 1
    assert np.allclose(change.matrix[thin], expected)
    assert np.allclose(change.matrix[:, thin], expected)
    assert not change.displacements[thin].any()


@given(seed=st.integers(0, 10_000))
def test_where_there_are_sides_nothing_is_turned_by_half_a_turn(seed):
    assert _degrees(_change(THIN, TURNED, seed, mirror=SIDED).matrix) <= 30


def test_planes_without_sides_are_turned_all_round():
    turns = [_degrees(_change(THIN, TURNED, seed).matrix) for seed in range(200)]
    assert max(turns) > 150


@given(seed=st.integers(0, 10_000))
def test_scaling_keeps_to_its_range_and_is_the_same_along_all_axes(seed):
    matrix = _change(CUBE, replace(NO_AUGMENTATION, scaling=1), seed).matrix
    assert np.allclose(matrix, matrix[0, 0] * np.eye(3))
    assert 0.7 <= matrix[0, 0] <= 1.4


@given(seed=st.integers(0, 10_000), spacing=spacings(0.5, 2.0))
def test_deformations_never_fold_tissue_over(seed, spacing):
    settings = replace(NO_AUGMENTATION, elastic=1, elastic_distance=8, elastic_range=(0.2, 0.25))
    places = sources(_change((24, 26, 28), settings, seed, spacing), (24, 26, 28))
    gradients = np.stack([np.stack(np.gradient(place.numpy())) for place in places])
    assert np.linalg.det(np.moveaxis(gradients, (0, 1), (-2, -1))).min() > 0


@given(shape=shapes(9), flips=st.sets(st.integers(0, 2)))
def test_without_a_change_each_voxel_comes_from_its_own_place_or_its_mirror_image(shape, flips):
    places = sources(SpatialChange(tuple(flips)), shape)
    for axis, place in enumerate(places):
        line = torch.arange(shape[axis]) - (shape[axis] - 1) / 2
        own = torch.flip(line, [0]) if axis in flips else line
        assert torch.equal(place, own.reshape([-1 if n == axis else 1 for n in range(3)]).expand(shape))


def test_each_change_is_drawn_as_often_as_the_settings_say():
    settings = AugmentationSettings(rotation=0.2, scaling=0.3, elastic=0.1, mirror=0.5)
    changes = [_change((8, 8, 8), settings, seed) for seed in range(1500)]
    assert np.mean([not change.is_on_grid for change in changes]) == pytest.approx(1 - 0.8 * 0.7 * 0.9, abs=0.05)
    assert np.mean([change.displacements is not None for change in changes]) == pytest.approx(0.1, abs=0.03)
    for axis in range(3):
        assert np.mean([axis in change.flips for change in changes]) == pytest.approx(0.5, abs=0.05)


def test_only_axes_of_the_plan_are_mirrored():
    alone = mirror_plan([Segment("Left eye", 1)], "RAS")
    flips = {axis for seed in range(50) for axis in _change(CUBE, AugmentationSettings(), seed, mirror=alone).flips}
    assert flips == {0, 1}


def test_a_plane_is_not_mirrored_across_itself():
    """It would stay as it is, but with left and right exchanged."""
    flips = {axis for seed in range(50) for axis in _change((1, 16, 16), AugmentationSettings(), seed).flips}
    assert flips == {1, 2}


@pytest.mark.parametrize(
    ("shape", "thin"), [(CUBE, ()), (THIN, (0,)), ((1, 64, 64), (0,)), ((24, 4, 4), (1, 2)), ((8, 24, 24), ())]
)
def test_thin_is_what_is_less_than_a_third(shape, thin):
    assert thin_axes(shape) == thin
