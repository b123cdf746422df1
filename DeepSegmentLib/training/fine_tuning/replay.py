"""Which case is learned from at which iteration; earlier cases come again, so that they are not forgotten.

References:
    Robins, Catastrophic forgetting, rehearsal and pseudorehearsal, Connection Science 1995.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DeepSegmentLib.errors import InvalidInputError


@dataclass(frozen=True)
class MixedOrder:
    """New cases and old ones, evenly mixed; of each kind all are seen once before one is seen again.

    Attributes:
        new: How many cases are new: numbers from 0.
        old: How many are old: the numbers behind these.
        share: Of the iterations that learn from an old case.
        seed: Of the order.
    """

    new: int
    old: int
    share: float
    seed: int

    def __post_init__(self) -> None:
        if self.new < 0 or self.old < 0 or self.new + self.old == 0:
            raise InvalidInputError(f"an order needs cases, got {self.new} new ones and {self.old} old ones")
        if not 0 <= self.share <= 1:
            raise InvalidInputError(f"the share of old cases must be from 0 to 1, got {self.share}")

    def __call__(self, iteration: int) -> int:
        """The number of the case at an iteration, from 0."""
        share = 0.0 if not self.old else 1.0 if not self.new else self.share
        olds = int(iteration * share)
        if int((iteration + 1) * share) > olds:
            return self.new + self._shuffled(olds, self.old, 1)
        return self._shuffled(iteration - olds, self.new, 0)

    def _shuffled(self, n: int, count: int, kind: int) -> int:
        turn, place = divmod(n, count)
        return int(np.random.default_rng((self.seed, 3, kind, turn)).permutation(count)[place])
