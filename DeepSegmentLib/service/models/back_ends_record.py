"""Load models with the back ends that were found fastest on this machine: a small file in the user's data folder."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.models import load_model as load_folder
from DeepSegmentLib.files.models.places import user_folder
from DeepSegmentLib.files.opening import read_bytes
from DeepSegmentLib.networks.back_ends.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.networks.runtime import Model

_MOST_ENTRIES = 200
_MOST_BYTES = 1 << 20


def back_ends_file() -> Path:
    """Where the record is."""
    return user_folder() / "back-ends.json"


def load_model(folder: Path, device: str = "auto", precision: Precision = "checked") -> Model:
    """Load the model of a folder; on the CPU it is computed in this precision, by the fastest back end that there is.

    Args:
        folder: Of the model.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: See `networks.back_ends.engine.Engine`.

    Raises:
        InvalidInputError: There is no such precision.
        ModelError, ResourceError, MissingPackageError: See `files.models.load_model`.
    """
    return load_folder(folder, device, Engine(precision, BackEndsRecord()))


class BackEndsRecord:
    """The file as what an engine takes. One that cannot be read is begun anew, one that cannot be written is left."""

    def known(self, key: str) -> str | None:
        """What was kept under a key; None where nothing was."""
        return _read().get(key)

    def keep(self, key: str, choice: str) -> None:
        """Keep a choice."""
        choices = _read()
        choices.pop(key, None)
        choices[key] = choice
        newest = dict(list(choices.items())[-_MOST_ENTRIES:])
        with suppress(OSError, VolumeFileError):
            back_ends_file().parent.mkdir(parents=True, exist_ok=True)
            write_text(back_ends_file(), json.dumps(newest, indent=1) + "\n")


def _read() -> dict[str, str]:
    """Choices by their keys; lines that make no sense are passed over."""
    try:
        document = json.loads(read_bytes(back_ends_file(), largest=_MOST_BYTES))
    except (OSError, ValueError, RecursionError, VolumeFileError):
        return {}
    lines = document.items() if isinstance(document, dict) else ()
    return {key: choice for key, choice in lines if isinstance(choice, str)}
