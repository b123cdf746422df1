"""Who is told what a training does."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.data.progress import silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.training.fitting.fit import StepFinished


def _ignore(_: object) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Preparation:
    """What a training begins with, told before its first step.

    Attributes:
        cases: That are learned from.
        iterations: Steps of the whole training.
        done: Steps that the checkpoint has already.
        device: Where it runs, such as "cpu".
    """

    cases: int
    iterations: int
    done: int
    device: str


@dataclass(frozen=True)
class Watch:
    """Who is told what a training does; each may raise `Cancelled` to stop it.

    Attributes:
        on_progress: Told of what comes before the steps: reading and preparing cases.
        on_start: Told once, before the first step.
        on_step: Told of each step.
        undisturbed: See `training.fitting.fit.Hooks`.
    """

    on_progress: ProgressCallback = silent
    on_start: Callable[[Preparation], None] = _ignore
    on_step: Callable[[StepFinished], None] = _ignore
    undisturbed: Callable[[], AbstractContextManager[object]] = nullcontext
