"""Load models with the back ends that were found fastest on this machine: a small file in the user's data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.files.models import load_model as load_folder
from DeepSegmentLib.files.models.places import user_folder
from DeepSegmentLib.files.remembered import remember, remembered
from DeepSegmentLib.networks.back_ends.engine import Engine, versions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.networks.stage_spec import StageSpec

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


def is_chosen(stages: Iterable[StageSpec]) -> bool:
    """Whether it is known what computes the networks of these stages, so that no back ends are compared any more.

    Torch is not imported for it: of what a choice depends on, the weights and the versions of what computes are looked
    at, which is nearly all that changes on one machine.
    """
    notes = [key.split() for key in remembered(back_ends_file()) if key.endswith(f"; {versions()}")]
    known = {words[0] for words in notes if words}
    return all(weights.sha256 in known for stage in stages for weights in stage.weights)


class BackEndsRecord:
    """The file as what an engine takes. One that cannot be read is begun anew, one that cannot be written is left."""

    def known(self, key: str) -> str | None:
        """What was kept under a key; None where nothing was."""
        return remembered(back_ends_file()).get(key)

    def keep(self, key: str, choice: str) -> None:
        """Keep a choice."""
        remember(back_ends_file(), {key: choice}, most=_MOST_ENTRIES)
