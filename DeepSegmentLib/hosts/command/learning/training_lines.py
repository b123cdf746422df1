"""What the training commands tell while they run."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING

from DeepSegmentLib.hosts.command.terminal import ProgressBar, complain, duration
from DeepSegmentLib.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.service.training.watch import Preparation
    from DeepSegmentLib.training.fitting.fit import StepFinished
    from DeepSegmentLib.training.fitting.settings import TrainSettings

_LINE_EVERY_S = 30.0  # in a log file
_LINE_EVERY = 25  # steps, likewise


class TrainingLines:
    """Tells a training to the standard error stream: a line that is rewritten on a terminal, plain lines elsewhere.

    Args:
        quiet: Tell nothing.
        every_step: Tell each step in a line of its own.
        what: One of what is learned from, such as "case".
    """

    def __init__(self, *, quiet: bool, every_step: bool, what: str) -> None:
        self._quiet, self._every_step, self._what = quiet, every_step, what
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self.bar = ProgressBar(None if quiet else sys.stderr)
        self._begun, self._first, self._total, self._told_at = time.monotonic(), 0, 0, 0.0
        self._limit: float | None = None

    def stage(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self.bar.clear()
            complain(text + "\n")

    def begin(self, model: str, segments: int, training: TrainSettings) -> None:
        """What is going to be trained."""
        self._total = training.iterations
        minutes = training.minutes
        length = counted(training.iterations, "iteration") if minutes is None else f"{minutes:g} min"
        images = f"{counted(training.batch_size, 'image')} each"
        self.stage(f"{model}, {counted(segments, 'segment')}: {length}, {images}")
        self._limit = None if minutes is None else 60 * minutes

    def start(self, begin: Preparation) -> None:
        """What was read, and where it goes on."""
        self._begun, self._first = time.monotonic(), begin.done
        went = f"; goes on after {counted(begin.done, 'iteration')}" if begin.done else ""
        self.stage(f"{counted(begin.cases, self._what)}, on {begin.device}{went}")

    def step(self, step: StepFinished) -> None:
        """How far it is, and its loss."""
        done = step.iteration - self._first
        fraction, to_go = self._fraction(step), self._to_go(step, done)
        whole = f" of {self._total}" if self._limit is None else ""
        text = f"{step.iteration}{whole}, loss {step.loss:.4f}{_dice(step)}"
        if self._terminal and not self._every_step:
            self._move(text, fraction, to_go)
        elif self._every_step or step.check is not None or self._is_due(step.iteration, done):
            self._told_at = time.monotonic()
            self.stage(f"{text}, {duration(to_go)} to go")

    def _fraction(self, step: StepFinished) -> float:
        return step.iteration / self._total if self._limit is None else min(1.0, step.seconds / self._limit)

    def _to_go(self, step: StepFinished, done: int) -> float:
        if self._limit is not None:
            return max(0.0, self._limit - step.seconds)
        return (time.monotonic() - self._begun) / done * (self._total - step.iteration)

    def _move(self, text: str, fraction: float, to_go: float) -> None:
        from DeepSegmentLib.data import Progress

        self.bar(Progress(f"train {text}", fraction, to_go))

    def _is_due(self, iteration: int, done: int) -> bool:
        regular = done == 1 or iteration == self._total or iteration % _LINE_EVERY == 0
        return regular or time.monotonic() - self._told_at > _LINE_EVERY_S

    def stopped(self, command: Sequence[object]) -> None:
        """How to go on."""
        self.bar.close()
        complain(f"\nto go on: deepsegment {shlex.join(map(str, command))}\n")


def _dice(step: StepFinished) -> str:
    if step.check is None:
        return ""
    scores = ", ".join(f"{name} {value:.3f}" for name, value in step.check.dice.items())
    return f", Dice on held-out cases {step.check.mean:.3f} ({scores})"
