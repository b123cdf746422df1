"""Small notes of what the user decided or was given once: a JSON file of texts by their keys."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError

from .atomic import write_text
from .opening import read_json

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 1 << 20
_MOST_NOTES = 1000


def remembered(file: Path) -> dict[str, str]:
    """The notes of a file; none where it is missing or makes no sense."""
    try:
        document = read_json(file, largest=_MOST_BYTES)
    except VolumeFileError:
        return {}
    entries = document.items() if isinstance(document, dict) else ()
    return {key: value for key, value in entries if isinstance(value, str)}


def remember(file: Path, notes: dict[str, str], *, most: int = _MOST_NOTES) -> None:
    """Add notes, the newest last, of which so many are kept.

    What cannot be written is asked or computed again, which is all the harm.
    """
    known = {key: value for key, value in remembered(file).items() if key not in notes} | notes
    newest = dict([*known.items()][-most:])
    with suppress(OSError, VolumeFileError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(newest, indent=1) + "\n")
