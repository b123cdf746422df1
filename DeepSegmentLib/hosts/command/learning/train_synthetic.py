"""The command `deepsegment train-synthetic`, and what it tells while it runs."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity
from DeepSegmentLib.hosts.command.terminal import ProgressBar, complain, duration, say, say_json
from DeepSegmentLib.hosts.stopping import held_back

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.service.learning.train_synthetic import Preparation, Recipe
    from DeepSegmentLib.training.fitting.fit import StepFinished

_LINE_EVERY_S = 30.0  # in a log file
_LINE_EVERY = 25  # steps, likewise


def add_train_synthetic_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument("recipe", type=Path, help="recipe (.json): model, tissues, synthesis and schedule")
    parser.add_argument("label_maps", type=Path, help="folder of label maps")
    parser.add_argument("output", type=Path, help="model folder to write; must not exist")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="training state; an existing one is continued, and Ctrl-C saves it",
    )
    add_verbosity(parser)
    add_json(parser)


def train_synthetic(options: argparse.Namespace) -> int:
    """Run the command."""
    told = TrainingLines(quiet=options.quiet, every_step=options.verbose)
    told.stage(f"train by {options.recipe}: load the libraries")
    from DeepSegmentLib.service.learning.train_synthetic import Watch, read_recipe, train_model

    recipe = read_recipe(options.recipe)
    told.recipe(recipe)
    watch = Watch(told.bar, told.start, told.step, held_back)
    try:
        report = train_model(
            recipe, options.label_maps, options.output, options.checkpoint, watch, further=[options.recipe]
        )
    except (KeyboardInterrupt, Cancelled):
        told.stopped(options)
        raise
    finally:
        told.bar.close()
    _tell(options, report)
    return 0


def _tell(options: argparse.Namespace, report: dict[str, Any]) -> None:
    if options.json:
        say_json({"output": str(options.output), **report})
    elif not options.quiet:
        say(
            f"{report['iterations']} iterations on {report['cases']} label maps in {duration(report['seconds'])}, loss "
            f"{report['loss']:.4f}\nwrote {options.output}\n"
        )


class TrainingLines:
    """Tells a training to the standard error stream: a line that is rewritten on a terminal, plain lines elsewhere.

    Args:
        quiet: Tell nothing.
        every_step: Tell each step in a line of its own.
    """

    def __init__(self, *, quiet: bool, every_step: bool) -> None:
        self._quiet, self._every_step = quiet, every_step
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self.bar = ProgressBar(None if quiet else sys.stderr)
        self._begun, self._first, self._total, self._told_at = time.monotonic(), 0, 0, 0.0

    def stage(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self.bar.clear()
            complain(text + "\n")

    def recipe(self, recipe: Recipe) -> None:
        """What is going to be trained."""
        settings, model = recipe.training, recipe.model
        self._total = settings.iterations
        self.stage(
            f"{model.name} {model.version}, {len(model.segments)} segments: {settings.iterations} iterations, "
            f"{settings.batch_size} image{'s' if settings.batch_size > 1 else ''} each"
        )

    def start(self, begin: Preparation) -> None:
        """What was read, and where it goes on."""
        self._begun, self._first = time.monotonic(), begin.done
        went = f"; goes on after {begin.done} of {begin.iterations}" if begin.done else ""
        self.stage(f"{begin.cases} label maps, on {begin.device}{went}")

    def step(self, step: StepFinished) -> None:
        """How far it is, and its loss."""
        done = step.iteration - self._first
        to_go = (time.monotonic() - self._begun) / done * (self._total - step.iteration)
        text = f"{step.iteration} of {self._total}, loss {step.loss:.4f}"
        if self._terminal and not self._every_step:
            self._move(text, step.iteration / self._total, to_go)
        elif self._every_step or self._is_due(step.iteration, done):
            self._told_at = time.monotonic()
            self.stage(f"{text}, {duration(to_go)} to go")

    def _move(self, text: str, fraction: float, to_go: float) -> None:
        from DeepSegmentLib.data import Progress

        self.bar(Progress(f"train {text}", fraction, to_go))

    def _is_due(self, iteration: int, done: int) -> bool:
        regular = done == 1 or iteration == self._total or iteration % _LINE_EVERY == 0
        return regular or time.monotonic() - self._told_at > _LINE_EVERY_S

    def stopped(self, options: argparse.Namespace) -> None:
        """How to go on."""
        self.bar.close()
        if options.checkpoint.exists():
            paths = (options.recipe, options.label_maps, options.output, "--checkpoint", options.checkpoint)
            complain(f"\nto go on: deepsegment train-synthetic {shlex.join(map(str, paths))}\n")
