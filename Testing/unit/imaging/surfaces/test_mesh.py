"""Meshes of masks: closed and wound outwards on any grid, as large as the voxels, and as scikit-image finds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import marching_cubes, mesh_surface_area
from strategies import geometries, masks

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.surfaces.cells import loops, triangles
from DeepSegmentLib.imaging.surfaces.measures import surface_area_mm2
from DeepSegmentLib.imaging.surfaces.mesh import make_mesh, normals, smoothed


@st.composite
def masks_on_grids(draw):
    mask = draw(masks(filled=True))
    return mask, draw(geometries(st.just(mask.shape)))


def _grid(shape, spacing=(1, 1, 1)):
    return Geometry.from_spacing(shape, spacing)


def _ball(radius):
    index = np.indices((2 * radius + 3,) * 3) - radius - 1
    return (index**2).sum(axis=0) <= radius**2


def _edges(mesh):
    return np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])


def _assert_closed(mesh):
    """Every edge belongs to two triangles that run through it in opposite directions."""
    edges = _edges(mesh)
    once = np.unique(edges, axis=0)
    assert len(once) == len(edges)
    assert np.array_equal(once, np.unique(edges[:, ::-1], axis=0))


def _area(mesh):
    return mesh_surface_area(mesh.points_ras, mesh.triangles)


class TestLaws:
    @given(masks_on_grids())
    def test_it_is_closed_and_encloses_more_than_nothing(self, case):
        mesh = make_mesh(*case)
        _assert_closed(mesh)
        assert 0 < mesh.volume_mm3 <= case[0].sum() * case[1].voxel_volume_mm3 * (1 + 1e-9)

    @given(masks_on_grids())
    def test_inside_and_outside_lie_where_the_mask_says(self, case):
        mask, grid = case
        mesh = make_mesh(mask, grid)
        # The solid angle of the surface, seen from a voxel's centre: all around from inside, nothing from outside.
        for index in np.argwhere(np.ones_like(mask))[:12]:
            a, b, c = (mesh.points_ras[mesh.triangles[:, n]] - grid.index_to_ras(index) for n in range(3))
            la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
            dots = [np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (b, c), (c, a))]
            angles = 2 * np.arctan2(
                np.einsum("ij,ij->i", a, np.cross(b, c)), la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
            )
            assert angles.sum() / (4 * np.pi) == pytest.approx(float(mask[tuple(index)]), abs=1e-6)

    @given(masks_on_grids(), st.tuples(*[st.integers(-500, 500)] * 3))
    def test_it_moves_with_the_grid(self, case, offset):
        mask, grid = case
        affine = grid.affine.copy()
        affine[:3, 3] += offset
        mesh, moved = make_mesh(mask, grid), make_mesh(mask, Geometry(grid.shape, affine))
        assert np.allclose(moved.points_ras, mesh.points_ras + offset)
        assert np.array_equal(moved.triangles, mesh.triangles)

    @given(masks_on_grids(), st.integers(1, 20))
    def test_smoothing_keeps_it_closed(self, case, iterations):
        mesh = make_mesh(*case)
        smooth = smoothed(mesh, iterations)
        assert np.array_equal(smooth.triangles, mesh.triangles)
        assert np.isfinite(smooth.points_ras).all()
        assert np.allclose(np.linalg.norm(normals(smooth), axis=1), 1)


class TestAgreement:
    @given(masks_on_grids())
    def test_corners_lie_where_scikit_image_finds_them(self, case):
        mask, grid = case
        mesh = make_mesh(mask, grid)
        points, _, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5)
        half_steps = np.round(2 * (points - 1)).astype(int)
        half_steps = half_steps[(half_steps % 2).sum(axis=1) == 1]  # it adds some in the middle of cells
        ours = np.round(2 * grid.ras_to_index(mesh.points_ras)).astype(int)
        assert np.array_equal(np.unique(ours, axis=0), np.unique(half_steps, axis=0))

    def test_a_body_without_ambiguous_cells_has_the_same_area_and_volume(self):
        mask, grid = _ball(6), _grid((15, 15, 15), (1, 1, 2))
        mesh = make_mesh(mask, grid)
        points, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=(1, 1, 2))
        assert _area(mesh) == pytest.approx(mesh_surface_area(points, faces), rel=0.01)
        assert _area(mesh) == pytest.approx(surface_area_mm2(mask, grid), rel=0.02)  # whose polygons meet in a middle


class TestKnownBodies:
    @pytest.mark.parametrize("radius", [6, 12])
    def test_a_ball(self, radius):
        mask = _ball(radius)
        mesh = make_mesh(mask, _grid(mask.shape))
        true = 4 / 3 * np.pi * radius**3
        assert mesh.volume_mm3 == pytest.approx(true, rel=0.06)
        smooth = smoothed(mesh, 10)
        assert smooth.volume_mm3 == pytest.approx(mesh.volume_mm3, rel=0.02)
        assert _area(smooth) < _area(mesh)
        assert _area(smooth) == pytest.approx(4 * np.pi * radius**2, rel=0.05)

    def test_normals_of_a_ball_point_outwards(self):
        mask = _ball(8)
        mesh = smoothed(make_mesh(mask, _grid(mask.shape)), 10)
        radial = mesh.points_ras - mesh.points_ras.mean(axis=0)
        radial /= np.linalg.norm(radial, axis=1, keepdims=True)
        assert (np.einsum("ij,ij->i", radial, normals(mesh)) > 0.9).all()

    def test_a_mask_that_fills_its_grid_is_closed(self):
        mesh = make_mesh(np.ones((2, 3, 4), bool), _grid((2, 3, 4)))
        _assert_closed(mesh)
        assert np.array_equal(mesh.points_ras.min(axis=0), [-0.5, -0.5, -0.5])
        assert np.array_equal(mesh.points_ras.max(axis=0), [3.5, 2.5, 1.5])

    def test_an_empty_mask_has_no_surface(self):
        mesh = make_mesh(np.zeros((2, 2, 2), bool), _grid((2, 2, 2)))
        assert (len(mesh.points_ras), len(mesh.triangles), mesh.volume_mm3) == (0, 0, 0.0)
        assert smoothed(mesh, 3) is mesh


class TestCells:
    def test_polygons_of_every_kind_run_through_all_edges_that_the_surface_crosses(self):
        for kind in range(256):
            ends = [corner for loop in loops(kind) for corner in loop]
            assert len(ends) == len(set(ends))  # a midpoint belongs to one polygon
            crossed = sum(bool(kind >> a & 1) != bool(kind >> b & 1) for a in range(8) for b in (a ^ 1, a ^ 2, a ^ 4))
            assert len(ends) == crossed / 2
            assert len(triangles(kind)) == sum(len(loop) - 2 for loop in loops(kind))


class TestRefused:
    def test_labels_instead_of_a_mask(self):
        with pytest.raises(InvalidInputError, match="labels == 1"):
            make_mesh(np.ones((2, 2, 2), np.uint8), _grid((2, 2, 2)))

    def test_a_negative_number_of_iterations(self):
        with pytest.raises(InvalidInputError, match="got -1"):
            smoothed(make_mesh(np.ones((1, 1, 1), bool), _grid((1, 1, 1))), -1)
