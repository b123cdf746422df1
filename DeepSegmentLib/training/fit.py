"""The training loop: seeded, checkpointed, resumable."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from DeepSegmentLib.errors import Cancelled, InvalidInputError, ModelError

from .losses import deeply_supervised

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from DeepSegmentLib.networks.architectures.unet import UNet


class SampleSource(Protocol):
    """Gives the training sample of an iteration; pickled, where processes beside the training make samples."""

    def __call__(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Image (channel, k, j, i) and what the loss compares with; the same for the same iteration."""


Loss = Callable[[list[Tensor], Tensor], Tensor]
"""From the logits of each resolution, finest first, and a batch of targets to a number."""


_MOST_WORKERS = 256
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

RECENT = 100
"""Steps whose losses are averaged for the result."""


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        iterations: Optimiser steps in all.
        batch_size: Samples a step.
        learning_rate: Peak of the schedule: linear warm-up, then cosine to zero.
        warm_up: Steps of the warm-up.
        weight_decay: Of AdamW.
        average: Decay of the exponential moving average of the weights, which is the result.
        clip: Largest norm of the gradient.
        checkpoint_every: Steps between checkpoints.
        workers: Processes that make samples beside the training; each has the cases in its own memory.
        seed: Of the first weights.
    """

    iterations: int
    batch_size: int = 1
    learning_rate: float = 1e-3
    warm_up: int = 100
    weight_decay: float = 1e-2
    average: float = 0.998
    clip: float = 5.0
    checkpoint_every: int = 100
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch_size < 1 or self.checkpoint_every < 1:
            raise InvalidInputError("iterations, batch size and checkpoint interval must be at least 1")
        if not 0 <= self.average < 1:
            raise InvalidInputError(f"decay of the average must be in [0, 1), got {self.average}")
        if not 0 <= self.workers <= _MOST_WORKERS:
            raise InvalidInputError(f"workers must be from 0 to {_MOST_WORKERS}, got {self.workers}")
        if not 0 <= self.seed < 1 << 63:
            raise InvalidInputError(f"the seed must be 0 or more and below 2^63, got {self.seed}")


@dataclass(frozen=True)
class StepFinished:
    """One optimiser step is done.

    Attributes:
        iteration: Steps done so far.
        loss: Its loss.
    """

    iteration: int
    loss: float


@dataclass(frozen=True)
class Fitted:
    """What a training gave.

    Attributes:
        network: With the moving average of the weights, in evaluation mode.
        iterations: Optimiser steps, those before it was continued too.
        loss: Mean of the last steps, 100 at most.
        seconds: That the steps took, likewise; what was not saved before a crash is not counted.
        device: Where, such as "cpu".
    """

    network: UNet
    iterations: int
    loss: float
    seconds: float
    device: str


def fit(
    network: UNet,
    source: SampleSource,
    settings: TrainSettings,
    checkpoint: Path,
    on_step: Callable[[StepFinished], None],
    *,
    loss: Loss = deeply_supervised,
    on_start: Callable[[int], None] = lambda _: None,
    undisturbed: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Fitted:
    """Train, from the checkpoint if there is one.

    Args:
        network: The network to train; its weights are drawn anew unless a checkpoint is there.
        source: Where samples come from.
        settings: How to train.
        checkpoint: File of the training state; written atomically, read with `weights_only`.
        on_step: Called after each step; raises `Cancelled` to stop. That and Ctrl-C save the state, to go on exactly.
        loss: What to minimise; the default is for images and class labels.
        on_start: Called once, before the first step, with the steps that the checkpoint has already.
        undisturbed: Entered while the weights change; who turns signals into exceptions holds them back there.

    Raises:
        InvalidInputError: The checkpoint is further on than `settings` go.
        ModelError: The checkpoint is damaged, or of another network.
    """
    state = _TrainingState(network, settings, loss)
    if checkpoint.exists():
        _resume(state, checkpoint)
        _check_steps(state, checkpoint)
    saved = state.iteration
    on_start(saved)
    try:
        # A signal that comes while processes are begun would be lost, or end only half of them.
        with undisturbed(), _helpers_begin_deaf() if settings.workers else nullcontext():
            batches = iter(_batches(source, settings, start=state.iteration))
        for image, target in batches:
            on_step(StepFinished(state.iteration + 1, state.step(image, target, undisturbed)))
            if state.iteration % settings.checkpoint_every == 0 or state.iteration == settings.iterations:
                _save(state.snapshot(), checkpoint)
                saved = state.iteration
    except (Cancelled, KeyboardInterrupt):
        if state.iteration != saved:
            _save(state.snapshot(), checkpoint)
        raise
    return state.fitted()


def _first_line(error: Exception) -> str:
    """What went wrong, without torch's advice on how to trust the file nevertheless."""
    line, *_ = [*str(error).strip().splitlines(), type(error).__name__]
    return "it is damaged, or more than numbers" if "weights_only" in line or "Weights only" in line else line[:200]


