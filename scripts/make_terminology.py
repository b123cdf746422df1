"""Write the terminology file that Slicer loads: the structures of the bundled models, with codes and colours.

python scripts/make_terminology.py DeepSegment/Resources/SegmentationCategoryTypeModifier-DeepSegment.term.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.service.catalogue import list_models

if TYPE_CHECKING:
    from DeepSegmentLib.data import Code, Segment, Terminology

_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/segment-context-schema.json#"


def terminology() -> dict[str, Any]:
    """The file's content: a category for each that occurs, its types by name."""
    categories: dict[Code, dict[str, Any]] = {}
    for entry in list_models():
        for segment in read_spec(entry.path).segments if entry.bundled else ():
            if segment.terminology is not None:
                code = segment.terminology.category
                category = categories.setdefault(code, {**_code(code), "showAnatomy": "false", "Type": []})
                category["Type"].append(_type(segment, segment.terminology))
    for category in categories.values():
        category["Type"].sort(key=lambda kind: kind["CodeMeaning"])
    return {
        "SegmentationCategoryTypeContextName": "Segmentation category and type - DeepSegment",
        "@schema": _SCHEMA,
        "SegmentationCodes": {"Category": list(categories.values())},
    }


def _type(segment: Segment, terms: Terminology) -> dict[str, Any]:
    return {**_code(terms.type), "recommendedDisplayRGBValue": list(segment.color)}


def _code(code: Code) -> dict[str, Any]:
    return {"CodingSchemeDesignator": code.scheme, "CodeValue": code.value, "CodeMeaning": code.meaning}


if __name__ == "__main__":
    text = json.dumps(terminology(), indent=2, ensure_ascii=False)
    Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8", newline="\n")
