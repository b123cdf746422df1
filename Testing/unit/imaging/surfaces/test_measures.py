"""Area and largest diameter of masks: laws, known bodies, and agreement with scikit-image, SciPy and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import pdist
from skimage.measure import marching_cubes, mesh_surface_area
from strategies import directions, geometries, masks, orientations, spacings

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.surfaces.measures import largest_diameter_mm, surface_area_mm2

MEASURES = (surface_area_mm2, largest_diameter_mm)


@st.composite
def masks_on_grids(draw, *, filled=False):
    mask = draw(masks(filled=filled))
    return mask, draw(geometries(st.just(mask.shape)))


def _grid(shape, spacing=(1, 1, 1)):
    return Geometry.from_spacing(shape, spacing)


def _ball(radius, spacing=(1.0, 1.0, 1.0)):
    """A ball of a radius in mm in an array that just holds it."""
    half = [int(radius / step) + 2 for step in spacing]
    index = np.meshgrid(*[np.arange(-n, n + 1) * step for n, step in zip(half, spacing, strict=True)], indexing="ij")
    return sum(axis**2 for axis in index) <= radius**2


def _mesh(mask, spacing):
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing)
    return vertices, mesh_surface_area(vertices, faces)


class TestLaws:
    @given(masks_on_grids(), orientations())
    def test_the_order_and_sense_of_the_axes_do_not_matter(self, case, orientation):
        mask, grid = case
        turned, _, _ = grid.oriented(orientation)
        for measure in MEASURES:
            assert measure(np.ascontiguousarray(grid.view(mask, orientation)), turned) == pytest.approx(
                measure(mask, grid), rel=1e-9
            )

    @given(masks(filled=True), spacings(), directions())
    def test_a_rotation_does_not_matter(self, mask, spacing, direction):
        affine = np.eye(4)
        affine[:3, :3] = direction * spacing
        for measure in MEASURES:
            assert measure(mask, Geometry(mask.shape, affine)) == pytest.approx(
                measure(mask, _grid(mask.shape, spacing)), rel=1e-9
            )

    @given(masks_on_grids(filled=True), st.integers(2, 5))
    def test_lengths_scale_and_areas_scale_squared(self, case, factor):
        mask, grid = case
        affine = grid.affine.copy()
        affine[:3, :3] *= factor
        larger = Geometry(grid.shape, affine)
        assert surface_area_mm2(mask, larger) == pytest.approx(factor**2 * surface_area_mm2(mask, grid))
        assert largest_diameter_mm(mask, larger) == pytest.approx(factor * largest_diameter_mm(mask, grid))

    @given(masks_on_grids())
    def test_background_around_it_does_not_matter(self, case):
        mask, grid = case
        padded = np.pad(mask, 2)
        for measure in MEASURES:
            assert measure(padded, Geometry(padded.shape, grid.affine)) == pytest.approx(measure(mask, grid))

    @given(masks_on_grids())
    def test_areas_of_bodies_apart_add_up(self, case):
        mask, grid = case
        twice = np.concatenate([mask, np.zeros((1, *mask.shape[1:]), bool), mask])
        assert surface_area_mm2(twice, Geometry(twice.shape, grid.affine)) == pytest.approx(
            2 * surface_area_mm2(mask, grid)
        )

    @given(masks_on_grids(filled=True))
    def test_the_diameter_is_that_of_all_pairs(self, case):
        mask, grid = case
        steps = np.concatenate([np.eye(3), -np.eye(3)]) / 2
        points = (np.argwhere(mask)[:, None] + steps).reshape(-1, 3)
        assert largest_diameter_mm(mask, grid) == pytest.approx(pdist(grid.index_to_ras(points)).max())


class TestKnownBodies:
    def test_an_empty_mask_has_nothing(self):
        for measure in MEASURES:
            assert measure(np.zeros((3, 4, 5), bool), _grid((3, 4, 5))) == 0

    def test_a_voxel_is_an_octahedron(self):
        mask, grid = np.ones((1, 1, 1), bool), _grid((1, 1, 1), (3, 2, 1))
        assert largest_diameter_mm(mask, grid) == 3
        assert surface_area_mm2(mask, grid) == pytest.approx(8 * np.sqrt(1.5**2 * (1 + 0.25) + 0.25) / 2)

    @pytest.mark.parametrize("spacing", [(1, 1, 1), (0.5, 1, 2)])
    def test_a_large_box_has_the_area_of_its_faces(self, spacing):
        mask = np.ones((60, 70, 80), bool)
        k, j, i = np.array(mask.shape) * spacing
        faces = 2 * (k * j + k * i + j * i)
        assert surface_area_mm2(mask, _grid(mask.shape, spacing)) == pytest.approx(faces, rel=0.03)

    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8)])
    def test_a_ball(self, spacing):
        mask = _ball(20, spacing)
        grid = _grid(mask.shape, spacing)
        assert largest_diameter_mm(mask, grid) == pytest.approx(40, abs=2)
        area = surface_area_mm2(mask, grid)
        assert 1.0 < area / (4 * np.pi * 20**2) < 1.15

    def test_the_diameter_of_a_long_line_is_its_length(self):
        mask = np.eye(30, dtype=bool)[None]
        grid = _grid(mask.shape, (1, 3, 4))
        assert largest_diameter_mm(mask, grid) == pytest.approx(np.hypot(29 * 3, 30 * 4))

    def test_many_corners_are_compared_in_parts(self):
        mask = _ball(45)
        assert largest_diameter_mm(mask, _grid(mask.shape)) == pytest.approx(91, abs=0.1)


class TestOracles:
    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.7, 0.5)])
    def test_the_mesh_of_scikit_image(self, spacing):
        noise = np.random.default_rng(0).random((40, 40, 40))
        mask = ndimage.gaussian_filter(noise, 4) > 0.5
        grid = _grid(mask.shape, spacing)
        # Other triangles of the same polygons: those fanned out from the centroid are a little smaller.
        assert surface_area_mm2(mask, grid) == pytest.approx(_mesh(mask, spacing)[1], rel=0.02)

    @given(masks(filled=True), spacings(0.5, 5))
    def test_the_vertices_of_scikit_image(self, mask, spacing):
        vertices, _ = _mesh(mask, spacing)
        assert largest_diameter_mm(mask, _grid(mask.shape, spacing)) == pytest.approx(pdist(vertices).max(), rel=1e-5)

    @given(masks(filled=True), spacings(0.5, 5))
    def test_simpleitk_measures_between_centres(self, mask, spacing):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        found = sitk.LabelShapeStatisticsImageFilter()
        found.ComputeFeretDiameterOn()
        found.Execute(image)
        ours, theirs = largest_diameter_mm(mask, _grid(mask.shape, spacing)), found.GetFeretDiameter(1)
        assert theirs <= ours + 1e-6
        assert ours <= theirs + np.linalg.norm(spacing) + 1e-6


def test_other_masks_are_refused():
    for measure in MEASURES:
        with pytest.raises(InvalidInputError, match="boolean"):
            measure(np.ones((2, 2, 2), np.uint8), _grid((2, 2, 2)))
        with pytest.raises(InvalidInputError, match=r"\(2, 2, 3\)"):
            measure(np.ones((2, 2, 2), bool), _grid((2, 2, 3)))
