"""Print a table of inputs that are refused, each with its message.

python Testing/list_bad_inputs.py > docs/bad-inputs.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bad_inputs import EXPORTS, LABELMAPS, VOLUMES

from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.service.export import export_case


def main() -> None:
    """Make each bad input, use it, and print what is said."""
    print("# What is refused\n\nMade by `python Testing/list_bad_inputs.py`.\n")
    print("| input | message |\n|---|---|")
    for table, use in ((VOLUMES, _volume), (LABELMAPS, _labelmap), (EXPORTS, _export)):
        for name, (make, *_) in table.items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    use(make(Path(folder)), Path(folder))
                except DeepSegmentError as error:
                    message = str(error).replace(folder + "/", "").replace("|", "\\|")
                    print(f"| {name} | {message} |")
                else:
                    sys.exit(f"{name} was not refused")


def _volume(path, _):
    read_volume(path)


def _labelmap(path, _):
    read_labelmap(path)


def _export(case, folder):
    what, target, settings = case
    export_case(what, folder / target, settings)


if __name__ == "__main__":
    main()
