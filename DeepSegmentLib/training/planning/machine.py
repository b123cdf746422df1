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
    """Where a training runs here, and the memory that is free."""
    import torch

    from DeepSegmentLib.training.fitting.processes import own_device

    device = own_device()
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return Machine(free, is_cpu=False)
    return Machine(available_memory_bytes() or _UNKNOWN)
