"""What long work tells its caller, and how the caller stops it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """One report of how far the work is.

    Attributes:
        stage: What is being done, a short phrase such as "predict".
        fraction: Part of the whole work that is done, 0 to 1.
        eta_s: Seconds to go, or None while unknown.
        memory_bytes: Peak memory of the process so far, or None where it cannot be read.

    Example:
        >>> Progress("predict", 0.5, eta_s=12.4)
        Progress(stage='predict', fraction=0.5, eta_s=12.4, memory_bytes=None)
    """

    stage: str
    fraction: float
    eta_s: float | None = None
    memory_bytes: int | None = None


ProgressCallback = Callable[[Progress], None]
"""Receives progress; raises `Cancelled` to stop the work."""


def tell_part(on_progress: ProgressCallback, begin: float, end: float, event: Progress) -> None:
    """Tell the progress of a part of the work, which goes from `begin` to `end`, as that of the whole."""
    on_progress(replace(event, fraction=begin + (end - begin) * event.fraction))


def silent(_: Progress) -> None:
    """Ignore progress."""


def unwatched() -> None:
    """What a caller passes that does not want to be called between the steps of a work."""
