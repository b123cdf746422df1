"""How long a network took."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from .network import copies_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from .network import Head, Network


class TimedNetwork:
    """A network that keeps the time of each call, and of being read at the first question.

    Graphs on a GPU answer before they are done.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._calls: list[tuple[float, int]] = []
        self._share = 1.0
        self.reading_s: float | None = None

    @property
    def behind(self) -> tuple[Network, ...]:
        """The network."""
        return (self._network,)

    @property
    def copies(self) -> tuple[Network, ...]:
        """Those of the network on several devices, each call a part of the time; itself, where there is but one."""
        copies = copies_of(self._network)
        if len(copies) == 1:
            return (self,)
        timed = [TimedNetwork(copy) for copy in copies]
        for each in timed:
            each._calls, each._share = self._calls, 1 / len(copies)
        return tuple(timed)

    @property
    def device(self) -> torch.device:
        """That of the network, which may be read only now."""
        begun = time.monotonic()
        place = self._network.device
        self.reading_s = time.monotonic() - begun if self.reading_s is None else self.reading_s
        return place

    @property
    def head(self) -> Head | None:
        """That of the network."""
        return self._network.head

    def __call__(self, patches: Tensor, /) -> Tensor:
        """Its features or logits; raises what it raises."""
        begun = time.monotonic()
        result = self._network(patches)
        self._calls.append(((time.monotonic() - begun) * self._share, len(patches)))
        return result

    @property
    def passes(self) -> int:
        """How many patches there were."""
        return sum(count for _, count in self._calls)

    @property
    def seconds(self) -> float:
        """What all calls took."""
        return sum(seconds for seconds, _ in self._calls)

    @property
    def first_s(self) -> float:
        """What a patch of the first call took beyond the pace: compiling, comparing back ends."""
        return max(0.0, self._each[0] - self.pace_s) * self._calls[0][1] if self._calls else 0.0

    @property
    def pace_s(self) -> float:
        """Seconds of a patch, on average, without the first call where there are others.

        A call among later ones that compared back ends again, when it saw enough foreground, is no part of it, either.
        """
        later = self._calls[1:] or self._calls
        usual = 3 * statistics.median(seconds / count for seconds, count in later) if later else 0.0
        kept = [(seconds, count) for seconds, count in later if seconds <= usual * count]
        return sum(seconds for seconds, _ in kept) / max(1, sum(count for _, count in kept))

    @property
    def _each(self) -> list[float]:
        return [seconds / count for seconds, count in self._calls]
