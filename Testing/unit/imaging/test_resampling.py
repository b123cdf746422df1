"""Resampling keeps places: laws, then agreement with SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage
from strategies import geometries, spacings, volumes

from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.imaging import resampling
from DeepSegmentLib.imaging.resampling import (
    along_axes,
    axis_weights,
    plan_same_corners,
    plan_same_extent,
    resample,
    resample_labels,
)


def _noise(geometry, seed=0):
    return Volume(np.random.default_rng(seed).normal(size=(1, *geometry.shape)).astype(np.float32), geometry)


def _itk(volume):
    spacing, origin, direction = volume.geometry.to_itk()
    image = sitk.GetImageFromArray(volume.voxels[0])
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


@given(geometry=geometries())
def test_onto_its_own_grid_is_the_identity(geometry):
    volume = _noise(geometry)
    assert np.array_equal(resample(volume, geometry).voxels, volume.voxels)


@given(geometry=geometries(), seed=st.integers(0, 100))
def test_labels_onto_their_own_grid_are_the_identity(geometry, seed):
    labels = np.random.default_rng(seed).integers(0, 5, (2, *geometry.shape)).astype(np.uint8)
    assert np.array_equal(resample_labels(LabelMap(labels, geometry), geometry).layers, labels)


@given(geometry=geometries(), other=geometries())
def test_no_new_label_and_no_value_beyond_the_old_range(geometry, other):
    labels = np.random.default_rng(0).integers(0, 3, (1, *geometry.shape)).astype(np.uint8)
    assert set(np.unique(resample_labels(LabelMap(labels, geometry), other).layers)) <= {0, *np.unique(labels)}
    volume = _noise(geometry)
    voxels = resample(volume, other).voxels
    assert voxels.min() >= volume.voxels.min() - 1e-5
    assert voxels.max() <= volume.voxels.max() + 1e-5


@given(geometry=geometries(), factor=st.sampled_from([0.4, 0.5, 0.8, 1.0]))
def test_a_ramp_in_space_stays_that_ramp(geometry, factor):
    """Up-sampling a linear function of RAS gives that function, away from the border."""
    slope = np.array([0.3, -0.2, 0.5])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    ramp = Volume((geometry.index_to_ras(index) @ slope)[None].astype(np.float32), geometry)
    fine = geometry.resampled([step * factor for step in geometry.spacing_mm])
    there = np.stack(np.meshgrid(*[np.arange(n) for n in fine.shape], indexing="ij"), axis=-1)
    ras = fine.index_to_ras(there)
    inside = ((geometry.ras_to_index(ras) >= 0) & (geometry.ras_to_index(ras) <= np.array(geometry.shape) - 1)).all(-1)
    expected = ras @ slope
    scale = np.abs(expected).max() + 1
    assert np.allclose(resample(ramp, fine).voxels[0][inside], expected[inside], atol=2e-5 * scale)


@given(n=st.integers(1, 30), m=st.integers(1, 30), support=st.floats(1, 6))
def test_weights_are_a_mean(n, m, support):
    weights = axis_weights(np.linspace(-1, n, m), n, support=support)
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.min() >= 0


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_simpleitk_on_parallel_and_oblique_grids(seed):
    rng = np.random.default_rng(seed)
    source = Geometry.from_spacing((12, 14, 16), rng.uniform(0.8, 2, 3))
    volume = _noise(source, seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3))) if seed % 2 else (np.eye(3), None)
    affine = source.affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3] * 0.7
    affine[:3, 3] = source.index_to_ras((3, 4, 5))
    target = Geometry((6, 7, 8), affine)
    spacing, origin, direction = target.to_itk()
    reference = sitk.Resample(
        _itk(volume), target.shape[::-1], sitk.Transform(), sitk.sitkLinear, origin, spacing, direction, -99.0
    )
    expected = sitk.GetArrayFromImage(reference)
    ours = resample(volume, target).voxels[0]
    assert (expected != -99).sum() > 20
    assert np.allclose(ours[expected != -99], expected[expected != -99], atol=1e-4)


def test_down_sampling_averages_instead_of_skipping():
    geometry = Geometry.from_spacing((1, 1, 64), (1, 1, 1))
    checker = Volume(np.tile([0.0, 1.0], 32).reshape(1, 1, 1, 64).astype(np.float32), geometry)
    coarse = resample(checker, geometry.resampled((1, 1, 4)))
    assert np.allclose(coarse.voxels, 0.5, atol=0.13)


def test_a_label_reaches_half_a_voxel_beyond_the_first_centre():
    geometry = Geometry.from_spacing((1, 1, 2), (1, 1, 1))
    fine = geometry.resampled((1, 1, 0.5))
    labels = LabelMap(np.array([[[[3, 4]]]], np.uint8), geometry)
    assert resample_labels(labels, fine).layers.ravel().tolist() == [3, 3, 4, 4]


@pytest.mark.parametrize("order", range(6))
@given(value=st.floats(-3000, 3000, width=32), factor=st.floats(0.3, 3))
def test_air_stays_exactly_what_it_is(order, value, factor):
    """Where only one value counts there is only one afterwards, to the last bit: the corner's."""
    voxels = np.full((2, 5, 6, 120), value, dtype=np.float32)
    voxels[1] = 7
    voxels[:, 2:4, 2:4, 110:] = 1e3
    plans = {axis: plan_same_extent(n, max(1, round(n * factor)), order=order) for axis, n in enumerate((5, 6, 120))}
    found = along_axes(voxels, plans)
    air = found[..., : int(found.shape[-1] * 0.7)]
    assert np.unique(air[0]).tolist() == [value]
    assert np.unique(air[1]).tolist() == [7]


@pytest.mark.parametrize("fill", [1e6, -1e30])
def test_a_corner_far_beyond_all_else_costs_no_digits(fill):
    voxels = np.random.default_rng(0).normal(size=(1, 4, 4, 90)).astype(np.float32)
    plans = {2: plan_same_extent(90, 70, order=3)}
    expected = along_axes(voxels, plans)[..., 40:]
    voxels[..., 0] = fill
    np.testing.assert_allclose(along_axes(voxels, plans)[..., 40:], expected, atol=1e-5)


@given(volumes(), spacings(0.3, 3.0), st.integers(1, 50))
def test_slabs_change_nothing(volume, spacing, voxels):
    geometry = volume.geometry.resampled(spacing)
    straight = resample(volume, geometry).voxels
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "SLAB_VOXELS", voxels)
        in_slabs = resample(volume, geometry, lambda: steps.append(1)).voxels
    assert len(steps) >= 3
    assert np.allclose(in_slabs, straight, rtol=1e-6, atol=1e-5 * np.abs(straight).max())


@given(st.integers(1, 30), st.integers(1, 40), st.sampled_from([0, 1, 3]))
def test_keeping_the_corners_is_scipys_zoom(n, m, order):
    samples = np.random.default_rng(n).normal(size=n).astype(np.float32)
    expected = ndimage.zoom(samples, m / n, order=order, mode="nearest")
    assume(len(expected) == m)
    np.testing.assert_allclose(plan_same_corners(n, m, order=order).matrix() @ samples, expected, atol=2e-5)
