"""When a network is good enough: laws of the rule, and how often it stops one that still learns."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.training.fitting.checks import Check, Checked, is_flat


def _history(table):
    return [Checked(n, {}, tuple(map(float, row))) for n, row in enumerate(table)]


@given(st.integers(0, 5), st.integers(0, 5))
def test_too_few_checks_are_never_flat(checks, more):
    assert not is_flat(_history(np.zeros((checks, 3))), checks + more)


@given(st.integers(1, 4), st.integers(1, 6))
def test_what_does_not_change_is_flat(patience, cases):
    assert is_flat(_history(np.full((patience + 1, cases), 0.8)), patience)


@given(st.integers(1, 4), st.integers(1, 6))
def test_what_gets_better_in_every_case_is_not(patience, cases):
    assert not is_flat(_history(np.linspace(0.5, 0.9, patience + 1)[:, None] * np.ones(cases)), patience)


def test_without_patience_nothing_is_flat():
    assert not is_flat(_history(np.zeros((9, 4))), 0)


def test_noise_alone_is_flat_soon_and_slow_learning_is_not():
    rng = np.random.default_rng(0)
    noise = 0.8 + 0.01 * rng.standard_normal((100, 12, 10))
    assert np.mean([is_flat(_history(run), 5) for run in noise]) > 0.5
    learning = noise + 0.01 * np.arange(12)[:, None]
    assert not any(is_flat(_history(run), 5) for run in learning)


def test_a_network_is_tried_out_at_the_end_of_each_part_and_every_so_many_steps():
    by_parts = Check(1000, lambda _: ({}, ()), 4)
    ends = [n for n in range(1, 41) if by_parts.is_due(n, (n - 1) / 40, n / 40)]
    assert ends == [10, 20, 30, 40]
    assert not by_parts.is_due(7, 0.26, 0.49)
    by_steps = Check(15, lambda _: ({}, ()))
    assert [n for n in range(1, 41) if by_steps.is_due(n, (n - 1) / 40, n / 40)] == [15, 30]
