"""What a project and its cases say of themselves: the same after JSON, and nothing that leads out of the project."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest
import strategies as own
from hypothesis import assume, given
from hypothesis import strategies as st
from model_examples import segment_tables

from DeepSegmentLib.data import Segment
from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.projects import (
    CaseRecord,
    DrawnSegment,
    Making,
    ProjectRecord,
    StatusChange,
    patient_hash,
)
from DeepSegmentLib.files.projects.records import FORMAT_VERSION, STATUSES, is_case_name
from DeepSegmentLib.networks.model_spec import Channel

KEY = "0123456789abcdef" * 4
PROJECT = ProjectRecord("p", "2026-01-01T00:00:00+00:00", KEY, (Channel("T1w", "MR"),))
CASE = CaseRecord(
    "case_0001",
    "2026-01-01T00:00:00+00:00",
    "0f" * 16,
    ("volume_0000.nii.gz",),
    "labels.1.seg.nrrd",
    (DrawnSegment("Cyst"),),
    (StatusChange("draft", "2026-01-01T00:00:00+00:00"),),
)

TEXTS = st.text(max_size=6)
WORDS = st.text(st.sampled_from("0123456789abcdef"), min_size=16, max_size=16)


@st.composite
def case_records(draw):
    """Records of all kinds."""
    revision = draw(st.integers(1, 999_999_999))
    names = draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True))
    boxes = st.lists(own.boxes(), max_size=2).map(tuple)
    count = st.integers(0, 1 << 40)
    return CaseRecord(
        f"case_{draw(st.integers(0, 999_999_999)):04d}",
        draw(TEXTS),
        draw(WORDS) + draw(WORDS),
        tuple(f"volume_{n:04d}.nii.gz" for n in range(draw(st.integers(1, 3)))),
        f"labels.{revision}.seg.nrrd",
        tuple(DrawnSegment(name, draw(boxes)) for name in names),
        tuple(draw(st.lists(st.builds(StatusChange, st.sampled_from(STATUSES), TEXTS, TEXTS), min_size=1, max_size=3))),
        revision,
        draw(st.just("") | WORDS),
        draw(st.none() | boxes),
        draw(st.builds(Making, TEXTS, TEXTS, TEXTS, count, count, st.floats(0, 1e6))),
        draw(st.just("") | st.just(f"journal.{revision}")),
        draw(TEXTS),
    )


def _through_json(kind, value):
    return from_json(kind, json.loads(json.dumps(to_json(value), allow_nan=False)), "file")


@given(case_records())
def test_a_case_is_the_same_after_json_and_its_last_status_counts(record):
    again = _through_json(CaseRecord, record)
    assert again == record
    assert again.status == record.history[-1].status


@given(segment_tables(), st.lists(TEXTS, min_size=1, max_size=3, unique=True), TEXTS)
def test_a_project_is_the_same_after_json(segments, channels, name):
    assume(len({segment.name.casefold() for segment in segments}) == len(segments))
    record = ProjectRecord(name, "now", KEY, tuple(Channel(each, "MR") for each in channels), segments)
    assert _through_json(ProjectRecord, record) == record


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_patients_get_the_hash_that_another_implementation_gives(patient):
    text = " ".join(patient.split()).casefold()
    expected = hmac.digest(bytes.fromhex(KEY), text.encode(), hashlib.sha256).hex()[:16] if text else ""
    assert patient_hash(PROJECT, patient) == expected


@given(st.text("caseCASE_0123456789/.\n" + chr(0x663), max_size=12) | st.from_regex(r"case_[0-9]{1,12}\n?"))
def test_names_of_cases_are_no_paths(name):
    digits = name.removeprefix("case_")
    expected = name.startswith("case_") and 4 <= len(digits) <= 9 and all(digit in "0123456789" for digit in digits)
    assert is_case_name(name) == expected


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "../case_0001"}, "name of a case"),
        ({"name": "case_" + 4 * chr(0x660)}, "name of a case"),  # a digit, and not of ASCII
        ({"volume_digest": "0F" * 16}, "volume_digest"),
        ({"labels": "labels.1.seg.nrrd/../x"}, "labels of a case"),
        ({"labels": "labels.1.seg.nrrd\n"}, "labels of a case"),
        ({"channels": ("volume_0000.nii.gz", "../x.nii.gz")}, "channel of a case"),
        ({"channels": ()}, "channels"),
        ({"patient": "Doe^John"}, "patient of a case"),
        ({"journal": "journal.1/.."}, "journal of a case"),
        ({"history": ()}, "a status"),
        ({"revision": 0}, "revision of 1"),
        ({"notes": "n" * 10_001}, "notes below 10000"),
        ({"drawn": ()}, "at least one drawn"),
        ({"drawn": (DrawnSegment("a"), DrawnSegment("a"))}, "each named once"),
        ({"format_version": FORMAT_VERSION + 1}, "update DeepSegment"),
    ],
)
def test_a_case_that_leads_elsewhere_or_says_too_little_is_refused(wrong, told):
    with pytest.raises(InvalidInputError, match=told):
        replace(CASE, **wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"key": KEY[1:]}, "64 hexadecimal"),
        ({"key": "x" * 64}, "64 hexadecimal"),
        ({"channels": ()}, "at least one channel"),
        ({"channels": (Channel("a", "MR"), Channel("a", "CT"))}, "name of its own"),
        ({"segments": (Segment("Liver", 1), Segment("liver", 2))}, "twice"),
        ({"format_version": 0}, "format 0"),
    ],
)
def test_a_project_that_cannot_be_is_refused(wrong, told):
    with pytest.raises(InvalidInputError, match=told):
        replace(PROJECT, **wrong)


def test_a_refused_key_is_not_told():
    with pytest.raises(InvalidInputError) as refusal:
        replace(PROJECT, key=KEY[:-1] + "x")
    assert KEY[:8] not in str(refusal.value)


@pytest.mark.parametrize("wrong", [{"corrections": -1}, {"prompts": -1}, {"minutes": -0.5}])
def test_work_is_not_negative(wrong):
    with pytest.raises(InvalidInputError, match="0 or more"):
        Making(**wrong)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("revision", True),
        ("revision", 1.0),
        ("history", [{"status": "finished", "when": ""}]),
        ("drawn", [{"name": "Cyst", "boxes": [[0, 0, 0]]}]),
        ("making", {"minutes": float("inf")}),
        ("making", {"minutes": "3"}),
        ("notes", "\ud800"),
        ("reviewed", {}),
    ],
)
def test_values_of_another_type_are_refused_by_the_name_of_their_key(key, value):
    with pytest.raises(ModelError, match=rf"file\.{key}"):
        from_json(CaseRecord, to_json(CASE) | {key: value}, "file")
