"""The state of a training on disk: when it is written, how, and how a training goes on from it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import torch

from DeepSegmentLib.errors import InvalidInputError, ModelError

from .processes import rank

if TYPE_CHECKING:
    from pathlib import Path

    from .state import TrainingState

_EVERY_S = 60.0
_LEAST_WORK = 50
"""Times as long as it takes to write a checkpoint are spent on steps before the next one."""


class Checkpoints:
    """Keeps a training on disk, so that a process that is killed loses a minute of it.

    A checkpoint is written after each `checkpoint_every` steps, and where the last one is a minute old. The steps wait
    for it: 0.25 s for 5.6 million weights (90 MB with their average and AdamW's moments), 1.3 s for 31 million (500
    MB), on a machine with two cores, the forcing to its disk included. Where that were more than 2 % of the time, as on
    slow network drives, checkpoints by time are fewer.

    Args:
        state: What is kept.
        path: Where; only the first of several processes writes.
    """

    def __init__(self, state: TrainingState, path: Path) -> None:
        self._state, self._path = state, path
        self._kept, self._at, self._took_s = state.iteration, time.monotonic(), 0.0

    def keep_if_due(self) -> None:
        """Write the state after a step, where it is time to."""
        state, now = self._state, time.monotonic()
        by_steps = state.iteration % state.settings.checkpoint_every == 0
        if by_steps or state.is_over or now - self._at > max(_EVERY_S, _LEAST_WORK * self._took_s):
            self.keep()

    def keep(self) -> None:
        """Write the state, unless it is on disk already."""
        if rank() > 0 or self._state.iteration == self._kept:
            return
        begun = time.monotonic()
        save(self._state.snapshot(), self._path)
        self._kept, self._at = self._state.iteration, time.monotonic()
        self._took_s = self._at - begun


def save(snapshot: dict[str, Any], path: Path) -> None:
    """Write a training state, completely or not at all; one writer at a time, what a killed one left is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # never follows a link
    try:
        with partial.open("xb") as file:
            torch.save(snapshot, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def resume(state: TrainingState, checkpoint: Path) -> None:
    """Go on where a file says that a training was.

    Raises:
        ModelError: It is damaged, or of another network.
        InvalidInputError: It is further on than the settings go.
    """
    try:
        state.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever torch's unpickler, which runs no code, says to foreign files
        raise ModelError(
            f"{checkpoint} holds no training state of this network ({_first_line(error)}); name another file, or "
            "delete it to begin anew"
        ) from error
    if state.iteration > state.settings.iterations:
        raise InvalidInputError(
            f"{checkpoint} is {state.iteration} iterations on, and the training has {state.settings.iterations}; name "
            "another file, or train longer"
        )


def _first_line(error: Exception) -> str:
    """What went wrong, without torch's advice on how to trust the file nevertheless."""
    line, *_ = [*str(error).strip().splitlines(), type(error).__name__]
    return "it is damaged, or more than numbers" if "weights_only" in line or "Weights only" in line else line[:200]
