"""Sampling between voxels agrees with SciPy, and is exact on voxels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from strategies import shapes

from DeepSegmentLib.training.patches import sample_block
from DeepSegmentLib.training.patches.sample_block import sample_linear, sample_nearest


def _places(rng, shape, wanted):
    return tuple(torch.from_numpy(rng.uniform(0, n - 1.001, wanted).astype(np.float32)) for n in shape)


@given(seed=st.integers(0, 1000), shape=shapes(7, 2), wanted=shapes(6), channels=st.integers(1, 3))
def test_values_between_voxels_are_scipys(seed, shape, wanted, channels):
    rng = np.random.default_rng(seed)
    block, places = rng.normal(size=(channels, *shape)).astype(np.float32), _places(rng, shape, wanted)
    sampled = sample_linear(torch.from_numpy(block), places)
    expected = [map_coordinates(channel, np.stack(places), order=1) for channel in block]
    assert sampled.shape == (channels, *wanted)
    assert np.allclose(sampled.numpy(), expected, atol=1e-5)


@given(seed=st.integers(0, 1000), shape=shapes(7, 2), wanted=shapes(6))
def test_nearest_voxels_are_scipys(seed, shape, wanted):
    rng = np.random.default_rng(seed)
    block, places = rng.integers(0, 255, (2, *shape), dtype=np.uint8), _places(rng, shape, wanted)
    sampled = sample_nearest(torch.from_numpy(block), places)
    nearest = [np.rint(place.numpy()).astype(int) for place in places]
    assert sampled.dtype == torch.uint8
    assert np.array_equal(sampled.numpy(), block[:, *nearest])


@given(seed=st.integers(0, 1000), shape=shapes(7, 2))
def test_on_voxels_both_are_exact(seed, shape):
    block = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32))
    inner = [n - 1 for n in shape]
    places = tuple(torch.from_numpy(each.astype(np.float32)) for each in np.indices(inner))
    assert torch.equal(sample_linear(block, places), block[:, : inner[0], : inner[1], : inner[2]])
    assert torch.equal(sample_nearest(block, places), block[:, : inner[0], : inner[1], : inner[2]])


@pytest.mark.parametrize("at_once", [1, 30, 1000])
def test_slabs_are_not_seen_in_the_result(at_once, monkeypatch):
    rng = np.random.default_rng(0)
    block, places = (
        torch.from_numpy(rng.normal(size=(2, 8, 9, 10)).astype(np.float32)),
        _places(rng, (8, 9, 10), (7, 6, 5)),
    )
    whole = sample_linear(block, places)
    monkeypatch.setattr(sample_block, "_VOXELS_AT_ONCE", at_once)
    assert torch.equal(sample_linear(block, places), whole)
