"""Which trainings a project has, and how far each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.models import SPEC_FILE
from DeepSegmentLib.service.training.case_recipe import read_case_recipe
from DeepSegmentLib.service.training.train_request import CANDIDATE, COMPARISON, RECIPE, TRAININGS

from .progress_file import PROGRESS, read_progress

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.service.training.case_recipe import CaseRecipe


@dataclass(frozen=True)
class Training:
    """A training of a project.

    Attributes:
        name: Of the training.
        folder: Its folder.
        recipe: What fixes it.
        iterations: Steps done, as far as they were reported.
        seconds: That they took.
        finished: Whether its candidate is there.
        compared: Whether a comparison of it is there.
    """

    name: str
    folder: Path
    recipe: CaseRecipe
    iterations: int
    seconds: float
    finished: bool
    compared: bool

    @property
    def fraction(self) -> float:
        """How much of it is done, 0 to 1."""
        return 1.0 if self.finished else self.recipe.training.progress(self.iterations, self.seconds)


def trainings_of(project: Path) -> tuple[Training, ...]:
    """The trainings of a project, the one that was begun last first; those that cannot be read are left out."""
    folders = [path.parent for path in (project / TRAININGS).glob(f"*/{RECIPE}")]
    folders.sort(key=lambda folder: (folder / RECIPE).stat().st_mtime, reverse=True)
    found = []
    for folder in folders:
        try:
            found.append(_training(folder))
        except DeepSegmentError:
            continue
    return tuple(found)


def _training(folder: Path) -> Training:
    lines = read_progress(folder / PROGRESS)
    return Training(
        folder.name,
        folder,
        read_case_recipe(folder / RECIPE),
        lines[-1].iteration if lines else 0,
        lines[-1].seconds if lines else 0.0,
        (folder / CANDIDATE / SPEC_FILE).is_file(),
        (folder / COMPARISON).is_file(),
    )
