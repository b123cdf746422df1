"""Surfaces and their distances: laws, edge cases, agreement with SciPy and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from strategies import masks, shapes, spacings

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.distances import surface, surface_distances

pairs = shapes().flatmap(lambda shape: st.tuples(masks(shape), masks(shape)))
filled_pairs = shapes().flatmap(lambda shape: st.tuples(masks(shape, filled=True), masks(shape, filled=True)))


def ball(shape, centre, radius):
    return sum((axis - c) ** 2 for axis, c in zip(np.ogrid[tuple(map(slice, shape))], centre, strict=True)) < radius**2


class TestSurface:
    @given(masks())
    def test_is_where_a_face_touches_the_background(self, mask):
        padded = np.pad(mask, 1)
        neighbours = [np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
        assert np.array_equal(surface(mask), mask & ~np.logical_and.reduce(neighbours))

    @given(masks())
    def test_agrees_with_simpleitk(self, mask):
        image = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        theirs = sitk.GetArrayFromImage(sitk.BinaryContour(image, fullyConnected=False))[1:-1, 1:-1, 1:-1]
        assert np.array_equal(surface(mask), theirs.astype(bool))

    def test_of_a_solid_block_is_its_shell(self):
        shell = np.ones((4, 5, 6), bool)
        shell[1:-1, 1:-1, 1:-1] = False
        assert np.array_equal(surface(np.ones((4, 5, 6), bool)), shell)


class TestSurfaceDistances:
    @given(pairs, spacings())
    def test_exchange_of_the_masks_exchanges_the_sides(self, pair, spacing):
        there, back = surface_distances(*pair, spacing), surface_distances(*reversed(pair), spacing)
        assert np.array_equal(there.reference_mm, back.prediction_mm)
        assert np.array_equal(there.prediction_mm, back.reference_mm)

    @given(pairs, spacings(), st.floats(0.1, 10))
    def test_distances_scale_with_the_spacing(self, pair, spacing, factor):
        once, scaled = (surface_distances(*pair, np.array(spacing) * f) for f in (1, factor))
        assert np.allclose(scaled.reference_mm, once.reference_mm * factor)

    @given(pairs, spacings(), st.permutations(range(3)))
    def test_exchange_of_the_axes_changes_nothing(self, pair, spacing, order):
        turned = [mask.transpose(order)[::-1] for mask in pair]
        ours = surface_distances(*pair, spacing)
        theirs = surface_distances(*turned, np.array(spacing)[order])
        assert np.allclose(np.sort(ours.reference_mm), np.sort(theirs.reference_mm))

    @given(pairs, spacings())
    def test_the_box_around_the_masks_changes_nothing(self, pair, spacing):
        ours = surface_distances(*pair, spacing)
        padded = surface_distances(*[np.pad(mask, 2) for mask in pair], spacing)
        assert np.allclose(ours.reference_mm, padded.reference_mm)
        assert np.allclose(ours.prediction_mm, padded.prediction_mm)

    @given(masks(filled=True), spacings())
    def test_a_mask_is_nowhere_away_from_itself(self, mask, spacing):
        distances = surface_distances(mask, mask, spacing)
        assert distances.reference_mm.shape == (surface(mask).sum(),)
        assert not distances.reference_mm.any()

    @given(filled_pairs, spacings())
    def test_agrees_with_the_distance_transform_of_scipy(self, pair, spacing):
        surfaces = [surface(mask) for mask in pair]
        maps = [ndimage.distance_transform_edt(~mask, sampling=spacing) for mask in surfaces]
        distances = surface_distances(*pair, spacing)
        assert np.allclose(distances.reference_mm, maps[1][surfaces[0]])
        assert np.allclose(distances.prediction_mm, maps[0][surfaces[1]])

    def test_agrees_with_the_distance_transform_on_large_masks(self):
        pair = [ball((40, 50, 60), (18, 25, 30), 16), ball((40, 50, 60), (20, 24, 33), 14)]
        spacing = (2.5, 0.8, 0.7)
        surfaces = [surface(mask) for mask in pair]
        expected = ndimage.distance_transform_edt(~surfaces[1], sampling=spacing)[surfaces[0]]
        assert np.allclose(surface_distances(*pair, spacing).reference_mm, expected)

    def test_anisotropic_voxels_by_hand(self):
        reference, prediction = np.zeros((2, 4, 5, 6), bool)
        reference[0, 0, 0] = True
        prediction[3, 0, 0] = prediction[0, 4, 0] = prediction[0, 0, 5] = True
        distances = surface_distances(reference, prediction, (5.0, 2.0, 1.0))
        assert distances.reference_mm.tolist() == [5.0]
        assert distances.prediction_mm.tolist() == [5.0, 8.0, 15.0]

    def test_of_an_empty_mask_are_infinite(self):
        empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
        one = surface_distances(full, empty, (1, 1, 1))
        assert one.reference_mm.tolist() == [np.inf] * 8
        assert one.prediction_mm.shape == (0,)
        none = surface_distances(empty, empty, (1, 1, 1))
        assert none.reference_mm.shape == none.prediction_mm.shape == (0,)


class TestRefusals:
    mask = np.ones((2, 2, 2), bool)

    @pytest.mark.parametrize("wrong", [np.ones((2, 2, 2), np.uint8), np.ones((2, 2), bool)])
    def test_what_is_no_mask(self, wrong):
        for pair in ((self.mask, wrong), (wrong, self.mask)):
            with pytest.raises(InvalidInputError, match="must be a boolean 3D array"):
                surface_distances(*pair, (1, 1, 1))

    def test_two_shapes(self):
        with pytest.raises(InvalidInputError, match=r"one shape, got \(2, 2, 2\) and \(2, 2, 3\)"):
            surface_distances(self.mask, np.ones((2, 2, 3), bool), (1, 1, 1))

    @pytest.mark.parametrize("spacing", [(1, 1), (1, 0, 1), (1, 1, np.nan), (1, 1, np.inf)])
    def test_spacing(self, spacing):
        with pytest.raises(InvalidInputError, match="three lengths above 0 mm"):
            surface_distances(self.mask, self.mask, spacing)
