"""Laws of `Box` and `Geometry`, then agreement with SimpleITK."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import boxes, geometries, masks, orientations, shapes, spacings

from DeepSegmentLib.data.geometry import Box, Geometry, as_index, bounding_box
from DeepSegmentLib.errors import InvalidInputError

SPACE = 20  # voxels painted by boxes lie in an array of this extent, shifted so that no index is negative
CORNER = (6, 6, 6)


def painted(box):
    """The voxels of a box as a boolean array."""
    array = np.zeros((SPACE, SPACE, SPACE), bool)
    array[box.shift(CORNER).to_slices()] = True
    return array


def all_indices(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)


class TestBox:
    @given(boxes())
    def test_size_counts_the_voxels(self, box):
        assert painted(box).sum() == box.size == np.prod(box.shape)

    @given(boxes(), boxes())
    def test_intersection_is_that_of_the_voxel_sets(self, a, b):
        assert np.array_equal(painted(a.intersect(b)), painted(a) & painted(b))
        assert a.intersect(b).size == b.intersect(a).size
        assert a.intersect(a) == a

    @given(boxes(), boxes())
    def test_contains_is_the_subset_of_the_voxel_sets(self, a, b):
        if b.size:
            assert a.contains(b) == bool((painted(a) >= painted(b)).all())
            assert a.contains(b) == (a.intersect(b) == b)

    @given(boxes(), shapes(4), st.tuples(*[st.integers(-9, 9)] * 3))
    def test_grow_and_shift_are_undone_by_their_opposites(self, box, margin, offset):
        assert box.grow(margin).contains(box)
        assert box.grow(margin).grow(as_index(np.negative(margin))) == box
        assert box.shift(offset).shape == box.shape
        assert box.shift(offset).shift(as_index(np.negative(offset))) == box

    @given(shapes())
    def test_of_shape_covers_an_array(self, shape):
        assert Box.of_shape(shape).shape == shape
        assert np.zeros(shape)[Box.of_shape(shape).to_slices()].shape == shape

    def test_numbers_become_plain_integers(self):
        box = Box(np.array([0, 1, 2]), np.array([3.0, 4.0, 5.0]))
        assert box == Box((0, 1, 2), (3, 4, 5))
        assert hash(box) == hash(Box((0, 1, 2), (3, 4, 5)))
        assert all(type(number) is int for number in box.start + box.stop)

    @pytest.mark.parametrize("stop", [(0, 1, 1), (1, 1, 0)])
    def test_refuses_an_end_before_the_start(self, stop):
        with pytest.raises(InvalidInputError, match="must not end before it starts"):
            Box((1, 1, 1), stop)

    @pytest.mark.parametrize("values", [(1, 2), (1, 2, 3, 4), (1, 2, 2.5)])
    def test_refuses_what_is_no_index(self, values):
        with pytest.raises(InvalidInputError, match="three whole numbers"):
            Box((0, 0, 0), values)


class TestBoundingBox:
    @given(masks())
    def test_is_the_smallest_box_around_all_voxels(self, mask):
        box = bounding_box(mask)
        assert mask[box.to_slices()].sum() == mask.sum()
        cut = mask[box.to_slices()]
        for axis in range(3):
            faces = np.moveaxis(cut, axis, 0)
            assert not mask.any() or (faces[0].any() and faces[-1].any())

    def test_is_empty_without_voxels(self):
        assert bounding_box(np.zeros((2, 3, 4), bool)).size == 0


class TestPlaces:
    @given(geometries())
    def test_index_to_ras_to_index_is_the_identity(self, geometry):
        index = all_indices(geometry.shape)
        assert np.allclose(geometry.ras_to_index(geometry.index_to_ras(index)), index, atol=1e-6)

    @given(geometries(), st.tuples(*[st.floats(-300, 300)] * 3))
    def test_ras_to_index_to_ras_is_the_identity(self, geometry, point):
        assert np.allclose(geometry.index_to_ras(geometry.ras_to_index(point)), point, atol=1e-6)

    @given(geometries())
    def test_any_leading_shape_is_kept(self, geometry):
        for shape in [(3,), (0, 3), (2, 5, 3)]:
            assert geometry.index_to_ras(np.ones(shape)).shape == shape
            assert geometry.ras_to_index(np.ones(shape)).shape == shape

    @given(geometries())
    def test_neighbours_are_a_spacing_apart(self, geometry):
        origin = geometry.index_to_ras((0, 0, 0))
        steps = [np.linalg.norm(geometry.index_to_ras(unit) - origin) for unit in np.eye(3)]
        assert np.allclose(steps, geometry.spacing_mm)
        assert geometry.voxel_volume_mm3 == pytest.approx(np.prod(geometry.spacing_mm))

    @given(shapes(), spacings())
    def test_from_spacing_runs_along_the_patient_axes(self, shape, spacing):
        geometry = Geometry.from_spacing(shape, spacing)
        assert np.allclose(geometry.spacing_mm, spacing)
        assert geometry.orientation == "RAS"
        assert geometry.obliquity_degrees == 0
        assert np.allclose(geometry.index_to_ras((1, 2, 3)), (3 * spacing[2], 2 * spacing[1], spacing[0]))

    def test_obliquity_is_the_angle_of_the_rotation(self):
        angle = np.radians(19)
        turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        grid = Geometry.from_itk((3, 3, 3), spacing=(1, 2, 3), origin=(0, 0, 0), direction=turned)
        assert grid.obliquity_degrees == pytest.approx(19)

    @given(geometries())
    def test_is_close_sees_shape_and_place(self, geometry):
        moved = geometry.affine.copy()
        moved[1, 3] += 0.01
        taller = (geometry.shape[0] + 1, *geometry.shape[1:])
        assert geometry.is_close(Geometry(geometry.shape, geometry.affine))
        assert not geometry.is_close(Geometry(geometry.shape, moved))
        assert geometry.is_close(Geometry(geometry.shape, moved), tolerance_mm=0.011)
        assert not geometry.is_close(Geometry(taller, geometry.affine))

    def test_the_affine_cannot_be_changed(self):
        given_affine = np.eye(4)
        geometry = Geometry((1, 1, 1), given_affine)
        given_affine[0, 0] = 9
        assert geometry.affine[0, 0] == 1
        with pytest.raises(ValueError, match="read-only"):
            geometry.affine[0, 0] = 2


class TestRefusals:
    @pytest.mark.parametrize("shape", [(0, 1, 1), (1, -1, 1)])
    def test_empty_shape(self, shape):
        with pytest.raises(InvalidInputError, match="at least 1 along each axis"):
            Geometry(shape, np.eye(4))

    @pytest.mark.parametrize("affine", [np.eye(3), np.full((4, 4), np.nan), np.diag([1, 1, np.inf, 1])])
    def test_no_finite_matrix(self, affine):
        with pytest.raises(InvalidInputError, match="finite 4x4 matrix"):
            Geometry((1, 1, 1), affine)

    def test_perspective_row(self):
        affine = np.eye(4)
        affine[3, 0] = 1
        with pytest.raises(InvalidInputError, match="last row"):
            Geometry((1, 1, 1), affine)

    @pytest.mark.parametrize("axes", [np.diag([1, 1, 0]), np.ones((3, 3)), np.diag([0, 0, 0])])
    def test_dependent_axes(self, axes):
        affine = np.eye(4)
        affine[:3, :3] = axes
        with pytest.raises(InvalidInputError, match="three independent axes"):
            Geometry((1, 1, 1), affine)

    @pytest.mark.parametrize("spacing", [(1, 1), (1, 0, 1), (1, -1, 1), (1, 1, np.nan), (1, 1, np.inf)])
    def test_spacing(self, spacing):
        grid = Geometry((2, 2, 2), np.eye(4))
        with pytest.raises(InvalidInputError, match="three lengths above 0 mm"):
            grid.resampled(spacing)
        with pytest.raises(InvalidInputError, match="three lengths above 0 mm"):
            Geometry.from_spacing((2, 2, 2), spacing)
        with pytest.raises(InvalidInputError, match="three lengths above 0 mm"):
            Geometry.from_itk((2, 2, 2), spacing=spacing, origin=(0, 0, 0), direction=np.eye(3))

    @pytest.mark.parametrize("orientation", ["RA", "RASI", "RRS", "RLS", "ras", ""])
    def test_orientation(self, orientation):
        with pytest.raises(InvalidInputError, match="must name one of R/L, A/P and S/I each"):
            Geometry((1, 1, 1), np.eye(4)).oriented(orientation)

    @given(geometries())
    def test_crop_to_nothing(self, geometry):
        with pytest.raises(InvalidInputError, match="at least 1 along each axis"):
            geometry.crop(Box((0, 0, 0), (0, 1, 1)))


class TestCrop:
    @given(geometries(), boxes())
    def test_every_voxel_keeps_its_place(self, geometry, box):
        assume(box.size)
        part = geometry.crop(box)
        index = all_indices(box.shape)
        assert np.allclose(part.index_to_ras(index), geometry.index_to_ras(index + box.start))
        assert part.spacing_mm == pytest.approx(geometry.spacing_mm)
        assert part.orientation == geometry.orientation

    @given(geometries(), boxes(), st.data())
    def test_crop_of_a_crop_is_one_crop(self, geometry, box, data):
        assume(box.size)
        inner = data.draw(boxes())
        assume(inner.size)
        assert geometry.crop(box).crop(inner).is_close(geometry.crop(inner.shift(box.start)))

    @given(geometries())
    def test_crop_to_everything_is_the_identity(self, geometry):
        assert geometry.crop(Box.of_shape(geometry.shape)).is_close(geometry)


class TestResampled:
    @given(geometries(), spacings())
    def test_centre_spacing_and_direction(self, geometry, spacing):
        grid = geometry.resampled(spacing)
        centres = [g.index_to_ras((np.array(g.shape) - 1) / 2) for g in (geometry, grid)]
        assert np.allclose(*centres, atol=1e-6)
        assert np.allclose(grid.spacing_mm, spacing)
        assert np.allclose(grid.direction, geometry.direction)

    @given(geometries(), spacings())
    def test_borders_move_by_half_a_voxel_at_most(self, geometry, spacing):
        grid = geometry.resampled(spacing)
        old, new = (np.array(g.shape) * g.spacing_mm for g in (geometry, grid))
        assert (np.abs(old - new) / 2 <= np.array(spacing) / 2 + 1e-9).all()

    @given(geometries())
    def test_own_spacing_is_the_identity(self, geometry):
        assert geometry.resampled(geometry.spacing_mm).is_close(geometry, tolerance_mm=1e-6)

    @given(geometries(), st.integers(1, 4))
    def test_a_whole_division_is_undone(self, geometry, parts):
        finer = geometry.resampled(np.array(geometry.spacing_mm) / parts)
        assert finer.shape == tuple(n * parts for n in geometry.shape)
        assert finer.resampled(geometry.spacing_mm).is_close(geometry, tolerance_mm=1e-6)


class TestOriented:
    @given(geometries(), orientations())
    def test_points_as_asked(self, geometry, orientation):
        assert geometry.oriented(orientation)[0].orientation == orientation

    @given(geometries(), orientations())
    def test_no_voxel_moves(self, geometry, orientation):
        turned, order, flips = geometry.oriented(orientation)
        index = all_indices(geometry.shape).reshape(*geometry.shape, 3).transpose(*order, 3)
        index = np.flip(index, tuple(axis for axis, flip in enumerate(flips) if flip))
        assert index.shape[:3] == turned.shape
        assert np.allclose(
            turned.index_to_ras(all_indices(turned.shape)), geometry.index_to_ras(index.reshape(-1, 3)), atol=1e-6
        )

    @given(geometries(), orientations())
    def test_twice_is_once_and_back_is_back(self, geometry, orientation):
        turned = geometry.oriented(orientation)[0]
        again, order, flips = turned.oriented(orientation)
        assert again.is_close(turned)
        assert (order, flips) == ((0, 1, 2), (False, False, False))
        assert turned.oriented(geometry.orientation)[0].is_close(geometry)


def leaning(*columns):
    """A grid with these axes (k, j, i), scaled to 1 mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns, float).T / np.linalg.norm(columns, axis=1)
    return Geometry((2, 3, 4), affine)


