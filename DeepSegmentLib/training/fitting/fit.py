"""The training loop: seeded, checkpointed, resumable."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled

from .checks import Checked, is_flat
from .losses import deeply_supervised
from .sample_processes import batches
from .state import TrainingState, resume, save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import nn

    from DeepSegmentLib.training.unlabelled.pseudo_labels import PseudoLabels

    from .checks import Check
    from .sample_processes import SampleSource
    from .settings import TrainSettings
    from .state import Loss


@dataclass(frozen=True)
class StepFinished:
    """One optimiser step is done.

    Attributes:
        iteration: Steps done so far.
        loss: Its loss.
        rate: The learning rate that it was made with.
        seconds: That all steps took so far.
        check: How good the network is, where it was tried out after this step.
    """

    iteration: int
    loss: float
    rate: float = 0.0
    seconds: float = 0.0
    check: Checked | None = None


@dataclass(frozen=True)
class Fitted:
    """What a training gave.

    Attributes:
        network: With the moving average of the weights, in evaluation mode.
        iterations: Optimiser steps, those before it was continued too.
        loss: Mean of the last steps, 100 at most.
        seconds: That the steps took, likewise; what was not saved before a crash is not counted.
        device: Where, such as "cpu".
        checks: How good it was on the way.
        good_enough: Whether it ended before its last step because nothing was gained any more.
    """

    network: nn.Module
    iterations: int
    loss: float
    seconds: float
    device: str
    checks: tuple[Checked, ...] = ()
    good_enough: bool = False


@dataclass(frozen=True)
class Hooks:
    """Who is told, and who has a say.

    Attributes:
        on_start: Called once, before the first step, with the steps that the checkpoint has already.
        on_step: Called after each step; raises `Cancelled` to stop. That and Ctrl-C save the state, to go on exactly.
        undisturbed: Entered while the weights change; who turns signals into exceptions holds them back there.
        check: Tries the network out now and then; None for never.
        groups: Parameters by their rates, see `TrainingState`.
        unlabelled: How it learns from volumes without labels, see `TrainingState`.
    """

    on_start: Callable[[int], None] = lambda _: None
    on_step: Callable[[StepFinished], None] = lambda _: None
    undisturbed: Callable[[], AbstractContextManager[object]] = nullcontext
    check: Check | None = None
    groups: Sequence[dict[str, Any]] | None = None
    unlabelled: PseudoLabels | None = None


def fit(
    network: nn.Module,
    source: SampleSource,
    settings: TrainSettings,
    checkpoint: Path,
    hooks: Hooks,
    *,
    loss: Loss = deeply_supervised,
) -> Fitted:
    """Train, from the checkpoint if there is one.

    Args:
        network: The network to train, in place.
        source: Where samples come from.
        settings: How to train.
        checkpoint: File of the training state; written atomically, read with `weights_only`.
        hooks: Who is told what happens.
        loss: What to minimise: of the logits of each resolution, finest first, and of what a batch holds beside its
            images. The default is for class labels.

    Raises:
        InvalidInputError: The checkpoint is further on than `settings` go.
        ModelError: The checkpoint is damaged, or of another network; or the loss is no number any more.
    """
    state = TrainingState(network, settings, loss, hooks.groups, hooks.unlabelled)
    if checkpoint.exists():
        resume(state, checkpoint)
    hooks.on_start(state.iteration)
    saved = state.iteration
    try:
        with batches(source, settings, state.iteration, hooks.undisturbed) as stream:
            state.start_the_clock()
            while not (state.is_over or _is_good_enough(state)):
                _step(state, [*islice(stream, settings.accumulate)], hooks)
                if state.iteration % settings.checkpoint_every == 0 or state.is_over:
                    save(state.snapshot(), checkpoint)
                    saved = state.iteration
    except (Cancelled, KeyboardInterrupt):
        if state.iteration != saved:
            save(state.snapshot(), checkpoint)
        raise
    return _fitted(state)


def _step(state: TrainingState, these: Sequence[Any], hooks: Hooks) -> None:
    rate, before = state.rate, state.progress
    loss = state.step(these, hooks.undisturbed)
    check = hooks.check
    found = None
    if check is not None and (check.is_due(state.iteration, before, state.progress) or state.is_over):
        found = Checked(state.iteration, *check.measure(state.average.eval()))
        state.checks.append(found)
    hooks.on_step(StepFinished(state.iteration, loss, rate, state.seconds, found))


def _is_good_enough(state: TrainingState) -> bool:
    return is_flat(state.checks, state.settings.patience)


def _fitted(state: TrainingState) -> Fitted:
    loss = sum(state.losses) / len(state.losses) if state.losses else math.nan
    network = state.average.eval()
    early = not state.is_over
    return Fitted(
        network, state.iteration, loss, state.seconds, str(state.device), tuple(state.checks), good_enough=early
    )
