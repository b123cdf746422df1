"""The training loop: seeded, checkpointed, resumable."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled

from .checkpoints import Checkpoints, resume
from .checks import Checked, is_flat
from .partial_losses import deeply_supervised
from .processes import Lead, begin_alike, count, rank
from .sample_processes import batches
from .state import TrainingState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
        undisturbed: Entered while the weights change, and while processes that train together make a step; who turns
            signals into exceptions holds them back there. Blocks may lie within each other.
        check: Tries the network out now and then, in the first process; None for never.
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

    Of processes that train together (see `processes`) all call this, and get the same network; the first one stops it
    for all, and writes the checkpoint.

    Args:
        network: The network to train, in place.
        source: Where samples come from.
        settings: How to train.
        checkpoint: File of the training state; written atomically, read with `weights_only`.
        hooks: Who is told what happens.
        loss: What to minimise: of the logits of each resolution, finest first, and of what a batch holds beside its
            images. The default is for class labels.

    Raises:
        InvalidInputError: The checkpoint is further on than `settings` go, or the processes cannot share a batch.
        ModelError: The checkpoint is damaged, or of another network; or the loss is no number any more.
    """
    state = TrainingState(network, settings, loss, hooks.groups, hooks.unlabelled)
    if checkpoint.exists():
        resume(state, checkpoint)
    begin_alike([state.network, state.average], state.iteration)
    hooks.on_start(state.iteration)
    kept = Checkpoints(state, checkpoint)
    lead = Lead()
    try:
        with batches(source, settings, state.iteration, hooks.undisturbed) as stream:
            state.start_the_clock()
            while _step(state, stream, lead, hooks):
                kept.keep_if_due()
    except (Cancelled, KeyboardInterrupt):
        kept.keep()
        lead.stop()
        raise
    return _fitted(state)


def _step(state: TrainingState, stream: Iterator[Any], lead: Lead, hooks: Hooks) -> bool:
    """Make a step; False where there is none to make."""
    with hooks.undisturbed() if count() > 1 else nullcontext():
        over = rank() == 0 and (state.is_over or _is_good_enough(state))
        goes_on, state.seconds = lead.goes_on(over=over, seconds=state.seconds)
        if not goes_on:
            return False
        rate, before = state.rate, state.progress
        loss = state.step([*islice(stream, state.settings.accumulate)], hooks.undisturbed)
    hooks.on_step(StepFinished(state.iteration, loss, rate, state.seconds, _checked(state, hooks.check, before)))
    return True


def _checked(state: TrainingState, check: Check | None, before: float) -> Checked | None:
    if check is None or rank() > 0:
        return None
    if not (check.is_due(state.iteration, before, state.progress) or state.is_over):
        return None
    found = Checked(state.iteration, *check.measure(state.average.eval()))
    state.checks.append(found)
    return found


def _is_good_enough(state: TrainingState) -> bool:
    return is_flat(state.checks, state.settings.patience)


def _fitted(state: TrainingState) -> Fitted:
    loss = sum(state.losses) / len(state.losses) if state.losses else math.nan
    network = state.average.eval()
    early = not state.is_over
    return Fitted(
        network, state.iteration, loss, state.seconds, str(state.device), tuple(state.checks), good_enough=early
    )