@given(orientations())
@pytest.mark.parametrize(
    "grid",
    [leaning((1, -2, 2), (2, -1, -2), (2, 2, 1)), leaning((0, 0, 1), (1, 1, 0), (1, -1, 0))],
    ids=["all axes tied", "45 degrees"],
)
def test_grids_between_two_axes_point_as_asked(grid, orientation):
    turned = grid.oriented(orientation)[0]
    assert turned.orientation == orientation
    assert turned.oriented(grid.orientation)[0].is_close(grid, tolerance_mm=1e-9)


def clear_geometries():
    """Grids whose axes are each nearest to one patient axis; between two of them any choice is right."""
    return geometries().filter(lambda grid: np.abs(grid.direction).max(axis=0).min() > np.cos(np.radians(44)))


def itk_image(geometry):
    image = sitk.Image([int(n) for n in reversed(geometry.shape)], sitk.sitkUInt8)
    spacing, origin, direction = geometry.to_itk()
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


class TestItk:
    @given(geometries())
    def test_to_itk_and_back_is_the_identity(self, geometry):
        spacing, origin, direction = geometry.to_itk()
        back = Geometry.from_itk(geometry.shape, spacing=spacing, origin=origin, direction=direction)
        assert back.is_close(geometry, tolerance_mm=1e-6)
        matrix = np.reshape(direction, (3, 3))
        assert np.allclose(matrix.T @ matrix, np.eye(3))

    @given(geometries())
    def test_places_agree_with_simpleitk(self, geometry):
        image = itk_image(geometry)
        for corner in itertools.product(*[(0, n - 1) for n in geometry.shape]):
            lps = image.TransformIndexToPhysicalPoint(tuple(int(n) for n in reversed(corner)))
            assert np.allclose(geometry.index_to_ras(corner), (-lps[0], -lps[1], lps[2]), atol=1e-6)

    @given(geometries(), st.tuples(*[st.floats(-20, 20)] * 3))
    def test_fractional_places_agree_with_simpleitk(self, geometry, index):
        lps = itk_image(geometry).TransformContinuousIndexToPhysicalPoint(tuple(reversed(index)))
        assert np.allclose(geometry.index_to_ras(index), (-lps[0], -lps[1], lps[2]), atol=1e-6)

    @given(clear_geometries())
    def test_orientation_agrees_with_simpleitk(self, geometry):
        # Both name the patient direction that an axis points to: ITK's identity direction is "LPS" in both.
        direction = itk_image(geometry).GetDirection()
        assert geometry.orientation == sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction)

    @given(clear_geometries(), orientations())
    def test_oriented_grid_agrees_with_simpleitk(self, geometry, orientation):
        turned = sitk.DICOMOrient(itk_image(geometry), orientation)
        theirs = Geometry.from_itk(
            turned.GetSize()[::-1],
            spacing=turned.GetSpacing(),
            origin=turned.GetOrigin(),
            direction=turned.GetDirection(),
        )
        assert geometry.oriented(orientation)[0].is_close(theirs, tolerance_mm=1e-6)


class TestRealGrids:
    @pytest.mark.parametrize("name", ["flair_oblique19deg", "CT_pitch"])
    def test_oblique_scans_agree_with_simpleitk(self, shared_data, name):
        (path,) = (shared_data / "geometry").glob(f"{name}*.nii.gz")
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        shape = reader.GetSize()[:3][::-1]
        direction = np.reshape(reader.GetDirection(), (reader.GetDimension(),) * 2)[:3, :3]
        geometry = Geometry.from_itk(
            shape, spacing=reader.GetSpacing()[:3], origin=reader.GetOrigin()[:3], direction=direction
        )
        code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction.ravel().tolist())
        assert geometry.orientation == code
        assert 10 < geometry.obliquity_degrees < 25
