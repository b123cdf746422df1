"""Where signs stand in a preview."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from DeepSegmentLib.hosts.mrml.slice_cuts import spots

pictures = npst.arrays(np.bool_, st.tuples(st.integers(0, 30), st.integers(0, 30)))


@settings(max_examples=60, deadline=None)
@given(pictures, st.integers(2, 12))
def test_signs_stand_inside_and_there_is_one_wherever_something_changes(picture, apart):
    places = spots(picture, apart)
    assert picture[places[:, 1], places[:, 0]].all()
    assert bool(len(places)) == bool(picture.any())
    if len(places) > 1:
        distances = np.abs(places[:, None] - places).max(axis=2)
        assert distances[~np.eye(len(places), dtype=bool)].min() >= apart
