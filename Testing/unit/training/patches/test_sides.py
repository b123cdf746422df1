"""Which segments are mirror images: in any spelling and order, and never by a guess."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Code, Segment, Terminology
from DeepSegmentLib.training.patches.sides import SidePairs, side_pairs

REPOSITORY = Path(__file__).resolve().parents[4]
STEMS = ("kidney", "parotid gland", "lateral ventricle", "rib 7", "adrenal_gland", "lung", "temporal lobe", "eye")
SPELLINGS = (
    ("Left {}", "Right {}"),
    ("{} left", "{} right"),
    ("{}_left", "{}_right"),
    ("LEFT-{}", "RIGHT-{}"),
    ("l_{}", "r_{}"),
    ("lh-{}", "rh-{}"),
    ("{}_L", "{}_R"),
    ("{}.Lt", "{}.Rt"),
    ("{}, left", "{}, right"),
    ("{} (left)", "{} (right)"),
    ("left{}", "right{}"),
    ("{} links", "{} rechts"),
)
UNSIDED = (
    "Liver", "Spleen", "vertebrae_L1", "vertebrae_L5", "Larynx", "Tail", "Bright spot", "upright", "Brainstem", "GTVp",
    "CTV1", "Level III", "R2-lesion", "Both kidneys, left and right",
)  # fmt: skip


def _named(*names):
    return [Segment(name, n + 1) for n, name in enumerate(names)]


@given(
    stem=st.sampled_from(STEMS), left=st.sampled_from(SPELLINGS), right=st.sampled_from(SPELLINGS),
    others=st.lists(st.sampled_from(UNSIDED), unique=True, max_size=4), data=st.data(),
)  # fmt: skip
def test_pairs_are_found_in_any_spelling_and_order(stem, left, right, others, data):
    one, other = left[0].format(stem), right[1].format(stem)
    names = data.draw(st.permutations([one, other, *others]))
    assert side_pairs(_named(*names)) == SidePairs(((names.index(one), names.index(other)),), ())


@given(stem=st.sampled_from(STEMS), spelling=st.sampled_from(SPELLINGS), side=st.sampled_from([0, 1]))
def test_a_segment_whose_partner_is_missing_forbids_mirroring(stem, spelling, side):
    name = spelling[side].format(stem)
    found = side_pairs(_named("Liver", name, "Left humerus", "Right humerus"))
    assert found.alone == (name,)
    assert found.pairs == ((2, 3),)
    assert not found.can_be_mirrored


@given(names=st.lists(st.sampled_from(UNSIDED), unique=True))
def test_segments_without_sides_may_be_mirrored(names):
    found = side_pairs(_named(*names))
    assert found == SidePairs((), ())
    assert found.can_be_mirrored
    assert not found.has_sides


@pytest.mark.parametrize(
    "names",
    [
        ("LV", "RV", "Myocardium"),
        ("heart_atrium_left", "heart_atrium_right"),
        ("Left ventricle", "Right ventricle"),
        ("LV wall", "RV wall"),
        ("Left lobe of liver", "Right lobe of liver"),
        ("lung_upper_lobe_left", "lung_upper_lobe_right"),
        ("Left colon", "Right colon"),
    ],
)
def test_what_is_built_otherwise_at_the_other_side_is_no_mirror_image(names):
    found = side_pairs(_named(*names))
    assert found.pairs == ()
    assert not found.can_be_mirrored


def test_two_of_one_side_are_no_pair():
    found = side_pairs(_named("Left kidney", "kidney_left", "Right kidney"))
    assert found.pairs == ()
    assert len(found.alone) == 3


def test_camel_case_and_numbers_part_words():
    assert side_pairs(_named("LeftKidney", "KidneyRight")).pairs == ((0, 1),)
    assert side_pairs(_named("LPulvinar", "RPulvinar")).pairs == ((0, 1),)
    assert side_pairs(_named("Rib7L", "Rib8L", "Rib8R", "Rib7R")).pairs == ((0, 3), (1, 2))


def test_sides_alone_are_a_pair():
    assert side_pairs(_named("right", "left")).pairs == ((1, 0),)


def _coded(name, value, side):
    modifiers = {"left": Code("SCT", "7771000", "Left"), "right": Code("SCT", "24028007", "Right")}
    modifiers["old left"] = Code("SRT", "G-A101", "Left")
    kidney = Terminology(Code("SCT", "123037004", "Structure"), Code("SCT", "64033007", "Kidney"), modifiers.get(side))
    return Segment(name, value, terminology=kidney)


def test_modifiers_of_the_terminology_tell_sides():
    assert side_pairs([_coded("Kidney", 1, "right"), _coded("kidney", 2, "left")]).pairs == ((1, 0),)
    assert side_pairs([_coded("Kidney", 1, "right"), _coded("Left kidney", 2, None)]).pairs == ((1, 0),)
    assert side_pairs([_coded("Kidney", 1, "old left"), Segment("Kidney R", 2)]).pairs == ((0, 1),)


def test_a_name_and_a_code_that_contradict_each_other_are_no_pair():
    found = side_pairs([_coded("Left kidney", 1, "right"), _coded("Right kidney", 2, "right")])
    assert found.pairs == ()
    assert found.alone == ("Left kidney", "Right kidney")


def _known_classes():
    """The classes of each task of TotalSegmentator."""
    path = REPOSITORY / "DeepSegmentLib" / "files" / "models" / "importers" / "totalsegmentator" / "tasks.json"
    return {task["task"]: task["classes"] for task in json.loads(path.read_text())["tasks"]}


@pytest.mark.parametrize("task", _known_classes())
def test_of_known_models_each_name_with_a_side_is_in_a_pair_or_alone(task):
    names = _known_classes()[task]
    found = side_pairs(_named(*names))
    for left, right in found.pairs:
        assert names[left].replace("left", "right") == names[right] != names[left]
    sided = {name for name in names if "left" in name or "right" in name}
    assert sided == {names[n] for pair in found.pairs for n in pair} | {*found.alone}


def test_of_the_largest_known_model_only_lobes_and_the_heart_are_alone():
    names = _known_classes()["total"]
    alone = set(side_pairs(_named(*names)).alone)
    assert alone == {name for name in names if "lobe" in name or "appendage" in name}
    assert len(alone) == 6


def test_of_head_and_neck_all_have_partners():
    names = ("Brainstem", "Spinal cord", "Right parotid gland", "Left parotid gland", "Larynx", "Mandible")
    assert side_pairs(_named(*names)) == SidePairs(((3, 2),), ())
