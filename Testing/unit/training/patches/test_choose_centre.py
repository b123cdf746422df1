"""Where patches are cut: inside as far as they fit, all classes alike, never what nobody knows."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import shapes

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.cases.prepared_case import Known, PreparedCase
from DeepSegmentLib.training.patches.choose_centre import choose_centre, has_background


def _case(shape, places, layers=1):
    arrays = [np.asarray(each, np.int32).reshape(-1, 3) for each in places]
    known = (Known((True,) * len(arrays)),)
    labels = np.zeros((layers, *shape), np.uint8)
    image, regions = np.zeros((1, *shape), np.float32), np.zeros(shape, np.uint8)
    return PreparedCase("case", "case", image, labels, regions, known, (1.0, 1.0, 1.0), tuple(arrays))


@given(shape=shapes(12), patch=shapes(12), seed=st.integers(0, 10_000), foreground=st.sampled_from([0.0, 0.5, 1.0]))
def test_patches_stay_inside_as_far_as_they_fit(shape, patch, seed, foreground):
    rng = np.random.default_rng(seed)
    voxel = [int(rng.integers(n)) for n in shape]
    centre = choose_centre(_case(shape, [[], [voxel]]), patch, rng, foreground=foreground)
    for middle, extent, size in zip(centre, patch, shape, strict=True):
        before, after = middle - extent // 2, size - (middle - extent // 2 + extent)
        if extent <= size:
            assert before >= 0
            assert after >= 0
        else:
            assert before <= 0
            assert after <= 0
            assert abs(before - after) <= 1


@given(shape=shapes(12), patch=shapes(12), seed=st.integers(0, 10_000))
def test_the_voxel_that_was_drawn_is_in_the_patch(shape, patch, seed):
    rng = np.random.default_rng(seed)
    voxel = [int(rng.integers(n)) for n in shape]
    centre = choose_centre(_case(shape, [[], [voxel]]), patch, rng, foreground=1)
    for middle, extent, place in zip(centre, patch, voxel, strict=True):
        assert middle - extent // 2 <= place < middle - extent // 2 + extent


@given(seed=st.integers(0, 10_000))
def test_where_there_is_room_the_voxel_is_the_middle(seed):
    case = _case((20, 20, 20), [[], [[9, 10, 11]]])
    assert choose_centre(case, (4, 5, 6), np.random.default_rng(seed), foreground=1) == (9, 10, 11)


def _drawn(case, times, **options):
    rng = np.random.default_rng(0)
    return Counter(choose_centre(case, (2, 2, 2), rng, foreground=1, **options) for _ in range(times))


def test_all_classes_that_are_there_are_equally_likely_however_large():
    many = [[5, 5, n] for n in range(2, 14)]
    counts = _drawn(_case((20, 20, 20), [[[1, 1, 1]], many, [[7, 7, 7]], []]), 2000)
    assert counts[7, 7, 7] / 2000 == pytest.approx(0.5, abs=0.05)
    assert (1, 1, 1) not in counts  # of the background
    assert set(counts) == {(7, 7, 7), *map(tuple, many)}


def test_weights_tell_how_often_the_turn_of_a_class_comes():
    case = _case((20, 20, 20), [[[1, 1, 1]], [[5, 5, 5]], [[7, 7, 7]], [[9, 9, 9]]])
    counts = _drawn(case, 2000, weights=[5, 3, 0, 1])
    assert set(counts) == {(5, 5, 5), (9, 9, 9)}
    assert counts[5, 5, 5] / 2000 == pytest.approx(0.75, abs=0.05)


def test_regions_have_no_background():
    case = _case((20, 20, 20), [[[5, 5, 5]], [[7, 7, 7]]], layers=2)
    assert not has_background(case)
    assert set(_drawn(case, 100)) == {(5, 5, 5), (7, 7, 7)}
    assert not has_background(_case((20, 20, 20), [[[5, 5, 5]]], layers=1))
    assert has_background(_case((20, 20, 20), [[], []], layers=1))


def test_the_rest_is_spread_over_the_case():
    case = _case((8, 10, 12), [[], [[4, 4, 4]]])
    rng = np.random.default_rng(0)
    centres = np.array([choose_centre(case, (4, 4, 4), rng, foreground=0) for _ in range(3000)])
    for axis, size in enumerate(case.shape):
        counts = np.bincount(centres[:, axis], minlength=size)
        assert counts[2 : size - 1] / 3000 == pytest.approx(np.full(size - 3, 1 / (size - 3)), abs=0.03)
        assert counts.sum() == counts[2 : size - 1].sum()


def test_a_case_that_has_nothing_gives_patches_all_the_same():
    centre = choose_centre(_case((8, 8, 8), [[], []]), (4, 4, 4), np.random.default_rng(0), foreground=1)
    assert all(2 <= middle <= 6 for middle in centre)


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [1, -1], [1, float("nan")]])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(InvalidInputError, match="2 channels, which need as many weights of 0 or more"):
        choose_centre(_case((8, 8, 8), [[], [[1, 1, 1]]]), (4, 4, 4), np.random.default_rng(0), weights=weights)
