"""Smooth fields: of unit spread everywhere, and smooth."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import shapes

from DeepSegmentLib.training.patches.smooth_fields import along_axes, smooth_field


@given(points=st.tuples(*[st.integers(1, 4)] * 3), shape=shapes(9))
def test_each_voxel_varies_by_one(points, shape):
    rng = np.random.default_rng(0)
    fields = torch.stack([smooth_field(points, shape, rng) for _ in range(800)])
    assert fields.shape[1:] == shape
    assert fields.dtype == torch.float32
    assert torch.allclose(fields.std(0), torch.ones(shape), atol=0.2)  # 0.025 is one standard error
    assert fields.mean(0).abs().max() < 0.2


@given(seed=st.integers(0, 1000))
def test_neighbours_are_alike(seed):
    field = smooth_field((2, 2, 2), (40, 40, 40), np.random.default_rng(seed))
    for axis in range(3):
        assert torch.diff(field, dim=axis).abs().max() < 0.1 * (1 + field.abs().max())
        assert torch.diff(field, n=3, dim=axis).abs().max() < 0.01 * (1 + field.abs().max())


@given(seed=st.integers(0, 1000), shape=shapes(5), skipped=st.sets(st.integers(0, 2)))
def test_matrices_along_axes_are_the_sum_written_out(seed, shape, skipped):
    rng = np.random.default_rng(seed)
    volume = rng.normal(size=shape).astype(np.float32)
    matrices = [rng.normal(size=(3, n)).astype(np.float32) for n in shape]
    given_matrices = [None if n in skipped else torch.from_numpy(m) for n, m in enumerate(matrices)]
    k, j, i = (np.eye(shape[n]) if n in skipped else matrices[n] for n in range(3))
    expected = np.einsum("ak,bj,ci,kji->abc", k, j, i, volume)
    assert np.allclose(along_axes(torch.from_numpy(volume), given_matrices).numpy(), expected, atol=1e-4)
