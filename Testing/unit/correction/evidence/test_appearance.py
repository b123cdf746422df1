"""Features without units, a logistic regression that is one, and an honest area under the curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from strategies import masks, shapes, spacings

from DeepSegmentLib.correction.evidence.appearance import (
    features,
    fit_logistic,
    log_odds,
    separation,
    standardized,
    thinned,
)

seeds = st.integers(0, 2**32 - 1)


def _noise(seed, shape):
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


@given(seed=seeds, shape=shapes(7), spacing_mm=spacings(0.3, 4), channels=st.integers(1, 3))
def test_eight_features_a_channel(seed, shape, spacing_mm, channels):
    values = _noise(seed, (channels, *shape))
    found = features(values, spacing_mm)
    assert found.shape == (8 * channels, *shape)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    for channel in range(channels):
        assert np.array_equal(found[8 * channel : 8 * channel + 8], features(values[channel : channel + 1], spacing_mm))


@given(seed=seeds, shape=shapes(7, 2), scale=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_features_do_not_know_the_unit(seed, shape, scale, offset):
    values = _noise(seed, (1, *shape)).astype(np.float64)
    expected = features(values.astype(np.float32), (1, 2, 3))
    found = features((scale * values + offset).astype(np.float32), (1, 2, 3))
    tolerance = 1e-3 + 1e-4 * abs(offset) / (30 * scale)
    assert np.allclose(found, expected, atol=tolerance, rtol=tolerance)


@given(seed=seeds, axes=st.permutations(range(3)), flips=st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_features_turn_with_the_volume(seed, axes, flips):
    values, spacing_mm = _noise(seed, (1, 4, 5, 6)), (1.0, 2.0, 0.5)
    turned = values[0].transpose(axes)[tuple(slice(None, None, flip) for flip in flips)]
    found = features(turned[None], [spacing_mm[axis] for axis in axes])
    expected = features(values, spacing_mm).transpose(0, *(axis + 1 for axis in axes))
    assert np.allclose(found, expected[(slice(None), *(slice(None, None, flip) for flip in flips))], atol=1e-3)


@given(shape=shapes(5), value=st.floats(-1e4, 1e4, width=32))
def test_a_constant_block_has_no_features(shape, value):
    assert not standardized(np.full(shape, value, np.float32)).any()
    assert np.abs(features(np.full((1, *shape), value, np.float32), (1, 1, 1))).max() < 1e-6


@given(seed=seeds, shape=shapes(7, 2))
def test_standardized_values_have_mean_0_and_deviation_1(seed, shape):
    found = standardized(_noise(seed, shape))
    assert abs(found.mean(dtype=np.float64)) < 1e-4
    assert abs(found.std(dtype=np.float64) - 1) < 1e-4


@given(mask=masks(), most=st.integers(1, 20))
def test_thinned_voxels_are_of_the_mask_each_once_and_spread(mask, most):
    found, chosen = thinned(mask, most), np.flatnonzero(mask)
    assert len(found) == min(most, len(chosen))
    assert np.isin(found, chosen).all()
    assert (np.diff(found) > 0).all()
    if most > 1 and len(chosen):
        assert found[[0, -1]].tolist() == chosen[[0, -1]].tolist()


def _least_deviance(examples, wanted):
    """The function that is fitted, and its minimum by SciPy."""
    design = np.c_[examples, np.ones(len(examples))].astype(np.float64)
    share = np.where(wanted, 0.5 / wanted.sum(), 0.5 / (~wanted).sum()) * len(wanted)

    def deviance(weights):
        score = design @ weights
        return float((share * (np.logaddexp(0, score) - wanted * score)).sum() + 0.5 * weights @ weights)

    def slope(weights):
        return design.T @ (share * (1 / (1 + np.exp(-design @ weights)) - wanted)) + weights

    return deviance, minimize(deviance, np.zeros(design.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-7}).fun


@given(seed=seeds, count=st.integers(30, 300), width=st.integers(1, 9), slope=st.sampled_from([0, 1, 5]))
def test_the_logistic_fit_is_that_of_scipy(seed, count, width, slope):
    rng = np.random.default_rng(seed)
    examples = rng.normal(size=(count, width)).astype(np.float32)
    wanted = slope * examples @ rng.normal(size=width) + rng.logistic(size=count) > 0.5
    wanted[:2] = True, False
    deviance, least = _least_deviance(examples, wanted)
    assert deviance(fit_logistic(examples, wanted)) <= least * (1 + 1e-3)


@given(seed=seeds, copies=st.integers(2, 5))
def test_both_sides_count_the_same(seed, copies):
    rng = np.random.default_rng(seed)
    few, many = rng.normal(0.5, 1, (40, 2)), rng.normal(-0.5, 1, (40, 2))
    wanted = np.arange(80) < 40
    odds = log_odds(np.concatenate([few, many]).T, fit_logistic(np.concatenate([few, many]), wanted))
    swamped = np.concatenate([few, np.tile(many, (copies, 1))])
    again = log_odds(swamped[:80].T, fit_logistic(swamped, np.arange(len(swamped)) < 40))
    assert abs(np.mean(odds - again)) < 0.2  # the penalty weighs less; uneven sides would shift all by log 2 and more


@given(seed=seeds)
def test_exchanged_sides_exchange_the_sign(seed):
    rng = np.random.default_rng(seed)
    examples, wanted = rng.normal(size=(60, 3)), np.arange(60) < 20
    odds = [log_odds(examples.T, fit_logistic(examples, sides)) for sides in (wanted, ~wanted)]
    assert np.allclose(odds[0], -odds[1], atol=1e-4)


def test_log_odds_are_bounded_and_keep_the_shape():
    maps = np.array([-1e6, 0, 1e6], np.float32)[None, :, None, None]
    found = log_odds(maps, np.array([1.0, 0.5]))
    assert found.shape == (3, 1, 1)
    assert found.ravel()[1] == 0.5
    assert found.ravel()[2] == -found.ravel()[0] < 1e3


@given(scores=st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=30))
def test_separation_is_the_share_of_pairs_in_order(scores):
    values, wanted = np.array([s for s, _ in scores], np.float32), np.array([w for _, w in scores])
    pairs = values[wanted][:, None] - values[~wanted]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean() if pairs.size else 0.5
    assert separation(values, wanted) == pytest.approx(expected)
