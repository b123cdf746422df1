"""Terminology as 3D Slicer writes it in files and in the tags of segments.

context~category~type~modifier~anatomic context~region~region modifier, each code as scheme^value^meaning.

References:
    vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry; DICOM PS3.3 section 8 (coded concepts).
"""

from __future__ import annotations

import re

from DeepSegmentLib.data import Code, Terminology
from DeepSegmentLib.errors import InvalidInputError

SEPARATORS = re.compile(r"[~^|\r\n\0]")
"""Slicer's own in terminology entries and lists of tags."""

PROVENANCE_TAG = "DeepSegment."
"""Prefix of the segments' tags that hold provenance."""

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"


def to_entry(terminology: Terminology) -> str:
    """The text of a terminology.

    Raises:
        InvalidInputError: A code holds one of the separators.
    """
    codes = (terminology.category, terminology.type, terminology.modifier)
    return "~".join((_CONTEXT, *(_triplet(code) for code in codes), _ANATOMIC_CONTEXT, "^^", "^^"))


def from_entry(text: str) -> Terminology | None:
    """The terminology of a text; None where it names no category or no type."""
    parts = text.split("~")
    if len(parts) < 4:
        return None
    category, kind, modifier = (_code(part) for part in parts[1:4])
    return Terminology(category, kind, modifier) if category and kind else None


def _triplet(code: Code | None) -> str:
    parts = (code.scheme, code.value, code.meaning) if code else ("", "", "")
    for part in parts:
        if SEPARATORS.search(part):
            raise InvalidInputError(f"cannot hold the code {part!r}: ~ ^ | and line breaks are separators there")
    return "^".join(parts)


def _code(triplet: str) -> Code | None:
    parts = triplet.split("^")
    return Code(*parts) if len(parts) == 3 and any(parts) else None
