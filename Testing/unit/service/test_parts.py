"""Parts of a folder: disjoint, complete, the same wherever they are worked."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.service.batch.parts import Part


@given(st.lists(st.text(), unique=True).map(sorted), st.integers(1, 12))
def test_parts_are_disjoint_and_complete_and_of_one_size(cases, count):
    parts = [Part.parse(f"{n}/{count}").of(cases) for n in range(1, count + 1)]
    assert sorted(case for part in parts for case in part) == cases
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == [Part(n, count).of(tuple(cases)) for n in range(1, count + 1)]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_no_two_parts_write_one_file(a, b, c, d):
    if a <= b and c <= d and (a, b) != (c, d):
        one, other = (part.own(Path("out/table.csv")) for part in (Part(a, b), Part(c, d)))
        assert one != other or b == d == 1


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/0", "-1/2", "1/2/3", "a/b", "1.5/2", "٢/٣", "1/9999999"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(InvalidInputError, match="part"):
        Part.parse(text)
