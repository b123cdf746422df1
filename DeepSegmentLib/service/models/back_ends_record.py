"""Load models with the back ends that were found fastest on this machine: a small file in the user's data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.files.models import load_model as load_folder
from DeepSegmentLib.files.models.places import user_folder
from DeepSegmentLib.files.remembered import remember, remembered
from DeepSegmentLib.networks.back_ends.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.networks.runtime import Model

_MOST_ENTRIES = 200


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
        return remembered(back_ends_file()).get(key)

    def keep(self, key: str, choice: str) -> None:
        """Keep a choice."""
        remember(back_ends_file(), {key: choice}, most=_MOST_ENTRIES)
