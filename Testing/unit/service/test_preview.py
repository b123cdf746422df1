"""The picture shows the right side on the left, whatever the storage order."""

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.service.preview import draw_preview

RED = (255, 0, 0)
GRID = Geometry.from_spacing((20, 24, 22), (2, 1, 1.5))


def _pictures_of(box, orientation="RAS", layers=1):
    voxels = np.full(GRID.shape, 100, np.int16)
    voxels[2:-2, 2:-2, 2:-2] = 120
    labels = np.zeros((layers, *GRID.shape), np.uint8)
    labels[(layers - 1, *box)] = 3
    label_map = LabelMap(labels, GRID, (Segment("right", 3, RED, layer=layers - 1),))
    geometry, _, _ = GRID.oriented(orientation)
    turned = LabelMap(GRID.view(label_map.layers, orientation), geometry, label_map.segments)
    return np.asarray(draw_preview(Volume(voxels[None], GRID).oriented(orientation), turned, title="a title"))


def _reddish(picture):
    height = picture.shape[0] - 24 - 24  # without the legend
    red, green = picture[36:height, :, 0].astype(int), picture[36:height, :, 1].astype(int)
    return np.argwhere(red - green > 60)


def test_the_patients_right_is_on_the_left_and_front_and_head_are_up():
    box = (slice(14, 18), slice(16, 22), slice(15, 20))  # upper, front, right
    axial = _reddish(_pictures_of(box))
    axial = axial[axial[:, 1] < 300]  # inside the first panel
    assert len(axial)
    assert axial[:, 1].mean() < 250
    assert axial[:, 0].mean() < 250


@pytest.mark.parametrize("orientation", ["LPI", "ASR", "IRP"])
def test_the_storage_order_does_not_matter(orientation):
    box = (slice(5, 9), slice(3, 8), slice(4, 9))
    assert np.array_equal(_pictures_of(box), _pictures_of(box, orientation))


def test_segments_of_every_layer_are_drawn():
    box = (slice(5, 9), slice(3, 8), slice(4, 9))
    assert np.array_equal(_pictures_of(box), _pictures_of(box, layers=2))


def test_without_any_segment_there_is_still_a_picture():
    nothing = (slice(0, 0), slice(0, 0), slice(0, 0))
    picture = _pictures_of(nothing)
    assert picture.ndim == 3
    assert len(_reddish(picture)) == 0


def test_a_constant_volume_is_drawn():
    volume = Volume(np.zeros((1, *GRID.shape), np.float32), GRID)
    labels = LabelMap(np.zeros((1, *GRID.shape), np.uint8), GRID)
    assert draw_preview(volume, labels, title="").width > 400
