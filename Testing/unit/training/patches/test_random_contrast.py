"""Random contrast: structures keep their borders and get new intensities within the old range."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.training.patches.random_contrast import with_random_contrast

SIZE = 24


def _body(seed):
    """A bright ball without a label in dark air, with two labelled organs in it."""
    grid = np.indices((SIZE,) * 3) - (SIZE - 1) / 2
    ball = (grid**2).sum(0) < 10**2
    classes = np.zeros((SIZE,) * 3, np.int64)
    classes[8:16, 8:16, 6:11], classes[8:16, 8:16, 13:18] = 1, 2
    image = np.random.default_rng(seed).normal(0, 0.05, ball.shape) + 2 * ball - 1 + 0.2 * (classes == 1)
    return torch.from_numpy(image[None].astype(np.float32)), torch.from_numpy(classes), torch.from_numpy(ball)


def _inner(mask):
    """Voxels all of whose neighbours within two are of the same structure."""
    values = mask.float()[None, None]
    return torch.nn.functional.avg_pool3d(values, 5, 1, 2, count_include_pad=False)[0, 0] > 0.999


@given(seed=st.integers(0, 1000))
def test_shape_type_range_and_what_was_given_stay(seed):
    image, classes, _ = _body(seed)
    before = image.clone()
    new = with_random_contrast(image, classes, np.random.default_rng(seed))
    assert new.shape == image.shape
    assert new.dtype == torch.float32
    span = float(image.max() - image.min())
    assert image.min() - 0.7 * span < new.min()
    assert new.max() < image.max() + 0.7 * span
    assert torch.equal(image, before)
    assert torch.equal(new, with_random_contrast(image, classes, np.random.default_rng(seed)))


def test_structures_and_parts_of_the_rest_get_contrasts_of_their_own():
    image, classes, ball = _body(0)
    masks = [_inner(mask) for mask in (classes == 1, classes == 2, ball & (classes == 0), ~ball)]
    news = [with_random_contrast(image, classes, np.random.default_rng(seed))[0] for seed in range(150)]
    means = np.array([[float(new[mask].mean()) for mask in masks] for new in news])
    assert means.std(0).min() > 0.2  # a uniform draw of the range of 2 has 0.58
    together = np.corrcoef(means.T)
    np.fill_diagonal(together, 0)
    assert np.abs(together).max() < 0.3
    assert np.mean(means[:, 2] > means[:, 3]) > 0.35  # dark air may be bright, and the other way round
    assert np.mean(means[:, 2] < means[:, 3]) > 0.35


@given(seed=st.integers(0, 1000))
def test_within_a_structure_intensities_are_alike(seed):
    image, classes, _ = _body(seed)
    new = with_random_contrast(image, classes, np.random.default_rng(seed))[0]
    span = float(image.max() - image.min())
    for label in (1, 2):
        assert float(new[classes == label].std()) < 0.45 * span
        assert float(new[_inner(classes == label)].std()) < 0.16 * span


@given(seed=st.integers(0, 1000), value=st.floats(-2, 2, width=32))
def test_patches_of_one_value_or_one_structure_are_no_trouble(seed, value):
    flat = torch.full((2, 5, 6, 7), value)
    for label in (0, 3):
        new = with_random_contrast(flat, torch.full((5, 6, 7), label), np.random.default_rng(seed))
        assert torch.allclose(new, flat, atol=1e-5)
    noisy, ones = torch.randn(1, 5, 6, 7), torch.ones(5, 6, 7, dtype=torch.int64)
    assert torch.isfinite(with_random_contrast(noisy, ones, np.random.default_rng(seed))).all()


def test_channels_get_contrasts_of_their_own():
    image, classes, _ = _body(0)
    new = with_random_contrast(torch.cat([image, image]), classes, np.random.default_rng(0))
    assert float((new[0] - new[1]).abs().mean()) > 0.1
