"""Gains and ties: their laws, and their sums by brute force."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from correction_worlds import random_domain
from hypothesis import given
from hypothesis import strategies as st
from strategies import shapes, spacings

from DeepSegmentLib.correction.evidence import energy
from DeepSegmentLib.correction.evidence.energy import Weights, fitted_weights, gains, log_odds, rim_gains, ties
from DeepSegmentLib.correction.evidence.features import CONTEXT_FEATURES, FEATURES, gather
from DeepSegmentLib.correction.settings import CorrectionSettings

seeds = st.integers(0, 2**32 - 1)
blocks = shapes(6, 2)


def _looked_at(seed, shape, spacing_mm=(1, 1, 1)):
    domain = random_domain(seed, shape, spacing_mm)
    free = domain.free.copy()
    free.flat[0] |= not (free | domain.must).any()
    domain = replace(domain, free=free, target=domain.target & ~free)
    return domain, gather(domain)


@given(seed=seeds, units=st.integers(1, 5), nodes=st.integers(0, 4))
def test_log_odds_are_those_of_the_network_unit_by_unit(seed, units, nodes):
    rng = np.random.default_rng(seed)
    hidden, bias, output = (rng.normal(size=size).astype(np.float32) for size in ((units, 3), units, units))
    values = rng.normal(size=(nodes, 3)).astype(np.float32)
    expected = [
        0.25 + sum(output[u] * np.tanh(sum(hidden[u, f] * row[f] for f in range(3)) + bias[u]) for u in range(units))
        for row in values
    ]
    assert np.allclose(log_odds(values, Weights(hidden, bias, output, 0.25)), expected, atol=1e-5)


@given(seed=seeds, shape=blocks, low=st.floats(0, 1), high=st.floats(0, 1))
def test_more_aggressive_is_worth_more_everywhere(seed, shape, low, high):
    domain, evidence = _looked_at(seed, shape)
    low, high = sorted((low, high))
    a, b = (gains(evidence, domain, CorrectionSettings(aggressiveness=value)) for value in (low, high))
    assert np.isfinite(a).all()
    assert (b >= a).all()


@given(seed=seeds, shape=blocks)
def test_what_must_change_is_worth_more_than_its_neighbors_together(seed, shape):
    domain, evidence = _looked_at(seed, shape)
    worth = gains(evidence, domain, CorrectionSettings(aggressiveness=0)) + rim_gains(evidence, domain)
    must = domain.must.ravel()[evidence.grid.voxels]
    around = evidence.grid.matrix(ties(evidence)).sum(axis=1)
    assert (worth[must] > around[must] + 100).all()


@given(seed=seeds, shape=blocks)
def test_a_network_that_is_surer_is_worth_more(seed, shape):
    domain, evidence = _looked_at(seed, shape)
    settings = CorrectionSettings()
    must = domain.must.ravel()[evidence.grid.voxels]
    worth = [
        gains(evidence, replace(domain, probability=chance), settings)[~must]
        for chance in (np.zeros(shape, np.float32), None, np.full(shape, 0.5, np.float32), np.ones(shape, np.float32))
    ]
    for less, more in itertools.pairwise(worth):
        assert (less < more).all()
    assert np.allclose(np.diff(worth[2] - worth[1]), 0, atol=1e-5)  # an undecided one speaks for all alike


@given(seed=seeds, shape=blocks, spacing_mm=spacings(0.5, 3))
def test_ties_are_most_between_alike_neighbors(seed, shape, spacing_mm):
    evidence = _looked_at(seed, shape, spacing_mm)[1]
    found, grid = ties(evidence), evidence.grid
    assert found.shape == grid.first.shape
    assert (found >= 0).all()
    flat = replace(evidence, intensity=np.zeros_like(evidence.intensity))
    alike = ties(flat)
    assert (found <= alike * (1 + 1e-6)).all()
    assert np.allclose(alike * grid.length_mm**2, alike.max(initial=0) * grid.length_mm.min(initial=9) ** 2, rtol=1e-4)


@given(seed=seeds, shape=blocks, spacing_mm=spacings(0.5, 3))
def test_neighbors_that_cannot_change_pull_to_their_side(seed, shape, spacing_mm):
    domain, evidence = _looked_at(seed, shape, spacing_mm)
    grid, flat = evidence.grid, replace(evidence, intensity=np.zeros_like(evidence.intensity))
    strength = energy._TIE * (domain.finest_mm / grid.rim_length_mm) ** 2
    expected = np.zeros(grid.size)
    for node, beyond, tie in zip(grid.rim, grid.beyond, strength, strict=True):
        expected[node] += tie if domain.target.flat[beyond] else -tie
    assert np.allclose(rim_gains(flat, domain), expected, atol=1e-5)


def test_the_weights_that_come_with_the_library_fit_the_evidence():
    first, second = fitted_weights()
    for weights, features in ((first, len(FEATURES)), (second, len(FEATURES) + len(CONTEXT_FEATURES))):
        units = len(weights.output)
        assert weights.hidden.shape == (units, features)
        assert weights.hidden_bias.shape == weights.output.shape == (units,)
        assert all(np.isfinite(array).all() for array in (weights.hidden, weights.hidden_bias, weights.output))
        assert np.isfinite(weights.output_bias)


def test_weights_that_were_fitted_to_other_evidence_are_refused():
    stored = json.loads(Path(energy.__file__).with_name("energy.json").read_text(encoding="utf-8"))["first"]
    with pytest.raises(RuntimeError, match=r"fitted to other evidence; run Testing/benchmarks"):
        energy._weights(stored, FEATURES[::-1])
