"""The picture shows the right side on the left, whatever the storage order."""

import time

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.service.preview import draw_preview

RED = (255, 0, 0)
RIGHT = (Segment("right", 3, RED),)
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


def _picture(shape, spacing, labels=None, segments=RIGHT, title=""):
    grid = Geometry.from_spacing(shape, spacing)
    if labels is None:
        labels = np.zeros(shape, np.uint16)
        labels[tuple(slice(n // 4, n // 4 + max(1, n // 2)) for n in shape)] = 3
    voxels = np.random.default_rng(0).integers(0, 99, (1, *shape)).astype(np.int16)
    start = time.process_time()
    picture = draw_preview(Volume(voxels, grid), LabelMap(labels[None], grid, segments), title=title)
    return np.asarray(picture), time.process_time() - start


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((1, 200, 180), (1, 1, 1)),
        ((1, 1, 1), (1, 1, 1)),
        ((1, 1, 3000), (1, 1, 1)),
        ((3000, 1, 1), (1, 1, 1)),
        ((40, 40, 40), (1e4, 1, 1e-4)),
        ((40, 40, 40), (1e-6, 1, 1e6)),
    ],
)
def test_pictures_of_any_volume_fit_on_a_screen(shape, spacing):
    picture, seconds = _picture(shape, spacing)
    assert 500 < picture.shape[0] < 800
    assert 500 < picture.shape[1] < 3300
    assert seconds < 3


def test_slices_keep_their_proportions():
    labels = np.zeros((30, 40, 60), np.uint16)
    labels[...] = 3
    picture, _ = _picture(labels.shape, (4, 1, 1), labels)
    reddish = picture[36 : 36 + 520].astype(int)
    columns = np.flatnonzero((reddish[..., 0] - reddish[..., 1] > 30).any(axis=0))
    panels = np.split(columns, np.flatnonzero(np.diff(columns) > 4) + 1)
    widths = [panel[-1] - panel[0] + 1 for panel in panels]
    assert widths == pytest.approx([520 * 60 / 40, 520 * 60 / 120, 520 * 40 / 120], abs=4)


@pytest.mark.parametrize("count", [117, 60_000])
def test_many_segments_are_drawn_and_listed_within_bounds(count):
    side = int(np.ceil(np.sqrt(count)))
    labels = np.zeros((3, 2 * side, 2 * side), np.uint16)
    blocks = np.arange(1, side * side + 1).reshape(side, side)
    labels[:] = np.where(blocks <= count, blocks, 0).repeat(2, axis=0).repeat(2, axis=1)
    segments = tuple(Segment(f"segment {n}", n, (n % 256, 99, 0)) for n in range(1, count + 1))
    picture, seconds = _picture(labels.shape, (1, 1, 1), labels, segments)
    assert picture.shape[0] < 2000
    assert seconds < 20


def test_long_and_strange_words_are_cut_short():
    segments = (Segment("x" * 100_000 + "\n\x1b[31m", 3, RED),)
    picture, seconds = _picture((20, 20, 20), (1, 1, 1), None, segments, title="\n".join("y" * 50_000))
    assert picture.shape[0] < 700
    assert seconds < 3
