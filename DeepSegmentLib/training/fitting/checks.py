"""How good a network is while it is trained, and when it is good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003 - the JSON reader resolves the annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn


@dataclass(frozen=True)
class Checked:
    """What the network was worth at some step, on cases that it does not learn from.

    Attributes:
        iteration: Steps done.
        dice: Mean Dice of each segment over the cases that have it.
        by_case: Mean Dice of each case over its segments, in the same order at every check.
    """

    iteration: int
    dice: Mapping[str, float]
    by_case: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the cases; NaN without one."""
        return sum(self.by_case) / len(self.by_case) if self.by_case else math.nan


@dataclass(frozen=True)
class Check:
    """When and how a network is tried out while it is trained.

    Attributes:
        every: Steps between two checks.
        measure: Gets the network with averaged weights, in evaluation mode, and gives segments' and cases' Dice.
        parts: In so many equal parts of the whole training it is tried out as well, at the end of each; 0 for none.
    """

    every: int
    measure: Callable[[nn.Module], tuple[Mapping[str, float], tuple[float, ...]]]
    parts: int = 0

    def is_due(self, iteration: int, before: float, after: float) -> bool:
        """Whether the network is tried out after a step.

        Args:
            iteration: Steps done.
            before: How much of the training was done before it, 0 to 1.
            after: Likewise, after it.
        """
        return iteration % self.every == 0 or int(self.parts * after) > int(self.parts * before)


def is_flat(history: Sequence[Checked], patience: int) -> bool:
    """Whether the last checks brought nothing that is more than noise: it does not get better any more.

    The best check before the last `patience` ones is compared with each of these, case by case: a gain counts where its
    mean is more than its standard error over the cases. With one case every gain counts.

    Args:
        history: All checks so far, of the same cases.
        patience: How many checks have to be without gain; 0 is never flat.
    """
    if not patience or len(history) <= patience:
        return False
    earlier = history[:-patience]
    best = np.array(max(earlier, key=lambda each: each.mean).by_case)
    return not any(_gains(np.array(each.by_case) - best) for each in history[-patience:])


def _gains(differences: np.ndarray) -> bool:
    if len(differences) < 2:
        return bool(differences.sum() > 0)
    return bool(differences.mean() > differences.std(ddof=1) / math.sqrt(len(differences)))
