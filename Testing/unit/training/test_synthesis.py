"""Laws of synthetic images: seeded, in range, and labels that follow the anatomy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Geometry, LabelMap
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.synthesis import SynthesisSettings, synthesize
from DeepSegmentLib.training.synthesis_cases import Tissue, make_case

TISSUES = (
    Tissue("core", (2, 41), 1, (0.8, 0.05)),
    Tissue("shell", (3,), 2, (0.5, 0.05)),
    Tissue("fluid", (24,), 3, (0.2, 0.05), inside_only=True),
    Tissue("skin", (511,), 0, (0.9, 0.05), outer=True),
)
SETTINGS = SynthesisSettings(patch_shape=(16, 20, 18), spacing_mm=2.0, jitter_mm=4.0)
PLAIN = replace(
    SETTINGS, jitter_mm=0, rotation_degrees=0, scaling=0, shearing=0, elastic_mm=0, usual_contrast=1, usual_inverted=0,
    strip=0, cut=0, bias=0, blur_voxels=(0.0, 0.0), thick_slices=0, gamma=0, noise=0,
)  # fmt: skip


def _head(size=40):
    """Balls in balls: skin, fluid, shell, core."""
    grid = np.mgrid[:size, :size, :size] - (size - 1) / 2
    radius = np.sqrt((grid**2).sum(0))
    source = np.zeros((size,) * 3, np.uint16)
    for limit, value in ((19, 511), (16, 24), (14, 3), (8, 2)):
        source[radius < limit] = value
    source[20, 20, 20:22] = 24  # a drop of fluid inside
    return LabelMap(source[None], Geometry.from_spacing((size,) * 3, (1, 1, 1)))


@pytest.fixture(scope="module")
def case():
    return make_case(_head(), TISSUES, hull_mm=3)


def test_targets_are_the_segments_and_fluid_counts_only_inside(case):
    source = _head().layers[0]
    assert np.array_equal(case.targets == 1, source == 2)
    assert np.array_equal(case.targets == 2, source == 3)
    assert (case.targets == 3).sum() == 2
    assert case.centre == pytest.approx((19.5, 19.5, 19.5))
    assert case.tissues[0, 0, 0] == 0


def test_a_label_map_without_the_segments_is_refused():
    empty = LabelMap(np.full((1, 4, 4, 4), 511, np.uint16), Geometry.from_spacing((4, 4, 4), (1, 1, 1)))
    with pytest.raises(InvalidInputError, match="tissue table"):
        make_case(empty, TISSUES)


def test_a_label_map_in_another_orientation_is_refused():
    geometry, _, _ = _head().geometry.oriented("LIA")
    with pytest.raises(InvalidInputError, match="LIA"):
        make_case(LabelMap(_head().layers, geometry), TISSUES)


@given(seed=st.integers(0, 10_000))
def test_images_are_in_range_and_have_the_patch_shape(case, seed):
    image, target = synthesize(case, TISSUES, SETTINGS, (seed,))
    assert image.shape == (1, *SETTINGS.patch_shape)
    assert target.shape == SETTINGS.patch_shape
    assert image.dtype == torch.float32
    assert target.dtype == torch.int64
    assert torch.isfinite(image).all()
    assert 0 <= image.min() <= image.max() <= 1
    assert 0 <= target.min() <= target.max() <= 3


@given(seed=st.integers(0, 10_000))
def test_the_same_seed_gives_the_same_image(case, seed):
    first, again = synthesize(case, TISSUES, SETTINGS, (seed, 1)), synthesize(case, TISSUES, SETTINGS, (seed, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], synthesize(case, TISSUES, SETTINGS, (seed, 2))[0])


@given(seed=st.integers(0, 1000))
def test_without_variation_the_labels_are_the_map_itself(case, seed):
    settings = replace(PLAIN, patch_shape=(40, 40, 40), spacing_mm=1.0)
    _, target = synthesize(case, TISSUES, settings, (seed,))
    straight = np.array_equal(target.numpy(), case.targets)
    assert straight or np.array_equal(target.numpy(), case.targets[:, :, ::-1])  # reflected left to right


@given(seed=st.integers(0, 1000))
def test_brightness_follows_the_tissue_table(case, seed):
    image, target = synthesize(case, TISSUES, PLAIN, (seed,))
    assert image[0][target == 1].mean() > image[0][target == 2].mean() + 0.1
    inverted, target = synthesize(case, TISSUES, replace(PLAIN, usual_inverted=1), (seed,))
    assert inverted[0][target == 1].mean() < inverted[0][target == 2].mean() - 0.1


@given(seed=st.integers(0, 1000))
def test_stripping_removes_what_is_outside_and_no_target(case, seed):
    usual = synthesize(case, TISSUES, PLAIN, (seed,))[1]
    image, target = synthesize(case, TISSUES, replace(PLAIN, strip=1.0), (seed,))
    assert torch.equal(target, usual)
    assert image[0, 8, 10, 0] < 0.1  # skin before, air now


@given(seed=st.integers(0, 1000))
def test_outside_the_field_of_view_there_is_nothing(case, seed):
    image, target = synthesize(case, TISSUES, replace(PLAIN, cut=1.0), (seed,))
    black_planes = [axis for axis in range(3) for end in (0, -1) if not image[0].movedim(axis, 0)[end].any()]
    for axis in black_planes:
        ends = target.movedim(axis, 0)
        assert not ends[0].any() or not ends[-1].any()
