"""Clean-up of masks: laws, then agreement with scikit-image and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure
from strategies import masks

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.components import fill_holes, remove_small
from DeepSegmentLib.networks.model_spec import Cleanup

AXES_AT_ONCE = {6: 1, 18: 2, 26: 3}
"""How scikit-image calls the number of neighbours."""


def sizes_of_components(mask, neighbours=6):
    """Voxel counts of the components, largest first."""
    labels = measure.label(mask, connectivity=AXES_AT_ONCE[neighbours])
    return sorted((region.area for region in measure.regionprops(labels)), reverse=True)


class TestRemoveSmall:
    @given(masks(), st.booleans(), st.integers(0, 8))
    def test_stays_inside_and_is_idempotent(self, mask, keep_largest, minimum):
        kept = remove_small(mask, keep_largest=keep_largest, minimum_voxels=minimum)
        assert kept.dtype == bool
        assert not (kept & ~mask).any()
        assert np.array_equal(remove_small(kept, keep_largest=keep_largest, minimum_voxels=minimum), kept)

    @given(masks(filled=True), st.sampled_from([6, 18, 26]))
    def test_the_largest_is_the_largest_of_scikit_image(self, mask, neighbours):
        kept = remove_small(mask, keep_largest=True, neighbours=neighbours)
        assert sizes_of_components(kept, neighbours) == sizes_of_components(mask, neighbours)[:1]

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
        assert remove_small(mask, keep_largest=True, neighbours=18).sum() == 2


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

    @given(masks(), st.sampled_from([6, 18, 26]))
    def test_agrees_with_scipy(self, mask, neighbours):
        theirs = ndimage.binary_fill_holes(mask, ndimage.generate_binary_structure(3, AXES_AT_ONCE[neighbours]))
        assert np.array_equal(fill_holes(mask, neighbours=neighbours), theirs)

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 8}, "liver: neighbours must be 6, 18 or 26, got 8"),
        ({"fill_holes": True, "together_with": ("spleen",)}, "holes are filled with one segment"),
    ],
)
def test_refuses_what_cannot_be_done(options, message):
    with pytest.raises(InvalidInputError, match=message):
        Cleanup("liver", **options)
