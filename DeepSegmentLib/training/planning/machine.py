"""The machine that a training is planned for."""

from __future__ import annotations

from dataclasses import dataclass

from DeepSegmentLib.imaging.memory import available_memory_bytes

Spacing = tuple[float, float, float]
"""Millimetres (k, j, i)."""

_UNKNOWN = 8 << 30


@dataclass(frozen=True)
class Machine:
    """What a plan has to fit.

    Attributes:
        memory_bytes: Free memory of the device that trains.
        is_cpu: Whether that is the processor.
    """

    memory_bytes: int
    is_cpu: bool = True


def this_machine() -> Machine:
    """The processor here, and the memory that is free."""
    return Machine(available_memory_bytes() or _UNKNOWN)
