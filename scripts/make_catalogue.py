"""Write `Resources/Catalogue`: the models that others publish, read from their own files.

    python scripts/make_catalogue.py --totalsegmentator SITE_PACKAGES/totalsegmentator 2.18.0
    python scripts/make_catalogue.py --auto3dseg CHECKOUT_OF_SlicerMONAIAuto3DSeg COMMIT
    python scripts/make_catalogue.py --monai-zoo CHECKOUT_OF_model-zoo COMMIT

TotalSegmentator's tables also tell how its tasks are to be run; they go beside its importer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from catalogue.auto3dseg import read_auto3dseg
from catalogue.monai_zoo import read_monai_zoo
from catalogue.totalsegmentator import read_totalsegmentator

from DeepSegmentLib.data.dataclass_json import to_json
from DeepSegmentLib.files.atomic import write_text

REPOSITORY = Path(__file__).resolve().parents[1]
_LISTS = REPOSITORY / "Resources" / "Catalogue"
_TASKS = REPOSITORY / "DeepSegmentLib" / "files" / "models" / "importers" / "totalsegmentator" / "tasks.json"


def main() -> None:
    """Read and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for source in ("totalsegmentator", "auto3dseg", "monai-zoo"):
        parser.add_argument(f"--{source}", nargs=2, metavar=("FOLDER", "VERSION"))
    options = parser.parse_args()
    if options.totalsegmentator:
        models, tasks = read_totalsegmentator(*_source(options.totalsegmentator))
        _write(_LISTS / "totalsegmentator.json", models)
        _write(_TASKS, tasks)
    if options.auto3dseg:
        _write(_LISTS / "auto3dseg.json", read_auto3dseg(*_source(options.auto3dseg)))
    if options.monai_zoo:
        _write(_LISTS / "monai-zoo.json", read_monai_zoo(*_source(options.monai_zoo)))


def _source(words: list[str]) -> tuple[Path, str]:
    return Path(words[0]), words[1]


def _write(file: Path, document: Any) -> None:
    write_text(file, json.dumps(to_json(document), indent=1, ensure_ascii=False) + "\n")
    print(file.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
