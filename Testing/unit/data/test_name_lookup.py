"""Names that were typed: found whatever their capitals, several at once, refused with a suggestion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data.name_lookup import known_name, known_names
from DeepSegmentLib.errors import InvalidInputError

ORGANS = ("Left kidney", "Right kidney", "Liver", "Brain stem, dorsal")


def test_capitals_dashes_and_underscores_do_not_count():
    for typed in ("Left kidney", "left kidney", "LEFT_KIDNEY", "left-kidney", " left  kidney "):
        assert known_name(typed, ORGANS, "no segment") == "Left kidney"


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.data())
def test_every_name_is_found_as_it_is(names, data):
    name = data.draw(st.sampled_from(names))
    assert known_name(name, names, "no") == name


@given(st.lists(st.sampled_from(ORGANS), min_size=1))
def test_several_come_in_the_order_of_those_known_however_they_are_given(wanted):
    expected = tuple(name for name in ORGANS if name in wanted)
    assert known_names(wanted, ORGANS, "no") == expected
    no_commas = [name for name in wanted if "," not in name]
    if no_commas:
        assert known_names([" , ".join(no_commas).upper()], ORGANS, "no") == tuple(n for n in ORGANS if n in no_commas)


def test_all_is_everything_unless_a_name_is_so():
    assert known_names(["ALL"], ORGANS, "no") == ORGANS
    assert known_names(["all"], ("All", "Rest"), "no") == ("All",)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("kidny left", "no segment 'kidny left'"),
        ("livr", "did you mean 'Liver'.*it has: Left kidney, Right"),
        ("Liver,lft kidney", "no segment 'lft kidney'; did you mean 'Left kidney'"),
        ("", "no segment is named"),
        (" , ", "no segment is named"),
    ],
)
def test_others_are_refused(typed, told):
    with pytest.raises(InvalidInputError, match=told):
        known_names([typed], ORGANS, "no segment")


def test_names_that_differ_in_capitals_must_be_exact():
    assert known_name("liver", ("Liver", "liver"), "no") == "liver"
    with pytest.raises(InvalidInputError, match="may be 'Liver' or 'liver'"):
        known_name("LIVER", ("Liver", "liver"), "no")
