"""Intensities on the network's scale: laws, then refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.intensity import Normalization, ScaledVoxels, mask_of, normalize, scale_of

NONE = Normalization("none")
ZSCORE = Normalization("zscore")
WINDOW = Normalization("window", low=-100, high=300, mean=50, std=80)
PERCENTILE = Normalization("percentile", low=1, high=99)
SIGMOID = Normalization("sigmoid", mean=40, std=200)
ALL = (NONE, ZSCORE, WINDOW, PERCENTILE, SIGMOID)

channels = st.one_of(
    arrays.arrays(np.int16, arrays.array_shapes(min_dims=3, max_dims=3, max_side=5)),
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
)
any_rule = st.sampled_from(ALL)


class TestAnyRule:
    @given(channels, any_rule)
    def test_gives_finite_float32_of_the_same_shape(self, channel, rule):
        result = normalize(channel, rule)
        assert result.dtype == np.float32
        assert result.shape == channel.shape
        assert np.isfinite(result).all()

    @given(channels, any_rule)
    def test_leaves_its_input_alone(self, channel, rule):
        before = channel.copy()
        normalize(channel, rule)[...] = 7
        assert np.array_equal(channel, before)

    @given(channels, any_rule)
    def test_keeps_the_order_of_the_intensities(self, channel, rule):
        result = normalize(channel, rule).ravel()[channel.ravel().argsort()]
        assert (np.diff(result) >= 0).all()

    @given(st.floats(-1000, 1000), any_rule)
    def test_a_constant_stays_constant(self, value, rule):
        result = normalize(np.full((2, 3, 4), value), rule)
        assert np.ptp(result) == 0
        if rule in (ZSCORE, PERCENTILE):
            assert abs(result).max() < 1e-3


class TestEachRule:
    @given(channels)
    def test_none_changes_no_number(self, channel):
        assert np.array_equal(normalize(channel, NONE), channel.astype(np.float32))

    @given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.floats(0.01, 1e4))
    def test_zscore_has_mean_0_and_deviation_1_whatever_the_scale(self, seed, shift, scale):
        channel = np.random.default_rng(seed).normal(size=(4, 5, 6))
        result = normalize(channel * scale + shift, ZSCORE)
        tolerance = 1e-4 + 1e-5 * abs(shift) / scale  # of float32
        assert result.mean() == pytest.approx(0, abs=tolerance)
        assert result.std() == pytest.approx(1, abs=tolerance)

    @given(channels)
    def test_window_clips_and_scales(self, channel):
        expected = (np.clip(channel.astype(float), -100, 300) - 50) / 80
        assert np.allclose(normalize(channel, WINDOW), expected, atol=1e-5)

    @given(channels)
    def test_percentile_is_in_0_to_1(self, channel):
        result = normalize(channel, PERCENTILE)
        assert result.min() >= 0
        assert result.max() <= 1

    def test_percentile_maps_its_ends_to_0_and_1(self):
        ramp = np.arange(101, dtype=np.int16).reshape(1, 1, 101)
        result = normalize(ramp, Normalization("percentile", low=10, high=90))[0, 0]
        assert (result[:11] == 0).all()
        assert (result[90:] == 1).all()
        assert result[50] == pytest.approx(0.5)


class TestOfOtherTools:
    """The rules of nnU-Net and MONAI, written down once more from their sources."""

    @given(channels)
    def test_nnunet_zscore_within_the_mask(self, channel):
        mask = ndimage.binary_fill_holes(channel != 0)
        result = normalize(channel, Normalization("zscore", over="filled_nonzero"))
        assert (result[~mask] == 0).all()
        image = channel.astype(np.float64)
        if mask.any() and image[mask].std() > 1e-3 * (1 + np.abs(image).max()):
            expected = (image[mask] - image[mask].mean()) / max(image[mask].std(), 1e-8)
            np.testing.assert_allclose(result[mask], expected, atol=1e-2)

    @given(channels)
    def test_monai_normalize_intensity_nonzero(self, channel):
        mask = channel != 0
        result = normalize(channel, Normalization("zscore", over="nonzero"))
        assert (result[~mask] == 0).all()
        if mask.any():
            assert result[mask].astype(float).mean() == pytest.approx(0, abs=0.05)

    @given(channels)
    def test_nnunet_rescale_to_0_1(self, channel):
        image = channel.astype(np.float64) - channel.astype(np.float64).min()
        expected = image / max(image.max(), 1e-8)
        np.testing.assert_allclose(normalize(channel, Normalization("percentile", 0, 100)), expected, atol=1e-5)

    @given(channels, st.booleans())
    def test_monai_scale_intensity_range(self, channel, clip):
        low, high, b_min, b_max = -175.0, 250.0, -1.0, 1.0
        std = (high - low) / (b_max - b_min)
        rule = Normalization("window", low, high, mean=low - b_min * std, std=std, clip=clip)
        expected = (channel.astype(np.float64) - low) / (high - low) * (b_max - b_min) + b_min
        expected = np.clip(expected, b_min, b_max) if clip else expected
        np.testing.assert_allclose(normalize(channel, rule), expected, rtol=1e-5, atol=1e-5)

    @given(channels, st.booleans())
    def test_monai_scale_intensity_range_percentiles(self, channel, clip):
        b_min, b_max = -1.0, 1.0
        std = 1 / (b_max - b_min)
        rule = Normalization("percentile", 5, 95, mean=-b_min * std, std=std, clip=clip)
        low, high = np.percentile(channel.astype(np.float64), (5, 95))
        if high - low > 1e-3 * (1 + np.abs(channel.astype(float)).max()):
            expected = (channel - low) / (high - low) * (b_max - b_min) + b_min
            expected = np.clip(expected, b_min, b_max) if clip else expected
            np.testing.assert_allclose(normalize(channel, rule), expected, rtol=1e-2, atol=1e-2)

    @given(channels)
    def test_auto3dseg_sigmoid(self, channel):
        expected = 1 / (1 + np.exp(-np.clip((channel.astype(float) - 40) / 200, -700, 700)))
        np.testing.assert_allclose(normalize(channel, SIGMOID), expected, atol=1e-5)

    def test_a_channel_of_zeros_stays_so(self):
        for kind in ("zscore", "percentile"):
            for over in ("nonzero", "filled_nonzero"):
                assert not normalize(np.zeros((2, 3, 4)), Normalization(kind, over=over)).any()

    def test_holes_count_where_they_are_filled(self):
        channel = np.pad(np.full((3, 3, 3), 2.0), 1)
        channel[2, 2, 2] = 0
        filled = normalize(channel, Normalization("zscore", over="filled_nonzero"))
        assert filled[2, 2, 2] < -1
        assert normalize(channel, Normalization("zscore", over="nonzero"))[2, 2, 2] == 0


class TestRefusals:
    def test_unknown_kind(self):
        with pytest.raises(InvalidInputError, match="unknown normalisation 'minmax'"):
            Normalization("minmax")

    @pytest.mark.parametrize("ends", [(1, 1), (2, 1), (np.nan, 1)])
    def test_low_not_below_high(self, ends):
        with pytest.raises(InvalidInputError, match="needs low < high"):
            Normalization("window", *ends)

    @pytest.mark.parametrize("ends", [(-1, 99), (1, 101)])
    def test_percentiles_outside_0_to_100(self, ends):
        with pytest.raises(InvalidInputError, match=r"must be in 0\.\.100"):
            Normalization("percentile", *ends)

    @pytest.mark.parametrize("std", [0, -1, np.nan])
    def test_deviation_not_above_0(self, std):
        with pytest.raises(InvalidInputError, match="needs std > 0"):
            Normalization("window", std=std)


@pytest.mark.parametrize("wrong", [{"std": 1e-50}, {"std": 1e300}, {"mean": 1e300}, {"low": -1e300}, {"high": 1e40}])
def test_numbers_that_float32_cannot_hold_are_refused(wrong):
    with pytest.raises(InvalidInputError, match="numbers that float32 can divide by"):
        Normalization("window", **wrong)


@pytest.mark.parametrize("rule", [NONE, Normalization("zscore"), Normalization("zscore", over="nonzero"), PERCENTILE])
def test_voxels_scaled_part_by_part_are_those_of_a_scaled_copy(rule):
    voxels = np.random.default_rng(0).integers(-3, 9, (2, 5, 6, 7)).astype(np.int16)
    masks = [mask_of(channel, rule, lambda: voxels[0] != 0) for channel in voxels]
    scales = [scale_of(channel, rule, mask) for channel, mask in zip(voxels, masks, strict=True)]
    scaled = ScaledVoxels(voxels, scales, masks)
    copy = np.stack([normalize(channel, rule) for channel in voxels])
    np.testing.assert_array_equal(np.asarray(scaled), copy)
    part = (slice(1, 2), slice(2, 5), slice(0, 6, 2), slice(3, 4))
    np.testing.assert_array_equal(scaled[part], copy[part])
    assert scaled[part].dtype == np.float32
    assert (scaled.shape, scaled.size, len(scaled)) == (copy.shape, copy.size, 2)
