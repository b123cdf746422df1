"""Appearance: the online classifier and its features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from DeepSegmentLib.refinement import appearance

seeds = st.integers(0, 2**32 - 1)


def problem(seed, n=60):
    rng = np.random.default_rng(seed)
    wanted = rng.random(n) < 0.3
    wanted[:2] = True, False
    return rng.normal(size=(n, 3)).astype(np.float32) + wanted[:, None], wanted


@given(seeds)
def test_the_fit_is_the_minimum_of_its_objective(seed):
    examples, wanted = problem(seed)
    share = np.where(wanted, 0.5 / wanted.sum(), 0.5 / (~wanted).sum()) * len(wanted)
    sign = np.where(wanted, 1.0, -1.0)

    def objective(weights):
        score = examples @ weights[:-1] + weights[-1]
        return (share * np.logaddexp(0, -sign * score)).sum() + 0.5 * (weights**2).sum()

    best = optimize.minimize(objective, np.zeros(4), method="BFGS")
    assert objective(appearance.fit_logistic(examples, wanted)) == pytest.approx(best.fun, rel=1e-3)


@given(seeds)
def test_separation_is_the_chance_to_rank_rightly(seed):
    rng = np.random.default_rng(seed)
    scores, wanted = rng.permutation(30).astype(np.float32), rng.random(30) < 0.5
    pairs = scores[wanted][:, None] > scores[~wanted]
    expected = pairs.mean() if pairs.size else 0.5
    assert appearance.separation(scores, wanted) == pytest.approx(expected)


@given(seeds, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_features_do_not_know_units(seed, scale, offset):
    image = np.random.default_rng(seed).normal(size=(1, 5, 6, 7)).astype(np.float32)
    ours = appearance.features(image, (1, 1, 2))
    theirs = appearance.features((image * scale + offset).astype(np.float32), (1, 1, 2))
    assert theirs == pytest.approx(ours, abs=2e-2 * max(1, abs(offset) / scale / 100))


def test_a_constant_image_has_no_features():
    assert not appearance.features(np.full((2, 4, 4, 4), 7, np.float32), (1, 1, 1)).any()


def test_one_plane_is_enough():
    assert np.isfinite(appearance.features(np.random.default_rng(0).random((1, 1, 5, 5), np.float32), (3, 1, 1))).all()


@given(seeds, st.integers(1, 50))
def test_thinned_keeps_order_and_number(seed, most):
    mask = np.random.default_rng(seed).random((4, 5, 6)) < 0.5
    kept = appearance.thinned(mask, most)
    assert len(kept) == min(most, mask.sum())
    assert (np.diff(kept) > 0).all()
    assert mask.ravel()[kept].all()
