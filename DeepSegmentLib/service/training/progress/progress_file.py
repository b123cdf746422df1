"""How a training went, a JSON line for each report: what its curves are drawn from; for TensorBoard, too."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.opening import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.training.fitting.fit import StepFinished

PROGRESS = "progress.jsonl"
"""Its name in the folder of a training."""
_EVERY = 10
_LARGEST = 64 << 20
_EVENT_FILES = "events.out.tfevents.*"


@dataclass(frozen=True)
class ProgressLine:
    """One report.

    Attributes:
        iteration: Steps done.
        loss: Mean of the steps since the last report.
        rate: Learning rate.
        seconds: That all steps took so far.
        dice: Of each segment on the watched cases, where the network was tried out; empty elsewhere.
    """

    iteration: int
    loss: float
    rate: float
    seconds: float
    dice: Mapping[str, float]


def read_progress(path: Path) -> tuple[ProgressLine, ...]:
    """All reports of a training; none where it has not begun. A line that is half written is left out.

    Raises:
        VolumeFileError: The file cannot be read.
    """
    if not path.exists():
        return ()
    lines = []
    for line in read_bytes(path, largest=_LARGEST).splitlines():
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            lines.append(_line(json.loads(line)))
    return tuple(lines)


def _line(document: Mapping[str, Any]) -> ProgressLine:
    dice = {str(name): float(value) for name, value in document["dice"].items()}
    loss, rate, seconds = (float(document[key]) for key in ("loss", "rate", "seconds"))
    return ProgressLine(int(document["iteration"]), loss, rate, seconds, dice)


class ProgressFile:
    """Writes the reports.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._losses: list[float] = []
        self._events = _Events(path.parent)

    def go_on_from(self, iteration: int) -> None:
        """Forget what was told of steps that the checkpoint does not have."""
        kept = [line for line in read_progress(self._path) if line.iteration <= iteration]
        write_text(self._path, "".join(_text(line) for line in kept))
        self._events.begin(kept)

    def step(self, step: StepFinished) -> None:
        """Tell a step, with those before it, once in a while and where the network was tried out.

        Raises:
            VolumeFileError: The disk is full or write-protected.
        """
        self._losses.append(step.loss)
        if step.iteration % _EVERY and step.check is None:
            return
        mean = sum(self._losses) / len(self._losses)
        dice = {} if step.check is None else step.check.dice
        self._losses = []
        line = ProgressLine(step.iteration, mean, step.rate, step.seconds, dice)
        try:
            with self._path.open("a", encoding="ascii", newline="\n") as file:
                file.write(_text(line))
        except OSError as error:
            raise VolumeFileError(f"{self._path} cannot be written: {error.strerror or error}") from error
        self._events.add(line)


def _text(line: ProgressLine) -> str:
    document = {
        "iteration": line.iteration,
        "loss": round(line.loss, 5),
        "rate": float(f"{line.rate:.4g}"),
        "seconds": round(line.seconds, 2),
        "dice": {name: round(value, 4) for name, value in line.dice.items()},
    }
    return json.dumps(document, allow_nan=False) + "\n"


class _Events:
    """Curves for TensorBoard beside the progress file, of the same lines; nothing where it is not installed.

    Args:
        folder: Of the training.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def begin(self, lines: Sequence[ProgressLine]) -> None:
        """Write what was told so far, in place of what an earlier process wrote: no step is there twice.

        Raises:
            VolumeFileError: The folder cannot be written.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        try:
            for path in self._folder.glob(_EVENT_FILES):
                path.unlink()
            self._writer = SummaryWriter(str(self._folder))
        except OSError as error:
            raise VolumeFileError(f"{self._folder} cannot be written: {error.strerror or error}") from error
        begun = time.time() - (lines[-1].seconds if lines else 0.0)
        for line in lines:
            self._write(line, begun + line.seconds)
        self._writer.flush()

    def add(self, line: ProgressLine) -> None:
        """Write another line."""
        if self._writer is not None:
            self._write(line, time.time())
            self._writer.flush()

    def _write(self, line: ProgressLine, at_s: float) -> None:
        scalars = {"loss": line.loss, "rate": line.rate}
        scalars |= {f"Dice/{name}": value for name, value in line.dice.items()}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, line.iteration, walltime=at_s)
