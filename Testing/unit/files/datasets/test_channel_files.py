"""Files that are channels of one case, by their numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.datasets.channel_files import channel_case, channel_groups, further_channels

CASES = st.dictionaries(
    st.from_regex(r"[a-z][a-z_0-9]{0,5}[a-z]", fullmatch=True), st.sets(st.integers(0, 9999), min_size=1), min_size=1
)


@given(CASES)
def test_files_are_grouped_by_case_and_number(cases):
    names = [f"{case}_{n:04d}.nii.gz" for case, numbers in cases.items() for n in numbers]
    expected = {f"{case}.nii.gz": {n: f"{case}_{n:04d}.nii.gz" for n in sorted(cases[case])} for case in cases}
    groups = channel_groups([*names, "plain.nii.gz", "year_20.nii.gz", "notes_0000.txt"])
    assert groups == (expected if any(0 in numbers for numbers in cases.values()) else {})


def test_years_are_no_channels():
    assert channel_groups(["scan_2019.nii.gz", "scan_2020.nii.gz"]) == {}
    assert channel_case("scan_2019.nii.gz") is None


def test_one_case_in_two_formats_makes_two():
    assert len(channel_groups(["a_0000.nii.gz", "a_0000.nrrd"])) == 2


def test_further_channels_lie_beside_the_first(tmp_path):
    first = tmp_path / "a_0000.mha"
    assert further_channels(first, ["T1", "T2"]) == ()  # it may hold both
    for n in (1, 2):
        (tmp_path / f"a_000{n}.mha").touch()
    assert further_channels(first, ["T1"]) == ()
    assert further_channels(first, ["T1", "T2", "FLAIR"]) == (tmp_path / "a_0001.mha", tmp_path / "a_0002.mha")
    assert further_channels(tmp_path / "a_0001.mha", ["T1", "T2"]) == ()
    with pytest.raises(InvalidInputError, match=r"T1, T2, FLAIR, T1CE are needed.*no a_0003.mha"):
        further_channels(first, ["T1", "T2", "FLAIR", "T1CE"])
