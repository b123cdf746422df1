"""Laws of the places to review."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import geometries

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.segmentation.uncertain_places import most_uncertain_places


def _map(geometry, seed):
    return Volume(np.random.default_rng(seed).random((1, *geometry.shape), dtype=np.float32), geometry)


@given(geometries(), st.integers(0, 99), st.floats(1, 20))
def test_places_are_inside_apart_and_sorted(geometry, seed, distance_mm):
    places = most_uncertain_places(_map(geometry, seed), count=8, distance_mm=distance_mm)
    index = geometry.ras_to_index(places.points_ras)
    assert (index > -0.51).all()
    assert (index < np.asarray(geometry.shape) - 0.49).all()
    assert (np.diff(places.scores) <= 1e-6).all()


@given(st.integers(0, 99), st.floats(4, 20))
def test_places_keep_their_distance(seed, distance_mm):
    geometry = Geometry.from_spacing((20, 60, 60), (5.0, 1.0, 1.0))
    points = most_uncertain_places(_map(geometry, seed), count=30, distance_mm=distance_mm).points_ras
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(len(points))
    assert apart.min() >= distance_mm - 1e-6


def test_a_thick_zone_beats_a_thin_bright_shell():
    geometry = Geometry.from_spacing((60, 60, 60), (1, 1, 1))
    voxels = np.zeros((1, 60, 60, 60), np.float32)
    voxels[0, 10] = 1.0
    voxels[0, 38:50, 38:50, 38:50] = 0.7
    place = most_uncertain_places(Volume(voxels, geometry), count=1).points_ras[0]
    assert np.abs(geometry.ras_to_index(place) - 43.5).max() <= 2


def test_millimetres_count_and_not_voxels():
    geometry = Geometry.from_spacing((12, 80, 80), (6.5, 0.8, 0.8))
    voxels = np.zeros((1, 12, 80, 80), np.float32)
    voxels[0, 6, 30:46, 30:46] = 1.0
    place = most_uncertain_places(Volume(voxels, geometry), count=1).points_ras[0]
    assert np.abs(geometry.ras_to_index(place) - [6, 37.5, 37.5]).max() <= 2


def test_a_certain_map_has_no_places():
    geometry = Geometry.from_spacing((9, 9, 9), (1, 1, 1))
    places = most_uncertain_places(Volume(np.zeros((1, 9, 9, 9), np.float32), geometry))
    assert places.points_ras.shape == (0, 3)


def test_settings_out_of_range_are_refused():
    geometry = Geometry.from_spacing((3, 3, 3), (1, 1, 1))
    with pytest.raises(InvalidInputError, match="radius"):
        most_uncertain_places(_map(geometry, 0), radius_mm=0)
