"""The curves of a training for TensorBoard, where that is installed: the lines of its progress file, as events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .progress_file import ProgressLine

_FILES = "events.out.tfevents.*"


class EventFile:
    """Writes events beside the progress file; nothing where TensorBoard is not installed.

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
            for path in self._folder.glob(_FILES):
                path.unlink()
            self._writer = SummaryWriter(str(self._folder))  # type: ignore[no-untyped-call]
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
