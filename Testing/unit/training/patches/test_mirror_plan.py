"""Which axis runs from left to right, and what is exchanged along it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import orientations

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.patches.mirror_plan import mirror_plan

SIDED = [Segment(name, n + 1) for n, name in enumerate(("Left eye", "Brain", "Right eye"))]


@given(orientation=orientations())
def test_the_axis_from_left_to_right_is_where_the_orientation_says(orientation):
    plan = mirror_plan(SIDED, orientation)
    kji = orientation[::-1]
    assert kji[plan.left_right] in "LR"
    assert plan.axes == (0, 1, 2)


@given(orientation=orientations())
def test_without_a_partner_only_the_other_axes_are_mirrored(orientation):
    plan = mirror_plan(SIDED[:2], orientation)
    assert {*plan.axes} == {0, 1, 2} - {plan.left_right}
    assert plan.exchange == (0, 1, 2)
    assert plan.has_sides


def test_channels_begin_with_the_background_for_labels_only():
    assert mirror_plan(SIDED, "RAS").exchange == (0, 3, 2, 1)
    assert mirror_plan(SIDED, "RAS", "regions").exchange == (2, 1, 0)


@given(names=st.permutations(["Left eye", "Right eye", "Left ear", "Right ear", "Brain"]))
def test_exchanging_twice_changes_nothing(names):
    exchange = mirror_plan([Segment(name, n + 1) for n, name in enumerate(names)], "LPS").exchange
    assert [exchange[channel] for channel in exchange] == list(range(6))


@pytest.mark.parametrize("orientation", ["", "ASI", "RL", "RLS", "RA"])
def test_an_orientation_without_sides_is_refused(orientation):
    with pytest.raises(InvalidInputError, match="orientation must name one of R/L"):
        mirror_plan(SIDED, orientation)
