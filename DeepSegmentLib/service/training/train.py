"""Train a model from the cases of a project: from nothing, or from a model that there is.

A training has a folder of its own in the project. All that fixes it is in its recipe, which is written first; whoever
asks for the same training again goes on where it stood. What it makes is a candidate: a model folder in its folder.

Of several processes that train together (see `training.fitting.processes`) all call the same functions; the first one
alone reads the project and writes, and tells the others what it found.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.leftovers import sweep
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.models import SPEC_FILE, read_spec
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.service.projects.project import case_records

from .candidate import write_candidate
from .case_recipe import CaseRecipe, read_case_recipe, write_case_recipe
from .prepared_cases import prepared_folders
from .progress.curves import CurvesPicture
from .progress.progress_file import PROGRESS, ProgressFile
from .progress.sample_pictures import SamplePictures
from .starting_point import samples, starting_point
from .train_request import CANDIDATE, RECIPE, SAMPLES
from .training_plan import planned_recipe
from .watch import Preparation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from torch import nn

    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.training.fitting.checks import Check
    from DeepSegmentLib.training.fitting.fit import Hooks, StepFinished

    from .starting_point import StartingPoint
    from .train_request import TrainRequest
    from .watch import Watch

_CHECKPOINT = "checkpoint.pt"
_LOCK = ".training.lock"


def plan_training(request: TrainRequest, watch: Watch) -> CaseRecipe:
    """The recipe of a training: the one it has, or one that is made and written.

    Raises:
        DeepSegmentError: The project, the recipe or the parent cannot be read, there is nothing to learn from, or the
            processes that train together cannot share a batch.
    """
    from DeepSegmentLib.training.fitting.processes import by_the_first, count, share_of

    def work() -> CaseRecipe:
        recipe = _recipe(request, watch)
        share_of(recipe.training.batch_size, count())
        return recipe

    return by_the_first(work)


def _recipe(request: TrainRequest, watch: Watch) -> CaseRecipe:
    path = request.folder / RECIPE
    if path.exists():
        return read_case_recipe(path)
    records = learned_from(request)
    if request.recipe is not None:
        recipe = read_case_recipe(request.recipe)
    else:
        recipe = planned_recipe(request, records, watch.on_progress)
    _check_held_out(recipe, records)
    if not recipe.cases:  # what is approved later belongs to the next training
        learned = tuple(record.name for record in records if record.name not in recipe.held_out)
        recipe = replace(recipe, cases=learned)
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


def _present(names: Sequence[str], records: Mapping[str, CaseRecord]) -> Sequence[str]:
    """Names of cases that are all there.

    Raises:
        InvalidInputError: One is not.
    """
    missing = [name for name in names if name not in records]
    if missing:
        raise InvalidInputError(f"the project has no case {missing[0]}, which this training learns from; restore it")
    return names


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
    from DeepSegmentLib.training.fitting.processes import by_the_first

    with ExitStack() as alone:
        done = by_the_first(lambda: _begin(request, alone))
        return done or _train(request, plan_training(request, watch), watch)


def _begin(request: TrainRequest, alone: ExitStack) -> dict[str, Any] | None:
    """Keep others away from the training; what it measured, where it is done."""
    request.folder.mkdir(parents=True, exist_ok=True)
    alone.enter_context(exclusive(request.folder, _LOCK))
    sweep(request.folder)
    model = request.folder / CANDIDATE
    if not (model / SPEC_FILE).exists():
        return None
    return {"training": request.name, "output": str(model), "done": True, **read_spec(model).provenance}


def _train(request: TrainRequest, recipe: CaseRecipe, watch: Watch) -> dict[str, Any]:
    from DeepSegmentLib.training.fitting.fit import fit
    from DeepSegmentLib.training.fitting.partial_losses import PartialLoss
    from DeepSegmentLib.training.fitting.processes import by_the_first, own_device

    learned, folders = by_the_first(lambda: _prepared(request, recipe, watch))
    start = starting_point(recipe)
    start.network.to(own_device())
    fitted = fit(
        start.network,
        samples(recipe, folders[: len(learned)], learned),
        recipe.training,
        request.folder / _CHECKPOINT,
        _hooks(request, recipe, start, folders[len(learned) :], watch),
        loss=PartialLoss(recipe.loss, recipe.model.output),
    )
    finished = replace(fitted, network=start.finished(fitted.network))
    return by_the_first(lambda: write_candidate(request.folder / CANDIDATE, recipe, learned, finished))


def _prepared(request: TrainRequest, recipe: CaseRecipe, watch: Watch) -> tuple[list[CaseRecord], tuple[Path, ...]]:
    """The cases that are learned from, and the folders of them and of the watched ones, prepared."""
    records = {record.name: record for record in case_records(request.project)}
    learned = [records[name] for name in _present(recipe.cases, records)]
    watched = [records[name] for name in recipe.watched if name in records]
    return learned, prepared_folders(request.project, [*learned, *watched], recipe, watch.on_progress)


def _hooks(
    request: TrainRequest, recipe: CaseRecipe, start: StartingPoint, watched: Sequence[Path], watch: Watch
) -> Hooks:
    """Who is told of the steps, and what is tried out on the watched cases."""
    from DeepSegmentLib.training.fitting.fit import Hooks
    from DeepSegmentLib.training.fitting.processes import rank
    from DeepSegmentLib.training.fitting.state import precision_on

    place = next(start.network.parameters()).device
    told, curves = ProgressFile(request.folder / PROGRESS), CurvesPicture(request.folder)

    def on_start(done: int) -> None:
        if rank() == 0:
            told.go_on_from(done)
        watch.on_start(Preparation(len(recipe.cases), recipe.training.iterations, done, str(place)))

    def on_step(step: StepFinished) -> None:
        if rank() == 0:
            told.step(step)
            curves.step(step)
        watch.on_step(step)

    check = _check(recipe, watched, precision_on(recipe.training.precision, place), request.folder / SAMPLES)
    return Hooks(on_start, on_step, watch.undisturbed, check, start.groups)


def _check(recipe: CaseRecipe, watched: Sequence[Path], precision: torch.dtype, picture: Path) -> Check | None:
    """Tries the network out on the watched cases, some twenty times in all; None without such cases."""
    from DeepSegmentLib.training.cases.stored_case import load
    from DeepSegmentLib.training.cases.try_out import dice_of
    from DeepSegmentLib.training.fitting.checks import Check

    if not watched:
        return None
    cases = [load(folder) for folder in watched]
    part, output = recipe.part, recipe.model.output

    def measure(network: nn.Module) -> tuple[Mapping[str, float], tuple[float, ...]]:
        samples = SamplePictures(picture, output, part.stages[-1].orientation or "")
        found = dice_of(network, cases, part, output, precision, on_answer=samples.add)
        samples.write()
        return found

    return Check(_steps_between_checks(recipe), measure)


def _steps_between_checks(recipe: CaseRecipe) -> int:
    return max(20, math.ceil(recipe.training.iterations / 20))
