"""The label whose value is largest, for labels that come one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LargestOf:
    """The label whose value is largest, for labels that come one by one."""

    def __init__(self, nearest: NDArray[Any]) -> None:
        """Start with the labels that win where several values are largest and theirs is one of them."""
        self._nearest = nearest
        self._best = np.full(nearest.shape, -np.inf, dtype=np.float32)
        self.winners = nearest.copy()

    def add(self, label: int, values: NDArray[np.float32]) -> None:
        """Let a label take the voxels where its values are larger than all before, or as large and it is nearest."""
        wins = (values > self._best) | ((values == self._best) & (self._nearest == label))
        self.winners[wins] = label
        np.maximum(self._best, values, out=self._best)
