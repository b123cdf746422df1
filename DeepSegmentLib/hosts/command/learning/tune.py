"""The command `deepsegment tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity, tell
from DeepSegmentLib.hosts.command.terminal import table
from DeepSegmentLib.hosts.stopping import held_back
from DeepSegmentLib.plurals import counted

from .train import add_parent, add_statuses, held_out_cases, statuses_of
from .training_lines import TrainingLines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from DeepSegmentLib.service.tuning.tune import Begun, TuneRequest


def add_tune_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument("project", type=Path, help="folder of the project, see `deepsegment project`")
    parser.add_argument("--name", required=True, help="of the search; one that is there goes on")
    parser.add_argument("--trials", type=int, default=8, metavar="N", help="how many in all (default: 8)")
    parser.add_argument(
        "--minutes", type=float, default=3.0, metavar="N", help="of training for each trial (default: 3)"
    )
    add_parent(parser)
    parser.add_argument("--iterations", type=int, metavar="N", help="of the best recipe (default: as it is planned)")
    parser.add_argument(
        "--held-out",
        default="0.2",
        metavar="SHARE|CASES",
        help="share of the patients, or names of cases with commas, that have no part in it: the trained model is "
        "compared on them (default: 0.2)",
    )
    add_statuses(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: 0)")
    add_verbosity(parser)
    add_json(parser)
    parser.set_defaults(at_stop="the trials are kept, the same command goes on")


def tune(options: argparse.Namespace) -> int:
    """Run the command."""
    told = TrainingLines(quiet=options.quiet, every_step=options.verbose, what="case")
    told.stage(f"tune on {options.project}: load the libraries")
    from DeepSegmentLib.service.training.watch import Watch
    from DeepSegmentLib.service.tuning.tune import tune_on_project

    def on_trial(begun: Begun) -> None:
        told.stage(f"trial {begun.number + 1} of {begun.trials}")
        told.begin(begun.recipe.model.name, len(begun.recipe.model.segments), begun.recipe.training)

    request = _request(options)
    try:
        report = tune_on_project(request, Watch(told.bar, told.start, told.step, held_back), on_trial)
    except (KeyboardInterrupt, Cancelled):
        told.stopped(
            ("tune", options.project, "--name", options.name, "--trials", options.trials, "--minutes", options.minutes)
        )
        raise
    finally:
        told.bar.close()
    tell(options, report, lambda: _described(report))
    return 0


def _request(options: argparse.Namespace) -> TuneRequest:
    from DeepSegmentLib.service.training.train_request import TrainRequest
    from DeepSegmentLib.service.tuning.tune import TuneRequest

    training = TrainRequest(
        options.project,
        options.name,
        parent=options.parent,
        iterations=options.iterations,
        held_out=held_out_cases(options.held_out),
        statuses=statuses_of(options),
        seed=options.seed,
    )
    return TuneRequest(training, options.trials, options.minutes)


def _described(report: dict[str, Any]) -> str:
    names = list(report["trials"][0]["choices"])
    rows = [_row(trial, names) for trial in report["trials"]]
    lines = [table(("trial", "Dice", *names, "ended"), rows)]
    lines.append(
        f"best: trial {report['best']}, Dice {report['dice']:.3f} on {counted(len(report['judged_by']), 'case')}"
    )
    return "\n".join([*lines, plain(f"its recipe: {report['recipe']}")])


def _row(trial: Mapping[str, Any], names: list[str]) -> tuple[str, ...]:
    dice = "" if trial["dice"] is None else f"{trial['dice']:.3f}"
    values = [trial["choices"].get(name, "") for name in names]
    figures = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
    ended = f"{trial['state']}: {trial['reason']}" if trial["reason"] else trial["state"]
    return (str(trial["number"]), dice, *figures, plain(ended))
