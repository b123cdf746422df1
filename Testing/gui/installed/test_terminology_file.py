"""The terminology file of the extension is what the bundled models say."""

import json
import runpy
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_file_is_up_to_date():
    make = runpy.run_path(str(REPOSITORY / "scripts" / "make_terminology.py"))["terminology"]
    path = REPOSITORY / "DeepSegment" / "Resources" / "SegmentationCategoryTypeModifier-DeepSegment.term.json"
    assert json.loads(path.read_text(encoding="utf-8")) == make()
