"""Old and new cases are mixed evenly, and the order is one of the iteration alone."""

import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.fine_tuning.replay import MixedOrder

ORDERS = st.builds(MixedOrder, st.integers(1, 6), st.integers(1, 6), st.floats(0, 1), st.integers(0, 99))


@given(ORDERS, st.integers(1, 80))
def test_the_share_is_kept_and_all_of_a_kind_come_equally_often(order, count):
    drawn = Counter(order(n) for n in range(count))
    olds = sum(times for case, times in drawn.items() if case >= order.new)
    assert abs(olds - count * order.share) <= 1
    for kind in (range(order.new), range(order.new, order.new + order.old)):
        times = [drawn[case] for case in kind]
        assert max(times) - min(times) <= 1
    assert [pickle.loads(pickle.dumps(order))(n) for n in range(5)] == [order(n) for n in range(5)]


@pytest.mark.parametrize(("new", "old", "share"), [(0, 0, 0.5), (-1, 2, 0.5), (1, 1, 1.5), (1, 1, float("nan"))])
def test_what_is_no_order_is_refused(new, old, share):
    with pytest.raises(InvalidInputError, match=r"order needs cases|share of old cases"):
        MixedOrder(new, old, share, 0)
