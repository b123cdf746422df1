"""Which one of several processes that train together this is, as torch's launcher (`torchrun`) says; needs no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from DeepSegmentLib.errors import InvalidInputError


@dataclass(frozen=True)
class Launch:
    """One of the processes that were launched together.

    Attributes:
        rank: Its number, from 0; the first one decides and writes.
        count: Of all of them, on all machines.
        local_rank: Its number on this machine, from 0.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.local_rank <= self.rank < self.count):
            raise InvalidInputError(
                "RANK must be 0 or more, at least LOCAL_RANK and below WORLD_SIZE, got "
                f"{self.rank}, {self.local_rank} and {self.count}"
            )

    @property
    def is_first(self) -> bool:
        """Whether this one decides and writes."""
        return self.rank == 0


def launch() -> Launch:
    """Of this process, from its environment; alone where no launcher set that.

    Raises:
        InvalidInputError: The environment makes no sense.
    """
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        return Launch()
    rank = _number("RANK", 0)
    return Launch(rank, _number("WORLD_SIZE", 1), _number("LOCAL_RANK", 0))


def _number(name: str, otherwise: int) -> int:
    word = os.environ.get(name, str(otherwise))
    try:
        return int(word)
    except ValueError:
        raise InvalidInputError(f"{name} in the environment must be a whole number, got {word!r}") from None
