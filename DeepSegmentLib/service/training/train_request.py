"""What is asked of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.model_spec import check_name

if TYPE_CHECKING:
    from pathlib import Path

TRAININGS = "trainings"
"""Folder of all trainings of a project."""
RECIPE = "recipe.json"
"""What fixes a training, in its folder."""
CANDIDATE = "model"
"""What it makes, likewise."""
CURVES, SAMPLES = "progress.png", "samples.png"
"""Pictures of how it goes, likewise."""
COMPARISON = "comparison.json"
"""How that compares with what it began from, likewise."""


@dataclass(frozen=True)
class TrainRequest:
    """What to train.

    Attributes:
        project: Folder of the project.
        name: Of the training, and of the model that it makes.
        parent: Name or folder of the model to begin from; empty for random weights.
        recipe: A recipe to use instead of one that is made for the cases and the machine.
        iterations: Steps; None for what the plan says.
        minutes: Time of the steps instead.
        held_out: Share of the patients whose cases are held out, 0 to 0.5, or the names of these cases.
        statuses: Which cases are learned from.
        seed: Of the held-out cases, first weights and all that is drawn.
        precision: See `TrainSettings`.
        unlabelled: Folder of volumes that nobody drew in, to learn from as well; None without.
    """

    project: Path
    name: str
    parent: str = ""
    recipe: Path | None = None
    iterations: int | None = None
    minutes: float | None = None
    held_out: float | tuple[str, ...] = 0.2
    statuses: tuple[str, ...] = ("approved",)
    seed: int = 0
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    unlabelled: Path | None = None

    def __post_init__(self) -> None:
        check_name("a training", self.name)
        if self.iterations is not None and self.minutes is not None:
            raise InvalidInputError("a training ends after so many iterations or so many minutes, not both")
        if not isinstance(self.held_out, tuple) and not 0 <= self.held_out <= 0.5:
            raise InvalidInputError(f"the held-out share must be from 0 to 0.5, got {self.held_out}")

    @property
    def folder(self) -> Path:
        """Of the training."""
        return self.project / TRAININGS / self.name
