"""Changes of intensities: laws of all of them, and agreement with SciPy, torch and the formulas of nnU-Net."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from DeepSegmentLib.training.patches import intensity_changes as changes
from DeepSegmentLib.training.patches.augmentation_settings import NO_AUGMENTATION, AugmentationSettings

SHAPE = (12, 14, 13)
ALL = {
    "bias_field": changes.multiply_bias_field,
    "thick_slices": changes.thicken_slices,
    "noise": changes.add_noise,
    "blur": changes.blur,
    "brightness": changes.multiply_brightness,
    "contrast": changes.change_contrast,
    "low_resolution": changes.lower_resolution,
    "gamma": changes.change_gamma,
    "gamma_inverted": changes.change_gamma_inverted,
}
KEEP_RANGE = ("thick_slices", "blur", "contrast", "low_resolution")
KEEP_CONSTANTS = (
    "bias_field",
    "thick_slices",
    "noise",
    "blur",
    "contrast",
    "low_resolution",
    "gamma",
    "gamma_inverted",
)


def _channel(seed, shape=SHAPE):
    return torch.from_numpy(np.random.default_rng(seed).normal(0.3, 1.2, shape).astype(np.float32))


def _changed(name, channel, seed, **settings):
    return ALL[name](channel, replace(AugmentationSettings(), **settings), np.random.default_rng(seed))


@given(
    name=st.sampled_from(sorted(ALL)),
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([SHAPE, (1, 9, 9), (3, 16, 5)]),
)
def test_shape_and_type_stay_and_the_channel_is_left_as_it_was(name, seed, shape):
    channel = _channel(seed, shape)
    before = channel.clone()
    changed = _changed(name, channel, seed, resolution_range=(0.5, 0.7))
    assert changed.shape == shape
    assert changed.dtype == torch.float32
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, before)
    assert torch.equal(channel, before)
    assert torch.equal(changed, _changed(name, channel, seed, resolution_range=(0.5, 0.7)))


@given(name=st.sampled_from(KEEP_CONSTANTS), seed=st.integers(0, 10_000), value=st.floats(-3, 3, width=32))
def test_what_is_one_value_stays_so(name, seed, value):
    channel = torch.full(SHAPE, value)
    assert torch.allclose(_changed(name, channel, seed), channel, atol=1e-5)


@given(name=st.sampled_from(KEEP_RANGE), seed=st.integers(0, 10_000))
def test_averages_and_contrast_stay_within_the_range(name, seed):
    channel = _channel(seed)
    changed = _changed(name, channel, seed)
    assert channel.min() - 1e-5 <= changed.min()
    assert changed.max() <= channel.max() + 1e-5


@given(seed=st.integers(0, 10_000), name=st.sampled_from(["gamma", "gamma_inverted"]))
def test_gamma_keeps_mean_spread_and_the_order_of_intensities(seed, name):
    channel = _channel(seed)
    changed = _changed(name, channel, seed)
    assert float(changed.mean()) == pytest.approx(float(channel.mean()), abs=1e-4)
    assert float(changed.std()) == pytest.approx(float(channel.std()), rel=1e-4)
    in_order = changed.reshape(-1)[channel.reshape(-1).argsort()]
    assert (torch.diff(in_order) >= -1e-5).all()


@given(seed=st.integers(0, 10_000), exponent=st.sampled_from([0.7, 1.2, 1.5]))
def test_gamma_is_the_formula_of_nnunet(seed, exponent):
    channel = _channel(seed)
    x = channel.numpy().astype(float)
    raised = ((x - x.min()) / np.ptp(x)) ** exponent * np.ptp(x) + x.min()
    expected = (raised - raised.mean()) / raised.std() * x.std() + x.mean()
    changed = _changed("gamma", channel, seed, gamma_range=(exponent, exponent))
    assert np.allclose(changed.numpy(), expected, atol=1e-4)


@given(seed=st.integers(0, 10_000), factor=st.sampled_from([0.5, 0.75, 1.25]))
def test_contrast_is_the_formula_of_nnunet(seed, factor):
    channel = _channel(seed)
    x = channel.numpy().astype(float)
    expected = ((x - x.mean()) * factor + x.mean()).clip(x.min(), x.max())
    changed = _changed("contrast", channel, seed, contrast_range=(factor, factor))
    assert np.allclose(changed.numpy(), expected, atol=1e-4)


@given(seed=st.integers(0, 10_000), widths=st.tuples(*[st.floats(0.2, 3)] * 3))
def test_blur_is_scipys(seed, widths):
    channel = _channel(seed)
    expected = gaussian_filter(channel.numpy(), widths, mode="nearest")
    assert np.allclose(changes.blurred(channel, list(widths)).numpy(), expected, atol=1e-5)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.3, 1.0))
def test_lower_resolution_is_torchs_interpolation_there_and_back(seed, scale):
    channel = _channel(seed)
    coarse = functional.interpolate(channel[None, None], size=[round(n * scale) for n in SHAPE], mode="nearest-exact")
    expected = functional.interpolate(coarse, size=SHAPE, mode="trilinear")[0, 0]
    changed = _changed("low_resolution", channel, seed, resolution_range=(scale, scale))
    assert torch.allclose(changed, expected, atol=1e-5)


@given(seed=st.integers(0, 10_000))
def test_planes_of_thin_patches_stay_apart(seed):
    channel = torch.arange(3.0).reshape(3, 1, 1).expand(3, 16, 16).contiguous()
    for name in ("low_resolution", "thick_slices"):
        assert torch.allclose(_changed(name, channel, seed), channel, atol=1e-5)


@given(seed=st.integers(0, 10_000))
def test_thick_slices_lie_along_one_axis(seed):
    channel = _channel(seed)
    changed = _changed("thick_slices", channel, seed, thickness_voxels=(4.0, 4.0))
    rough = [float(torch.diff(changed, dim=axis).abs().mean()) for axis in range(3)]
    assert sorted(rough)[0] < 0.5 * sorted(rough)[1]


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.01, 1.0, 1000.0]))
def test_noise_is_as_wide_as_was_asked_on_any_scale(seed, scale):
    channel = _channel(seed, (24, 24, 24)) * scale
    noise = _changed("noise", channel, seed, noise_range=(0.1, 0.1)) - channel
    assert float(noise.std()) == pytest.approx(0.1 * float(channel.std()), rel=0.05)
    assert abs(float(noise.mean())) < 0.005 * float(channel.std())


@given(seed=st.integers(0, 10_000))
def test_the_bias_field_is_positive_and_smooth(seed):
    dark, bright = -1.5, torch.ones(24, 24, 24)
    bright[0, 0, 0] = dark
    field = (_changed("bias_field", bright, seed, bias_range=(0.3, 0.3)) - dark) / (1 - dark)
    assert field[0, 0, 0] == pytest.approx(0, abs=1e-6)
    field[0, 0, 0] = field[0, 0, 1]
    assert field.min() > 0
    assert field.log().std() > 0.02
    assert max(float(torch.diff(field.log(), dim=axis).abs().max()) for axis in range(3)) < 0.3


@given(seed=st.integers(0, 10_000))
def test_brightness_multiplies(seed):
    channel = _channel(seed)
    factors = _changed("brightness", channel, seed) / channel
    assert float(factors.max()) == pytest.approx(float(factors.min()), abs=1e-3)
    assert 0.75 <= float(factors.median()) <= 1.25


def test_factors_lie_below_1_as_often_as_above():
    ones = torch.ones(1, 1, 1)
    drawn = np.array([float(_changed("brightness", ones, n, brightness_range=(0.9, 2.0))) for n in range(600)])
    assert np.mean(drawn < 1) == pytest.approx(0.5, abs=0.06)
    assert drawn.min() >= 0.9
    assert drawn.max() > 1.8


def test_without_changes_the_image_is_the_same():
    image = _channel(0)[None]
    assert changes.change_intensities(image, NO_AUGMENTATION, np.random.default_rng(0)) is image


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_channel_draws_for_itself_as_often_as_the_settings_say(name):
    image, rng = torch.stack([_channel(n, (6, 6, 6)) for n in range(4)]), np.random.default_rng(0)
    settings = replace(NO_AUGMENTATION, **{name: 0.3})
    changed = [
        [
            not torch.equal(new, old)
            for new, old in zip(changes.change_intensities(image, settings, rng), image, strict=True)
        ]
        for _ in range(200)
    ]
    assert np.mean(changed, axis=0) == pytest.approx(np.full(4, 0.3), abs=0.11)
    assert len({tuple(each) for each in changed}) > 1


def test_all_shares_of_intensities_are_used():
    shares = {field.name for field in fields(AugmentationSettings)}
    assert {*ALL} <= shares
    rng = np.random.default_rng(0)
    for name in ALL:
        image = _channel(1)[None]
        assert not torch.equal(changes.change_intensities(image, replace(NO_AUGMENTATION, **{name: 1}), rng), image)
