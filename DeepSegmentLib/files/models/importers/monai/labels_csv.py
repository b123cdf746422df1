"""The table `labels.csv` of SlicerMONAIAuto3DSeg's models: names and codes of label values.

References:
    lassoan/SlicerMONAIAuto3DSeg, UsingStandardTerminology.md.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Code, Terminology
from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_bytes
from DeepSegmentLib.files.safe_names import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LARGEST = 1 << 20
_MOST_DIGITS = 9
_CATEGORY = "SegmentedPropertyCategoryCodeSequence"
_TYPE = "SegmentedPropertyTypeCodeSequence"
_MODIFIER = "SegmentedPropertyTypeModifierCodeSequence"


@dataclass(frozen=True)
class Label:
    """A row.

    Attributes:
        name: What the user reads.
        terminology: Standard codes, if there are any.
    """

    name: str
    terminology: Terminology | None


def read_labels(path: Path) -> dict[int, Label]:
    """The labels by their value.

    Raises:
        ModelError: It is no such table.
    """
    try:
        text = read_bytes(path, largest=_LARGEST).decode("utf-8-sig")
        table = csv.DictReader(text.splitlines())
        rows = list(table)
    except (VolumeFileError, UnicodeDecodeError, csv.Error) as error:
        raise ModelError(f"{path} is no table that can be read: {error}") from error
    if not {"LabelValue", "Name"} <= {*(table.fieldnames or ())}:
        raise ModelError(f"{path} has no columns LabelValue and Name; mend it, or leave it out")
    labels = {}
    for row in rows:
        value, name = row.get("LabelValue") or "", plain((row.get("Name") or "").strip())[:100]
        if not value.strip().isdecimal() or len(value) > _MOST_DIGITS or not name:
            raise ModelError(f"{path}: each row needs a LabelValue and a Name, got {value[:40]!r} and {name!r}")
        labels[int(value)] = Label(name, _terminology(row))
    return labels


def _terminology(row: Mapping[str, str]) -> Terminology | None:
    category, kind, modifier = (_code(row, sequence) for sequence in (_CATEGORY, _TYPE, _MODIFIER))
    return Terminology(category, kind, modifier) if category and kind else None


def _code(row: Mapping[str, str], sequence: str) -> Code | None:
    columns = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
    scheme, value, meaning = (plain((row.get(f"{sequence}.{column}") or "").strip())[:200] for column in columns)
    return Code(scheme, value, meaning) if scheme and value and meaning else None
