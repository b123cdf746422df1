"""What voxels look like: the same in any units and however the volume is turned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from DeepSegmentLib.imaging.looks import look_at

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 200, (24, 26, 28)).astype(np.int16)
SMOOTH = np.round(5000 * ndimage.gaussian_filter(RNG.normal(size=(24, 26, 28)), 4)).astype(np.int16)
LABELS = (SMOOTH > 0) + 5 * (SMOOTH > 100)
KINDS = {"noise": NOISE, "smooth": SMOOTH, "labels": LABELS.astype(np.int16)}


def relative(channel):
    """What must not depend on the units."""
    looks = look_at(channel)
    return np.array([looks.other, looks.distinct, looks.equal, *looks.steps])


@given(st.sampled_from(sorted(KINDS)), st.floats(1e-3, 1e4), st.floats(-1e4, 1e4), st.booleans())
def test_units_do_not_matter(kind, scale, offset, inverted):
    changed = KINDS[kind] * (-scale if inverted else scale) + offset
    assert relative(changed) == pytest.approx(relative(KINDS[kind]), abs=1e-6)


@given(st.sampled_from(sorted(KINDS)), st.permutations(range(3)), st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_axes_and_flips_do_not_matter(kind, order, signs):
    # All voxels of these small volumes are in the sample, so the verdict is not only alike.
    turned = KINDS[kind].transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    looks, straight = look_at(turned), look_at(KINDS[kind])
    assert looks.steps == pytest.approx([straight.steps[axis] for axis in order])
    assert (looks.equal, looks.low, looks.high) == (straight.equal, straight.low, straight.high)


def test_steps_are_near_one_for_noise_and_near_none_for_anatomy():
    assert look_at(NOISE).steps == pytest.approx((1, 1, 1), abs=0.1)
    assert max(look_at(SMOOTH).steps) < 0.1


def test_equal_neighbours_tell_labels():
    assert look_at(LABELS).equal > 0.75
    assert look_at(SMOOTH).equal < 0.1


def test_a_sample_of_a_large_volume_tells_the_same():
    large = NOISE.repeat(64, axis=0)
    assert look_at(large).steps[1:] == pytest.approx(look_at(NOISE).steps[1:], abs=0.05)
    assert look_at(large).steps[0] == pytest.approx(1 / 64, abs=0.005)


@pytest.mark.parametrize("voxels", [np.zeros((4, 5, 6)), np.full((1, 1, 1), 7.0), np.full((3, 3, 3), np.nan)])
def test_volumes_without_contrast(voxels):
    looks = look_at(voxels)
    assert looks.steps == (0, 0, 0)
    assert looks.equal in (0, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_odd_numbers_do_no_harm(value):
    voxels = NOISE.astype(float)
    voxels[::2] = value
    look_at(voxels)


def test_hounsfield_units_are_told():
    body = np.where(np.indices((20, 20, 20)).min(axis=0) > 6, 40.0, -1000.0) + RNG.normal(0, 20, (20, 20, 20))
    looks = look_at(body)
    assert looks.air > 0.5
    assert looks.soft > 0.95
