"""Packed changes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Box, LabelUpdate
from DeepSegmentLib.refinement.history import pack, unpack


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16]))
def test_there_and_back(seed, dtype):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 300, (6, 7, 8)).astype(dtype)
    box = Box((1, 2, 3), (5, 6, 7))
    before = labels[box.to_slices()].copy()
    after = np.where(rng.random(before.shape) < 0.3, rng.integers(0, 300, before.shape).astype(dtype), before)
    change = pack(LabelUpdate(box, before, after, 2))
    forward = unpack(change, labels)
    assert np.array_equal(forward.after, after)
    assert (forward.layer, forward.after.dtype) == (2, dtype)
    labels[box.to_slices()] = after
    assert np.array_equal(unpack(change, labels, backward=True).after, before)


def test_a_change_of_a_ball_takes_little():
    grid = np.ogrid[:60, :60, :60]
    ball = sum((axis - 30) ** 2 for axis in grid) < 20**2
    update = LabelUpdate(Box((0, 0, 0), (60, 60, 60)), np.zeros(ball.shape, np.uint8), ball.astype(np.uint8))
    assert pack(update).size_bytes < 8000
