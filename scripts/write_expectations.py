"""Write what the segments of label maps are like into a model folder, as `deepsegment train-synthetic` does.

    python scripts/write_expectations.py RECIPE LABEL_MAPS MODEL_FOLDER

For a model that was trained before: its weights, and their checksum, stay as they are.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.models import SPEC_FILE, read_spec
from DeepSegmentLib.networks.model_json import spec_to_json
from DeepSegmentLib.service.training.train_synthetic import expectations_of, read_cases, read_recipe


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("label_maps", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    expectations = expectations_of(read_cases(options.label_maps, recipe), recipe)
    spec = replace(read_spec(options.folder), expectations=expectations)
    document = json.dumps(spec_to_json(spec), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(options.folder / SPEC_FILE, document + "\n")


if __name__ == "__main__":
    main()