def _resume(state: _TrainingState, checkpoint: Path) -> None:
    try:
        state.restore(torch.load(checkpoint, weights_only=True))
    except Exception as error:  # whatever torch's unpickler, which runs no code, says to foreign files
        raise ModelError(
            f"{checkpoint} holds no training state of this network ({_first_line(error)}); name another file, or "
            "delete it to begin anew"
        ) from error


def _check_steps(state: _TrainingState, checkpoint: Path) -> None:
    done, wanted = state.iteration, state.settings.iterations
    if done > wanted:
        raise InvalidInputError(
            f"{checkpoint} is {done} iterations on, and the training has {wanted}; name another file, or train longer"
        )


class _TrainingState:
    """Weights, their moving average, the optimiser and how far it is."""

    def __init__(self, network: UNet, settings: TrainSettings, loss: Loss) -> None:
        self.network, self.settings, self.loss, self.iteration = network.train(), settings, loss, 0
        self.losses, self.seconds, self._counted = list[float](), 0.0, time.monotonic()
        self.average = deepcopy(network)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)

    def _rate(self, iteration: int) -> float:
        if iteration < self.settings.warm_up:
            return (iteration + 1) / self.settings.warm_up
        progress = min(1.0, iteration / self.settings.iterations)
        return 0.5 * (1 + float(torch.cos(torch.tensor(progress * torch.pi))))

    def step(self, image: Tensor, target: Tensor, undisturbed: Callable[[], AbstractContextManager[object]]) -> float:
        spec = self.network.spec
        outputs = self.network.forward_all(image) if spec.deep_supervision else [self.network(image)]
        loss = self.loss(outputs[:3], target)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        with undisturbed():
            self._change(float(loss.detach()))
        return self.losses[-1]

    def _change(self, loss: float) -> None:
        """All that a step changes, so that between two of them the state is whole."""
        self.optimizer.step()
        self.schedule.step()
        self.iteration += 1
        self._update_average()
        self.losses = [*self.losses, loss][-RECENT:]
        now = time.monotonic()
        self.seconds, self._counted = self.seconds + now - self._counted, now

    def fitted(self) -> Fitted:
        loss = sum(self.losses) / len(self.losses) if self.losses else math.nan
        device = next(self.network.parameters()).device
        return Fitted(self.average.eval(), self.iteration, loss, self.seconds, str(device))

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average would remember the random first weights: let it grow with the steps done.
        decay = min(self.settings.average, (1 + self.iteration) / (10 + self.iteration))
        for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    def snapshot(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "losses": self.losses,
            "seconds": self.seconds,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.iteration = snapshot["iteration"]
        self.network.load_state_dict(snapshot["network"])
        self.average.load_state_dict(snapshot["average"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.schedule.last_epoch = snapshot["schedule"]["last_epoch"]
        self.losses, self.seconds = list(snapshot["losses"]), float(snapshot["seconds"])


def _save(snapshot: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid4().hex[:12]}.pt")
    try:
        torch.save(snapshot, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class _Samples(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, source: SampleSource, start: int, stop: int) -> None:
        self.source, self.start, self.stop = source, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, n: int) -> tuple[Tensor, Tensor]:
        return self.source(self.start + n)


def _batches(source: SampleSource, settings: TrainSettings, start: int) -> DataLoader[tuple[Tensor, Tensor]]:
    samples = _Samples(source, start * settings.batch_size, settings.iterations * settings.batch_size)
    return DataLoader(
        samples,
        batch_size=settings.batch_size,
        num_workers=settings.workers,
        shuffle=False,
        worker_init_fn=_leave_the_end_to_the_parent,
        # New processes, as on Windows and macOS: what locks threads of this one hold stays locked in a copy.
        multiprocessing_context="spawn" if settings.workers else None,
    )


@contextmanager
def _helpers_begin_deaf() -> Iterator[None]:
    """Processes that are begun in the block hear no signal until they leave the end to their parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        resource_tracker.ensure_running()  # by multiprocessing's own process, which lets signals through when it begins
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_the_end_to_the_parent(_: int) -> None:
    """Ctrl-C goes to all processes of a terminal; one that makes samples ends with its parent, not before it.

    A sample that is on its way when the parent ends is no error to tell.
    """
    sys.excepthook = _but_lost_connections  # called in the thread of multiprocessing that hands samples over
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _but_lost_connections(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
