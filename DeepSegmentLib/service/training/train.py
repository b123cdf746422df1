"""Train a model from the cases of a project: from nothing, or from a model that there is.

A training has a folder of its own in the project. All that fixes it is in its recipe, which is written first; whoever
asks for the same training again goes on where it stood. What it makes is a candidate: a model folder in its folder.

Of several processes that train together (see `training.fitting.processes`) all call the same functions; the first one
alone reads the project and writes, and tells the others what it found.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.leftovers import sweep
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.models import SPEC_FILE, read_spec
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.service.projects.project import case_records
from DeepSegmentLib.training.fitting.settings import LossSettings

from .candidate import write_candidate
from .case_recipe import CaseRecipe, read_case_recipe, write_case_recipe
from .prepared_cases import prepared_folders
from .progress.curves import CurvesPicture
from .progress.progress_file import PROGRESS, ProgressFile
from .progress.sample_pictures import SamplePictures
from .starting_point import samples, starting_point, unlabelled_samples
from .train_request import CANDIDATE, RECIPE, SAMPLES
from .training_plan import planned_recipe
from .unlabelled_volumes import prepared_volumes, with_unlabelled
from .watch import Preparation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.training.fitting.checks import Check
    from DeepSegmentLib.training.fitting.fit import Fitted, Hooks, StepFinished
    from DeepSegmentLib.training.fitting.sample_processes import SampleSource

    from .starting_point import StartingPoint
    from .train_request import TrainRequest
    from .watch import Watch

CHECKPOINT = "checkpoint.pt"
"""The state of a training, in its folder."""
_LOCK = ".training.lock"
_CHECKS, _FEWEST_STEPS = 20, 20  # of the network in a training; steps between two of them


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
    recipe = new_recipe(request, watch)
    write_case_recipe(recipe, path)
    return recipe


def new_recipe(request: TrainRequest, watch: Watch) -> CaseRecipe:
    """The recipe that a training gets which is not there yet; nothing is written.

    Raises:
        DeepSegmentError: See `plan_training`.
    """
    records = learned_from(request)
    if request.recipe is not None:
        recipe = read_case_recipe(request.recipe)
    else:
        recipe = planned_recipe(request, records, watch.on_progress)
    _check_held_out(recipe, records)
    if not recipe.cases:  # what is approved later belongs to the next training
        learned = tuple(record.name for record in records if record.name not in recipe.held_out)
        recipe = replace(recipe, cases=learned)
    if request.unlabelled is not None:
        everyone = case_records(request.project)
        recipe = with_unlabelled(recipe, request.unlabelled, everyone, watch.on_progress)
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
    seen = {volume.digest for volume in recipe.unlabelled.volumes} if recipe.unlabelled else set[str]()
    leaked = [record.name for record in records if record.name in recipe.held_out and record.volume_digest in seen]
    if leaked:
        raise InvalidInputError(
            f"{leaked[0]} is held out, and its volume is among the unlabelled ones; leave it out there"
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
    from DeepSegmentLib.training.fitting.processes import by_the_first

    learned = by_the_first(lambda: _learned(recipe, case_records(request.project)))
    fitted = fit_recipe(request.project, recipe, request.folder, watch)
    return by_the_first(lambda: write_candidate(request.folder / CANDIDATE, recipe, learned, fitted))


def _learned(recipe: CaseRecipe, records: Sequence[CaseRecord]) -> list[CaseRecord]:
    there = {record.name: record for record in records}
    return [there[name] for name in _present(recipe.cases, there)]


def fit_recipe(project: Path, recipe: CaseRecipe, folder: Path, watch: Watch, *, parts: int = 0) -> Fitted:
    """Train by a recipe, from the checkpoint if there is one.

    Args:
        project: Its folder.
        recipe: Its cases must be named.
        folder: Where the training is kept: the checkpoint and its progress.
        watch: Is told what happens.
        parts: See `Check.parts`; 0 for what suits the recipe.

    Raises:
        DeepSegmentError: A case is missing or cannot be read; see also `fit`.
    """
    from DeepSegmentLib.training.fitting.fit import fit
    from DeepSegmentLib.training.fitting.partial_losses import PartialLoss
    from DeepSegmentLib.training.fitting.processes import by_the_first, own_device
    from DeepSegmentLib.training.unlabelled.patches import SideBySide

    there = by_the_first(lambda: _prepared(project, recipe, watch))
    start = starting_point(recipe)
    start.network.to(own_device())
    cases = samples(recipe, there.learned, there.records)
    source: SampleSource = (
        SideBySide(cases, unlabelled_samples(recipe, there.unlabelled)) if there.unlabelled else cases
    )
    hooks = _hooks(folder, recipe, start, watch)
    hooks = replace(hooks, check=_check(recipe, there.watched, start, folder / SAMPLES, parts))
    loss = PartialLoss(recipe.loss, recipe.model.output)
    fitted = fit(start.network, source, recipe.training, folder / CHECKPOINT, hooks, loss=loss)
    return replace(fitted, network=start.finished(fitted.network))


@dataclass(frozen=True)
class _Prepared:
    """The cases that are learned from, and the folders of what is prepared."""

    records: list[CaseRecord]
    learned: Sequence[Path]
    watched: Sequence[Path]
    unlabelled: Sequence[Path]


def _prepared(project: Path, recipe: CaseRecipe, watch: Watch) -> _Prepared:
    everyone = case_records(project)
    records, watched = _learned(recipe, everyone), [each for each in everyone if each.name in recipe.watched]
    folders = prepared_folders(project, [*records, *watched], recipe, watch.on_progress)
    unlabelled = prepared_volumes(project, recipe, watch.on_progress)
    return _Prepared(records, folders[: len(records)], folders[len(records) :], unlabelled)


def _hooks(folder: Path, recipe: CaseRecipe, start: StartingPoint, watch: Watch) -> Hooks:
    """Who is told of the steps, and what is learned beside the cases."""
    from DeepSegmentLib.training.fitting.fit import Hooks
    from DeepSegmentLib.training.fitting.partial_losses import PartialLoss
    from DeepSegmentLib.training.fitting.processes import rank, summed
    from DeepSegmentLib.training.unlabelled.pseudo_labels import PseudoLabels

    place = next(start.network.parameters()).device
    told, curves = ProgressFile(folder / PROGRESS), CurvesPicture(folder)

    def on_start(done: int) -> None:
        if rank() == 0:
            told.go_on_from(done)
        watch.on_start(Preparation(len(recipe.cases), recipe.training.iterations, done, str(place)))

    def on_step(step: StepFinished) -> None:
        if rank() == 0:
            told.step(step)
            curves.step(step)
        watch.on_step(step)

    unlabelled, output = recipe.unlabelled, recipe.model.output
    lesson = None
    if unlabelled and unlabelled.volumes:
        lesson = PseudoLabels(unlabelled, PartialLoss(LossSettings(dice=0, balance=0), output), output, summed)
    return Hooks(on_start, on_step, watch.undisturbed, None, start.groups, lesson)


def _check(
    recipe: CaseRecipe, watched: Sequence[Path], start: StartingPoint, picture: Path, parts: int
) -> Check | None:
    """Tries the network out on the watched cases, some twenty times in all; None without such cases."""
    from DeepSegmentLib.training.cases.stored_case import load
    from DeepSegmentLib.training.cases.try_out import dice_of
    from DeepSegmentLib.training.fitting.checks import Check
    from DeepSegmentLib.training.fitting.state import precision_on

    if not watched:
        return None
    cases = [load(folder) for folder in watched]
    part, output = recipe.part, recipe.model.output
    precision = precision_on(recipe.training.precision, next(start.network.parameters()).device)

    def measure(network: nn.Module) -> tuple[Mapping[str, float], tuple[float, ...]]:
        shown = SamplePictures(picture, output, part.stages[-1].orientation or "")
        found = dice_of(network, cases, part, output, precision, on_answer=shown.add)
        shown.write()
        return found

    if recipe.training.minutes is None:
        return Check(max(_FEWEST_STEPS, math.ceil(recipe.training.iterations / _CHECKS)), measure, parts)
    return Check(recipe.training.iterations, measure, parts or _CHECKS)
