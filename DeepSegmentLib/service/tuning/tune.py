"""Find the recipe that learns best on the cases of a project, by trials of a few minutes each.

A search has a folder of its own in the project. Whoever asks for it again goes on where it stood, in the middle of a
trial; with more trials it goes on, too.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data.dataclass_json import to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.service.projects.project import case_records
from DeepSegmentLib.service.training.case_recipe import read_case_recipe, write_case_recipe
from DeepSegmentLib.service.training.starting_point import starting_point
from DeepSegmentLib.service.training.train import CHECKPOINT, fit_recipe, new_recipe
from DeepSegmentLib.training.planning.machine import this_machine
from DeepSegmentLib.training.planning.plan import training_memory_bytes

from .inner_split import with_inner_split
from .search_space import planned_choices, with_choices
from .study import Study, check_optuna

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from DeepSegmentLib.service.training.case_recipe import CaseRecipe
    from DeepSegmentLib.service.training.train_request import TrainRequest
    from DeepSegmentLib.service.training.watch import Watch
    from DeepSegmentLib.training.fitting.fit import StepFinished

    from .study import Running, Trial

TUNINGS = "tunings"
"""Folder of all searches of a project."""
PLANNED, BEST, TABLE = "planned.json", "best.json", "trials.json"

_JOURNAL = "journal.log"
_LOCK = ".tuning.lock"
_PARTS = 4
"""Of the time of a trial; at the end of each it is judged."""
_ENDLESS = 1_000_000
_MOST_TRIALS = 10_000


@dataclass(frozen=True)
class TuneRequest:
    """What to search.

    Attributes:
        training: What is tuned: project, name, parent, held-out cases. Its `iterations` are those of the best recipe.
        trials: How many in all.
        minutes: Time of the steps of each.
    """

    training: TrainRequest
    trials: int = 8
    minutes: float = 3.0

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= _MOST_TRIALS:
            raise InvalidInputError(f"the number of trials must be from 1 to {_MOST_TRIALS}, got {self.trials}")
        if not (math.isfinite(self.minutes) and self.minutes > 0):
            raise InvalidInputError(f"the minutes of a trial must be above 0, got {self.minutes}")
        if self.training.minutes is not None:
            raise InvalidInputError("the best recipe is trained by iterations; its minutes can be set in its file")

    @property
    def folder(self) -> Path:
        """Of the search."""
        return self.training.project / TUNINGS / self.training.name


@dataclass(frozen=True)
class Begun:
    """A trial that begins or goes on.

    Attributes:
        number: From 0.
        trials: How many there will be.
        recipe: By which it trains.
    """

    number: int
    trials: int
    recipe: CaseRecipe


class _HopelessError(Exception):
    """The trial that is going on is not worth its time."""


def tune_on_project(request: TuneRequest, watch: Watch, on_trial: Callable[[Begun], None]) -> dict[str, Any]:
    """Search, or go on with a search, and write the best recipe.

    Args:
        request: What to search.
        watch: Is told what each training does; may raise `Cancelled`, and the same request goes on then.
        on_trial: Told of each trial before it begins.

    Returns:
        The trials, which was the best, its Dice, and where the recipe and the table are.

    Raises:
        MissingPackageError: Optuna is not installed.
        DeepSegmentError: See `plan_training`; or there are too few patients; or no trial came to its end.
    """
    check_optuna()
    request.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(request.folder, _LOCK):
        planned = _planned(request, watch)
        inner = with_inner_split(planned, case_records(request.training.project))
        starting_point(inner)  # or else each trial would tell that the parent is not there
        study = Study(request.folder / _JOURNAL, planned.training.seed, planned_choices(planned))
        while sum(each.state != "unfinished" for each in study.trials()) < request.trials:
            running = study.next_trial(request.minutes)
            recipe = _timed(with_choices(inner, running.choices), running.minutes)
            on_trial(Begun(running.number, request.trials, recipe))
            lacking = _lacking_memory(recipe)
            if lacking:
                running.fail(lacking)
            else:
                _work(request, running, recipe, watch)
            _write_table(request.folder, study.trials())
        return _best(request, planned, inner, study.trials())


def _planned(request: TuneRequest, watch: Watch) -> CaseRecipe:
    path = request.folder / PLANNED
    if path.exists():
        return read_case_recipe(path)
    recipe = new_recipe(request.training, watch)
    write_case_recipe(recipe, path)
    return recipe


def _timed(recipe: CaseRecipe, minutes: float) -> CaseRecipe:
    return replace(recipe, training=replace(recipe.training, iterations=_ENDLESS, minutes=minutes))


def _work(request: TuneRequest, running: Running, recipe: CaseRecipe, watch: Watch) -> None:
    """Train one trial; what its choices make impossible is told in the table, and others are tried."""
    folder = request.folder / f"trial_{running.number:04d}"
    folder.mkdir(exist_ok=True)
    judged = replace(watch, on_step=partial(_judge, running, recipe, watch.on_step))
    try:
        fitted = fit_recipe(request.training.project, recipe, folder, judged, parts=_PARTS)
        running.end(fitted.checks[-1].mean)
    except _HopelessError:
        running.stop()
    except (ModelError, MemoryError, RuntimeError) as error:  # the last is what torch says where memory is short
        running.fail(str(error).partition("\n")[0])
    (folder / CHECKPOINT).unlink(missing_ok=True)


def _judge(running: Running, recipe: CaseRecipe, on_step: Callable[[StepFinished], None], step: StepFinished) -> None:
    on_step(step)
    progress = recipe.training.progress(step.iteration, step.seconds)
    if step.check is not None and progress < 1 and running.is_hopeless(int(_PARTS * progress), step.check.mean):
        raise _HopelessError


def _lacking_memory(recipe: CaseRecipe) -> str:
    """What is missing; empty where it fits."""
    stage, free = recipe.part.stages[-1], this_machine().memory_bytes
    if isinstance(stage.network, UNetSpec):
        voxels = math.prod(stage.patch_shape) * recipe.training.batch_size
        needed = training_memory_bytes(stage.network, voxels)
        if needed > free:
            return f"needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"
    return ""


def _write_table(folder: Path, trials: Sequence[Trial]) -> None:
    write_text(folder / TABLE, json.dumps([to_json(each) for each in trials], indent=1, allow_nan=False) + "\n")


def _best(request: TuneRequest, planned: CaseRecipe, inner: CaseRecipe, trials: Sequence[Trial]) -> dict[str, Any]:
    done = [each for each in trials if each.state == "done" and each.dice is not None]
    if not done:
        reasons = "; ".join(dict.fromkeys(each.reason for each in trials if each.reason))
        raise InvalidInputError(f"no trial of {request.training.name} came to its end: {reasons or 'try more'}")
    best = max(done, key=lambda each: each.dice or 0.0)
    told = (
        f"trial {best.number} of {len(trials)}: mean Dice {best.dice:.3f} on {counted(len(inner.watched), 'case')} "
        f"that its trial did not learn from, after {request.minutes:g} minutes; the recipe as planned had "
        + (f"{trials[0].dice:.3f}" if trials[0].dice is not None else "none")
    )
    recipe = with_choices(planned, best.choices)
    write_case_recipe(replace(recipe, reasons=(*recipe.reasons, told)), request.folder / BEST)
    return {
        "tuning": request.training.name,
        "best": best.number,
        "dice": best.dice,
        "judged_by": list(inner.watched),
        "recipe": str(request.folder / BEST),
        "table": str(request.folder / TABLE),
        "trials": [to_json(each) for each in trials],
    }
