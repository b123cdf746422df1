"""The codes of bundled segments are codes of the DICOM standard for parts of the brain (pydicom's tables)."""

import json
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

RECIPE = Path(__file__).resolve().parents[2] / "Resources" / "Recipes" / "brain-mr.json"
SEGMENTS = json.loads(RECIPE.read_text(encoding="utf-8"))["model"]["segments"]


def _group(name):
    """Scheme and value of every code of a context group of DICOM PS3.16."""
    entries = (getattr(getattr(codes, name), keyword) for keyword in dir(getattr(codes, name)))
    return {(entry.scheme_designator, entry.value) for entry in entries if isinstance(entry, Code)}


# 7140: brain structures for volumetric measurement; 7153: segmentation types of the central nervous system.
BRAIN = _group("cid7140") | _group("cid7153")


@pytest.mark.parametrize("segment", SEGMENTS, ids=lambda segment: segment["name"])
def test_types_are_of_the_standard(segment):
    kind = segment["terminology"]["type"]
    assert (kind["scheme"], kind["value"]) in BRAIN


@pytest.mark.parametrize("segment", SEGMENTS, ids=lambda segment: segment["name"])
def test_the_category_is_slicers(segment):
    """Slicer's General Anatomy list has 123037004 where DICOM's context group 7150 now has 91723000."""
    assert segment["terminology"]["category"]["value"] == "123037004"
