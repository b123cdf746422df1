"""The command `deepsegment train`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled, InvalidInputError
from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity
from DeepSegmentLib.hosts.command.terminal import duration, say, say_json
from DeepSegmentLib.hosts.stopping import held_back
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.training.fitting.launch import launch

from .training_lines import TrainingLines

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.service.training.case_recipe import CaseRecipe
    from DeepSegmentLib.service.training.train_request import TrainRequest


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument("project", type=Path, help="folder of the project, see `deepsegment project`")
    parser.add_argument("--name", required=True, help="of the training and its model; one that is there goes on")
    add_parent(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, metavar="N", help="end after so much time of training")
    length.add_argument(
        "--iterations", type=int, metavar="N", help="end after so many steps (the same seed, the same model)"
    )
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE", help="use this recipe instead of one made for cases and machine"
    )
    parser.add_argument(
        "--held-out",
        default="0.2",
        metavar="SHARE|CASES",
        help="share of the patients that are never learned from, or names of cases with commas (default: 0.2)",
    )
    add_statuses(parser)
    parser.add_argument(
        "--unlabelled",
        type=Path,
        metavar="FOLDER",
        help="learn from these volumes as well, in which nobody drew: from what the network is sure of there",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: 0)")
    parser.add_argument("--plan", action="store_true", help="only write the recipe, to be read and changed")
    add_verbosity(parser)
    add_json(parser)


def add_parent(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which model is begun from."""
    parser.add_argument(
        "--from",
        dest="parent",
        default="",
        metavar="MODEL",
        help="model to begin from, a name or a folder (default: none)",
    )


def add_statuses(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how far cases must be, see `statuses_of`."""
    parser.add_argument(
        "--status",
        default="approved",
        metavar="STATUS",
        help="learn from cases of these, with commas: draft, reviewed, approved (default: approved)",
    )


def statuses_of(options: argparse.Namespace) -> tuple[str, ...]:
    """How far the cases that are learned from must be."""
    return tuple(each.strip() for each in options.status.split(","))


def train(options: argparse.Namespace) -> int:
    """Run the command; of several processes that train together (`torchrun`) the first one alone tells."""
    first = launch().is_first
    options.quiet = options.quiet or not first
    told = TrainingLines(quiet=options.quiet, every_step=options.verbose, what="case")
    told.stage(f"train on {options.project}: load the libraries")
    from DeepSegmentLib.training.fitting.processes import joined

    # The first one says when all stop: signals that come to the others would end them in the middle of a step.
    with nullcontext() if first else held_back(), joined():
        report = _train(options, told)
    if report is not None and first:
        _tell(options, report)
    return 0


def _train(options: argparse.Namespace, told: TrainingLines) -> dict[str, Any] | None:
    """The report; None where a plan was asked for."""
    from DeepSegmentLib.service.training.train import plan_training, train_on_project
    from DeepSegmentLib.service.training.train_request import RECIPE
    from DeepSegmentLib.service.training.watch import Watch

    request = _request(options)
    watch = Watch(told.bar, told.start, told.step, held_back)
    try:
        recipe = plan_training(request, watch)
        told.begin(f"{recipe.model.name} {recipe.model.version}", len(recipe.model.segments), recipe.training)
        if options.plan:
            _tell_plan(options, recipe, request.folder / RECIPE)
            return None
        return train_on_project(request, watch)
    except (KeyboardInterrupt, Cancelled):
        if launch().is_first:
            told.stopped(("train", options.project, "--name", options.name))
        raise
    finally:
        told.bar.close()


def _request(options: argparse.Namespace) -> TrainRequest:
    from DeepSegmentLib.service.training.train_request import TrainRequest

    return TrainRequest(
        options.project,
        options.name,
        parent=options.parent,
        recipe=options.recipe,
        iterations=options.iterations,
        minutes=options.minutes,
        held_out=held_out_cases(options.held_out),
        statuses=statuses_of(options),
        seed=options.seed,
        unlabelled=options.unlabelled,
    )


def held_out_cases(text: str) -> float | tuple[str, ...]:
    """What --held-out says: a share, or names of cases.

    Raises:
        InvalidInputError: It is neither.
    """
    try:
        return float(text)
    except ValueError:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        if not names:
            raise InvalidInputError("--held-out needs a share such as 0.2, or names of cases") from None
        return names


def _tell_plan(options: argparse.Namespace, recipe: CaseRecipe, path: Path) -> None:
    if options.json:
        say_json({"recipe": str(path), "reasons": list(recipe.reasons), "held_out": list(recipe.held_out)})
    elif not options.quiet:
        say("".join(f"{reason}\n" for reason in recipe.reasons) + f"wrote {path}\n")


def _tell(options: argparse.Namespace, report: dict[str, Any]) -> None:
    if options.json:
        say_json(report)
    elif not options.quiet:
        early = "; ended early: nothing is gained any more" if report.get("good_enough") else ""
        say(
            f"{counted(int(report['iterations']), 'iteration')} on {counted(int(report['cases']), 'case')} in "
            f"{duration(float(report['seconds']))}, loss {float(report['loss']):.4f}{early}\n{report['output']}\n"
        )
