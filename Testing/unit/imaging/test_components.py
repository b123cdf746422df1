"""Clean-up of masks: laws, then agreement with scikit-image and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from skimage import measure
from strategies import masks

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.components import fill_holes, remove_small
from DeepSegmentLib.networks.model_spec import Cleanup


def sizes_of_components(mask):
    """Voxel counts of the 6-connected components, largest first."""
    return sorted((region.area for region in measure.regionprops(measure.label(mask, connectivity=1))), reverse=True)


class TestRemoveSmall:
    @given(masks(), st.booleans(), st.integers(0, 8))
    def test_stays_inside_and_is_idempotent(self, mask, keep_largest, minimum):
        kept = remove_small(mask, keep_largest=keep_largest, minimum_voxels=minimum)
        assert kept.dtype == bool
        assert not (kept & ~mask).any()
        assert np.array_equal(remove_small(kept, keep_largest=keep_largest, minimum_voxels=minimum), kept)

    @given(masks(filled=True))
    def test_the_largest_is_the_largest_of_scikit_image(self, mask):
        kept = remove_small(mask, keep_largest=True)
        assert sizes_of_components(kept) == sizes_of_components(mask)[:1]

    @given(masks(), st.integers(0, 8))
    def test_components_below_the_minimum_go_and_others_stay(self, mask, minimum):
        kept = remove_small(mask, minimum_voxels=minimum)
        assert sizes_of_components(kept) == [size for size in sizes_of_components(mask) if size >= minimum]

    @given(masks())
    def test_nothing_asked_changes_nothing(self, mask):
        assert np.array_equal(remove_small(mask), mask)

    @given(masks(filled=True))
    def test_a_minimum_above_the_largest_leaves_nothing(self, mask):
        assert not remove_small(mask, keep_largest=True, minimum_voxels=mask.sum() + 1).any()

    def test_the_first_of_equal_components_is_kept(self):
        mask = np.array([[[1, 1, 0, 1, 1]]], bool)
        assert remove_small(mask, keep_largest=True).tolist() == [[[True, True, False, False, False]]]

    def test_voxels_that_share_an_edge_only_are_apart(self):
        mask = np.array([[[1, 0], [0, 1]]], bool)
        assert remove_small(mask, keep_largest=True).sum() == 1


class TestFillHoles:
    @given(masks())
    def test_contains_the_mask_and_is_idempotent(self, mask):
        filled = fill_holes(mask)
        assert not (mask & ~filled).any()
        assert np.array_equal(fill_holes(filled), filled)

    @given(masks())
    def test_agrees_with_simpleitk(self, mask):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        theirs = sitk.GetArrayFromImage(sitk.BinaryFillhole(image, fullyConnected=False))
        assert np.array_equal(fill_holes(mask), theirs.astype(bool))

    def test_a_shell_is_filled_unless_it_is_open(self):
        shell = np.ones((5, 5, 5), bool)
        shell[1:4, 1:4, 1:4] = False
        assert fill_holes(shell).all()
        shell[0, 2, 2] = False
        assert np.array_equal(fill_holes(shell), shell)


@pytest.mark.parametrize("minimum_ml", [-1, np.nan])
def test_refuses_a_size_below_zero(minimum_ml):
    with pytest.raises(InvalidInputError, match="liver: minimum size must be 0 ml or more"):
        Cleanup("liver", minimum_ml=minimum_ml)
