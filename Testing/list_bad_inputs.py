"""Print a table of inputs that are refused, each with its message.

python Testing/list_bad_inputs.py > docs/bad-inputs.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bad_inputs import LABELMAPS, VOLUMES

from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_volume


def main() -> None:
    """Make each bad input, read it, and print what is said."""
    print("# What is refused\n\nMade by `python Testing/list_bad_inputs.py`.\n")
    print("| input | message |\n|---|---|")
    for table, read in ((VOLUMES, read_volume), (LABELMAPS, read_labelmap)):
        for name, (make, *_) in table.items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    read(make(Path(folder)))
                except DeepSegmentError as error:
                    message = str(error).replace(folder + "/", "").replace("|", "\\|")
                    print(f"| {name} | {message} |")
                else:
                    sys.exit(f"{name} was not refused")


if __name__ == "__main__":
    main()
