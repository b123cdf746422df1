"""How much voxels of a patch count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from DeepSegmentLib.imaging.blending import importance_map

extents = st.tuples(*[st.integers(1, 20)] * 3)


@given(shape=extents)
def test_importance_is_positive_symmetric_and_highest_in_the_middle(shape):
    weights = importance_map(shape)
    assert weights.min() > 0
    assert weights.max() == weights[tuple(n // 2 for n in shape)] <= 1
    assert np.allclose(weights, weights[::-1, ::-1, ::-1])


def test_the_truncated_gaussian_is_that_of_nnunet():
    """A point in the middle filtered by SciPy, a top of 10 in float16, and the least value where nothing is left."""
    for shape in ((8, 12, 5), (1, 7, 64), (33, 2, 1)):
        point = np.zeros(shape)
        point[tuple(n // 2 for n in shape)] = 1
        filtered = ndimage.gaussian_filter(point, [n / 8 for n in shape], mode="constant")
        half = (filtered / filtered.max() * 10).astype(np.float16)
        half[half == 0] = half[half > 0].min()
        np.testing.assert_array_equal(importance_map(shape, "truncated_gaussian"), half.astype(np.float32))


def test_the_gaussian_is_that_of_monai():
    """`compute_importance_map`: exp(-x^2 / 2 sigma^2) along each axis, sigma an eighth, none below 1e-3."""
    for shape in ((8, 12, 5), (1, 7, 64)):
        grid = np.meshgrid(*[np.arange(-(n - 1) / 2, (n - 1) / 2 + 1) for n in shape], indexing="ij")
        exponents = [-(x**2) / (2 * (n * 0.125) ** 2) for x, n in zip(grid, shape, strict=True)]
        np.testing.assert_allclose(importance_map(shape), np.maximum(np.exp(sum(exponents)), 1e-3), rtol=1e-5)


def test_uniform_importance_is_the_same_everywhere():
    assert {*importance_map((2, 3, 4), "uniform").ravel()} == {1}


def test_importance_falls_as_a_gaussian_of_an_eighth():
    weights = importance_map((1, 1, 65))[0, 0]
    assert weights[32 + 8] == pytest.approx(np.exp(-0.5 * (8 / (65 / 8)) ** 2), rel=1e-5)
