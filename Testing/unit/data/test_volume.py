"""Laws of `Volume`: voxels keep their value and their place."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import inner_boxes, orientations, volumes

from DeepSegmentLib.data import Box, Geometry, Volume
from DeepSegmentLib.errors import InvalidInputError


def values_at(volume, geometry):
    """The intensities (channel, n) at the voxels of another grid, which must be voxels of the volume too."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1).reshape(-1, 3)
    old = volume.geometry.ras_to_index(geometry.index_to_ras(index))
    assert np.allclose(old, np.round(old), atol=1e-5)
    k, j, i = np.round(old).astype(int).T
    return volume.voxels[:, k, j, i]


class TestVolume:
    @given(volumes(), orientations())
    def test_oriented_keeps_each_value_at_its_place(self, volume, orientation):
        turned = volume.oriented(orientation)
        assert np.array_equal(turned.voxels.reshape(volume.channels, -1), values_at(volume, turned.geometry))
        assert turned.geometry.orientation == orientation
        assert turned.name == volume.name

    @given(volumes(), orientations())
    def test_oriented_twice_is_once_and_back_is_back(self, volume, orientation):
        turned = volume.oriented(orientation)
        assert np.array_equal(turned.oriented(orientation).voxels, turned.voxels)
        back = turned.oriented(volume.geometry.orientation)
        assert np.array_equal(back.voxels, volume.voxels)
        assert back.geometry.is_close(volume.geometry)

    @given(volumes(most_channels=1), orientations())
    def test_oriented_agrees_with_simpleitk(self, volume, orientation):
        assume(np.abs(volume.geometry.direction).max(axis=0).min() > np.cos(np.radians(44)))  # else any choice is right
        image = sitk.GetImageFromArray(volume.voxels[0])
        spacing, origin, direction = volume.geometry.to_itk()
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(direction)
        theirs = sitk.GetArrayFromImage(sitk.DICOMOrient(image, orientation))
        assert np.array_equal(volume.oriented(orientation).voxels[0], theirs)

    @given(st.data())
    def test_crop_keeps_each_value_at_its_place(self, data):
        volume = data.draw(volumes())
        box = data.draw(inner_boxes(volume.geometry.shape))
        part = volume.crop(box)
        assert part.geometry.is_close(volume.geometry.crop(box))
        assert np.array_equal(part.voxels.reshape(volume.channels, -1), values_at(volume, part.geometry))

    @given(st.data())
    def test_crop_and_turn_commute(self, data):
        volume = data.draw(volumes())
        box = data.draw(inner_boxes(volume.geometry.shape))
        orientation = data.draw(orientations())
        turned = volume.oriented(orientation)
        ends = np.array([box.start, np.array(box.stop) - 1])
        ends = np.round(turned.geometry.ras_to_index(volume.geometry.index_to_ras(ends)))
        turned_box = Box(ends.min(axis=0), ends.max(axis=0) + 1)
        assert np.array_equal(volume.crop(box).oriented(orientation).voxels, turned.crop(turned_box).voxels)

    def test_voxels_cannot_be_changed(self):
        array = np.zeros((1, 2, 2, 2))
        volume = Volume(array, Geometry((2, 2, 2), np.eye(4)))
        for view in (volume, volume.oriented("LPS"), volume.crop(Box((0, 0, 0), (1, 1, 1)))):
            with pytest.raises(ValueError, match="read-only"):
                view.voxels[0, 0, 0, 0] = 1
        assert array.flags.writeable

    def test_orienting_copies_nothing(self):
        volume = Volume(np.zeros((2, 3, 4, 5)), Geometry((3, 4, 5), np.eye(4)))
        assert np.shares_memory(volume.oriented("SPL").voxels, volume.voxels)


class TestRefusals:
    grid = Geometry((2, 3, 4), np.eye(4))

    @pytest.mark.parametrize("shape", [(2, 3, 4), (1, 4, 3, 2), (0, 2, 3, 4), (1, 2, 3, 4, 1)])
    def test_shape(self, shape):
        with pytest.raises(InvalidInputError, match=r"must have shape \(channel, 2, 3, 4\)"):
            Volume(np.zeros(shape), self.grid)

    @pytest.mark.parametrize("dtype", [bool, complex, object])
    def test_type(self, dtype):
        with pytest.raises(InvalidInputError, match="must be integers or floats"):
            Volume(np.zeros((1, 2, 3, 4), dtype), self.grid)

    @pytest.mark.parametrize(
        "box", [Box((-1, 0, 0), (1, 1, 1)), Box((0, 0, -2), (1, 1, -1)), Box((0, 0, 0), (1, 1, 5))]
    )
    def test_crop_outside(self, box):
        with pytest.raises(InvalidInputError, match="reaches outside the volume"):
            Volume(np.zeros((1, 2, 3, 4)), self.grid).crop(box)


def test_notes_stay_with_a_volume():
    volume = Volume(np.zeros((1, 3, 4, 5)), Geometry.from_spacing((3, 4, 5), (1, 1, 1)), "head", ("straightened",))
    assert volume.crop(Box((0, 0, 0), (2, 2, 2))).notes == volume.oriented("LPS").notes == ("straightened",)
