"""Train a model from the cases of a project: from nothing, or from a model that there is.

A training has a folder of its own in the project. All that fixes it is in its recipe, which is written first; whoever
asks for the same training again goes on where it stood. What it makes is a candidate: a model folder in its folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.models import SPEC_FILE, read_spec
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.networks.model_spec import check_name

from .candidate import write_candidate
from .case_recipe import CaseRecipe, read_case_recipe, write_case_recipe
from .prepared_cases import prepared_folders
from .progress_file import ProgressFile
from .project import case_records
from .starting_point import starting_network
from .training_plan import planned_recipe
from .watch import Preparation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.files.projects import CaseRecord

    from .watch import Watch

TRAININGS = "trainings"
RECIPE = "recipe.json"
CANDIDATE = "model"
_CHECKPOINT = "checkpoint.pt"
_PROGRESS = "progress.jsonl"
_LOCK = ".training.lock"


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
    precision: str = "auto"

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


def plan_training(request: TrainRequest, watch: Watch) -> CaseRecipe:
    """The recipe of a training: the one it has, or one that is made and written.

    Raises:
        DeepSegmentError: The project, the recipe or the parent cannot be read, or there is nothing to learn from.
    """
    path = request.folder / RECIPE
    if path.exists():
        return read_case_recipe(path)
    records = learned_from(request)
    if request.recipe is not None:
        recipe = read_case_recipe(request.recipe)
    else:
        recipe = planned_recipe(request, records, watch.on_progress)
    _check_held_out(recipe, records)
    write_case_recipe(recipe, path)
    return recipe


def learned_from(request: TrainRequest) -> tuple[CaseRecord, ...]:
    """The cases of the project that may be learned from or held out.

    Raises:
        InvalidInputError: There is none; the message tells of those of another status.
    """
    records = case_records(request.project)
    chosen = tuple(record for record in records if record.status in request.statuses)
    if not chosen:
        others = ", ".join(f"{record.name} ({record.status})" for record in records[:5])
        raise InvalidInputError(
            f"{plain(str(request.project))} has no case that is {' or '.join(request.statuses)}"
            + (f"; it has {others}" if others else "; collect cases first")
        )
    return chosen


def _check_held_out(recipe: CaseRecipe, records: Sequence[CaseRecord]) -> None:
    strangers = sorted({*recipe.held_out} - {record.name for record in records})
    if strangers:
        raise InvalidInputError(f"the project has no such case to hold out: {', '.join(strangers[:5])}")
    if len(recipe.held_out) >= len(records):
        raise InvalidInputError("all cases are held out, so none is left to learn from")
    learned = {record.patient for record in records if record.name not in recipe.held_out} - {""}
    both = [record.name for record in records if record.name in recipe.held_out and record.patient in learned]
    if both:
        raise InvalidInputError(
            f"the patient of {both[0]} is held out and learned from; hold out all cases of a patient, or none"
        )


def train_on_project(request: TrainRequest, watch: Watch) -> dict[str, Any]:
    """Train, or go on with a training, and write the candidate.

    Args:
        request: What to train.
        watch: Is told what happens; may raise `Cancelled`, and the same request goes on then.

    Returns:
        What was measured: cases, iterations, loss, seconds, device, Dice of watched cases, the model's folder, notes.

    Raises:
        DeepSegmentError: See `plan_training`; or somebody else is at this training; or the loss is no number any more.
    """
    request.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(request.folder, _LOCK):
        model = request.folder / CANDIDATE
        if (model / SPEC_FILE).exists():
            return {"training": request.name, "output": str(model), "done": True, **read_spec(model).provenance}
        recipe = plan_training(request, watch)
        return _train(request, recipe, watch)


def _train(request: TrainRequest, recipe: CaseRecipe, watch: Watch) -> dict[str, Any]:
    from DeepSegmentLib.training.cases.stored_case import load
    from DeepSegmentLib.training.cases.try_out import dice_of
    from DeepSegmentLib.training.fitting.checks import Check
    from DeepSegmentLib.training.fitting.fit import Hooks, fit
    from DeepSegmentLib.training.fitting.partial_losses import PartialLoss

    records = [record for record in learned_from(request) if record.name not in recipe.held_out]
    watched = [record for record in learned_from(request) if record.name in recipe.watched]
    folders = prepared_folders(request.project, [*records, *watched], recipe, watch.on_progress)
    start = starting_network(recipe)
    cases = [load(folder) for folder in folders[len(records) :]]
    told = ProgressFile(request.folder / _PROGRESS)

    def on_start(done: int) -> None:
        told.go_on_from(done)
        watch.on_start(Preparation(len(records), recipe.training.iterations, done, start.device))

    def on_step(step: Any) -> None:
        told.step(step)
        watch.on_step(step)

    def measure(network: Any) -> Any:
        return dice_of(network, cases, recipe.part, recipe.model.output, start.precision)

    check = Check(_steps_between_checks(recipe), measure) if cases else None
    hooks = Hooks(on_start, on_step, watch.undisturbed, check, start.groups)
    fitted = fit(
        start.network,
        start.source(folders[: len(records)], records),
        recipe.training,
        request.folder / _CHECKPOINT,
        hooks,
        loss=PartialLoss(recipe.loss, recipe.model.output),
    )
    return write_candidate(
        request.folder / CANDIDATE, recipe, records, replace(fitted, network=start.finished(fitted.network))
    )


def _steps_between_checks(recipe: CaseRecipe) -> int:
    return max(20, math.ceil(recipe.training.iterations / 20))
