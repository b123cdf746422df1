"""Laws of the tiles: they cover everything, stay inside, and overlap as asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.tiling import count_tiles, plan_tiles

extents = st.tuples(*[st.integers(1, 40)] * 3)
patches = st.tuples(*[st.integers(1, 24)] * 3)
overlaps = st.floats(0, 0.9)


@given(shape=extents, patch=patches, overlap=overlaps)
def test_tiles_cover_every_voxel_and_stay_inside(shape, patch, overlap):
    covered = np.zeros(shape, dtype=int)
    for tile in plan_tiles(shape, patch, overlap=overlap):
        assert Box.of_shape(shape).contains(tile)
        covered[tile.to_slices()] += 1
    assert covered.min() >= 1


@given(shape=extents, patch=patches, overlap=overlaps)
def test_tiles_have_the_patch_shape_where_it_fits(shape, patch, overlap):
    expected = tuple(min(n, p) for n, p in zip(shape, patch, strict=True))
    assert {tile.shape for tile in plan_tiles(shape, patch, overlap=overlap)} == {expected}


@given(n=st.integers(1, 300), patch=st.integers(1, 100), overlap=overlaps)
def test_neighbours_share_at_least_the_overlap(n, patch, overlap):
    tiles = plan_tiles((1, 1, n), (1, 1, patch), overlap=overlap)
    starts = [tile.start[2] for tile in tiles]
    steps = np.diff(starts)
    # Rounding to whole voxels may cost up to one; a step of one voxel is the least there is.
    assert all(0 < step < max(1, patch * (1 - overlap)) + 1 for step in steps)
    assert starts[-1] <= (len(starts) - 1) * max(1, patch * (1 - overlap)) + 1e-6


@given(shape=extents, patch=patches, overlap=overlaps)
def test_tiles_come_in_raster_order_without_repetition(shape, patch, overlap):
    starts = [tile.start for tile in plan_tiles(shape, patch, overlap=overlap)]
    assert starts == sorted(set(starts))


@given(shape=extents, patch=patches, overlap=overlaps)
def test_they_are_counted_without_being_made(shape, patch, overlap):
    assert count_tiles(shape, patch, overlap=overlap) == len(list(plan_tiles(shape, patch, overlap=overlap)))


@given(shape=st.tuples(*[st.integers(1, 1 << 40)] * 3), patch=patches, overlap=st.floats(0, 1, exclude_max=True))
def test_any_number_of_tiles_is_counted_and_the_first_is_there_at_once(shape, patch, overlap):
    fewest = [-(-n // p) for n, p in zip(shape, patch, strict=True)]
    assert count_tiles(shape, patch, overlap=overlap) >= fewest[0] * fewest[1] * fewest[2]
    assert next(plan_tiles(shape, patch, overlap=overlap)).start == (0, 0, 0)


def test_tile_count_agrees_with_the_published_rule():
    # nnU-Net: ceil((n - patch) / (patch * step)) + 1 tiles an axis.
    shape, patch = (192, 256, 256), (128, 128, 128)
    assert count_tiles(shape, patch, overlap=0.5) == 2 * 3 * 3
    assert count_tiles((330, 330, 280), patch, overlap=0.2) == 3 * 3 * 3


@given(n=st.integers(1, 300), patch=st.integers(1, 100), overlap=st.sampled_from([0, 0.25, 0.5, 0.625, 0.7, 0.9]))
def test_tiles_at_the_border_lie_where_monai_has_them(n, patch, overlap):
    """`dense_patch_slices` with the interval int(roi * (1 - overlap))."""
    tiles = plan_tiles((1, 1, n), (1, 1, patch), overlap=overlap, last_tile="at_border")
    size, step = min(patch, n), max(1, int(min(patch, n) * (1 - overlap)))
    expected = [min(start, n - size) for start in range(0, n, step)]
    last = next(count for count, start in enumerate(expected) if start + size >= n)
    assert [tile.start[2] for tile in tiles] == expected[: last + 1]
    assert count_tiles((1, 1, n), (1, 1, patch), overlap=overlap, last_tile="at_border") == last + 1


@given(n=st.integers(1, 300), patch=st.integers(2, 100), overlap=st.sampled_from([0, 0.25, 0.5]))
def test_spread_tiles_lie_where_nnunet_has_them(n, patch, overlap):
    """`compute_steps_for_sliding_window`, for volumes that are no smaller than the patch, as it pads them before."""
    size = min(n, patch)
    count = int(np.ceil((n - size) / (size * (1 - overlap)))) + 1
    step = (n - size) / (count - 1) if count > 1 else 0.0
    expected = [int(np.round(step * k)) for k in range(count)]
    assert [tile.start[2] for tile in plan_tiles((1, 1, n), (1, 1, patch), overlap=overlap)] == expected


def test_each_axis_may_have_its_own_overlap():
    starts = {tile.start for tile in plan_tiles((8, 8, 8), (4, 4, 4), overlap=(0.0, 0.5, 0.75))}
    assert [len({start[axis] for start in starts}) for axis in range(3)] == [2, 3, 5]


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2.0, float("nan")])
def test_an_impossible_overlap_is_refused(overlap):
    with pytest.raises(InvalidInputError, match="overlap"):
        plan_tiles((8, 8, 8), (4, 4, 4), overlap=overlap)


@pytest.mark.parametrize(("shape", "patch"), [((0, 8, 8), (4, 4, 4)), ((8, 8, 8), (4, 0, 4))])
def test_an_empty_extent_is_refused(shape, patch):
    with pytest.raises(InvalidInputError, match="at least 1"):
        plan_tiles(shape, patch, overlap=0.5)
