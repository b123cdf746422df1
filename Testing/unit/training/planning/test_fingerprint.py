"""What cases are like: measured the same way however they are stored, and only where something was drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.cases.labelled_case import LabelledCase
from DeepSegmentLib.training.planning.fingerprint import fingerprint

SEGMENTS = (Segment("left", 1), Segment("right", 2))


def _case(affine=None, drawn=("left", "right"), margin=2):
    shape = (9, 10, 12)
    affine = np.diag([1.0, 1.0, 1.0, 1.0]) if affine is None else affine
    geometry = Geometry(shape, affine)
    voxels = np.zeros((1, *shape), np.float32)
    inner = (slice(None), *[slice(margin, n - margin) for n in shape])
    voxels[inner] = np.arange(voxels[inner].size).reshape(voxels[inner].shape) + 1
    labels = np.zeros((1, *shape), np.uint8)
    labels[0, 3:6, 3:7, 3:8], labels[0, 6, 3:7, 3:8] = 1, 2
    return LabelledCase("a", Volume(voxels, geometry), LabelMap(labels, geometry, SEGMENTS), dict.fromkeys(drawn, ()))


@settings(deadline=None)
@given(st.permutations([0, 1, 2]), st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3))
def test_turning_a_case_permutes_nothing_but_its_axes(axes, signs):
    steps = np.array([3.0, 2.0, 0.5])
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[axes] * (steps * signs)
    case = _case(affine)
    found = fingerprint([case])
    pairs = sorted(zip(found.shapes[0], found.spacings_mm[0], strict=True))
    assert pairs == sorted(zip((5, 6, 8), steps, strict=True))
    assert found.smallest_mm == {"left": 2.5, "right": 2.5}
    assert found.intensities == fingerprint([_case()]).intensities


def test_intensities_are_those_of_drawn_voxels():
    case = _case(drawn=("right",))
    values = case.volume.voxels[0][case.label_map.layers[0] == 2].astype(float)
    (found,) = fingerprint([case]).intensities
    expected = (*np.percentile(values, [0.5, 99.5]), values.mean(), values.std())
    assert (found.low, found.high, found.mean, found.std) == pytest.approx(expected)


def test_only_drawn_segments_are_counted():
    found = fingerprint([_case(), _case(drawn=("left",))])
    assert found.drawn == {"left": 2, "right": 1}


def test_no_case_is_refused():
    with pytest.raises(InvalidInputError, match="no case"):
        fingerprint([])
