"""Print tables of inputs that are refused, each with its message.

python Testing/list_bad_inputs.py > docs/bad-inputs.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bad_inputs import DOORS

from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.safe_names import plain


def main() -> None:
    """Make each bad input, use it, and print what is said."""
    count = sum(len(door.entries) for door in DOORS)
    print(f"# What is refused\n\n{count} inputs. Made by `python Testing/list_bad_inputs.py`.")
    for door in DOORS:
        print(f"\n## {door.name}\n\n| input | message |\n|---|---|")
        for name, (make, *_) in door.entries.items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    door.use(make(Path(folder)), Path(folder))
                except DeepSegmentError as error:
                    message = str(error).replace(folder + "/", "").replace(folder, ".")
                    print(f"| {_cell(name)} | {_cell(message)} |")
                else:
                    sys.exit(f"{name} was not refused")


def _cell(text: str) -> str:
    shown = plain(" ".join(text.split())).replace("|", "\\|").replace("*", "\\*")
    return shown.encode("utf-8", "replace").decode() if len(shown) < 400 else shown[:300] + " ..."


if __name__ == "__main__":
    main()
