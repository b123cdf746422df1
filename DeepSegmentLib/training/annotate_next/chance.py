"""Chance that depends on a seed and a volume alone."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .volumes import Unlabelled

_BITS = 52
"""So many a float64 has behind the point, and half a step more keeps the number below 1."""


def gumbel(volumes: Sequence[Unlabelled], seed: int, purpose: str) -> NDArray[np.float64]:
    """A number of the standard Gumbel distribution for each volume.

    Added to the logarithms of weights, the largest sums are a sample without replacement by these weights.

    Args:
        volumes: Their digests count.
        seed: Of chance.
        purpose: What it is for; for different purposes chance is independent.

    References:
        Kool et al., Stochastic beams and where to find them: the Gumbel-top-k trick, ICML 2019.
    """
    return np.array([-np.log(-np.log(_uniform(f"{purpose} {seed} {volume.digest}"))) for volume in volumes])


def _uniform(text: str) -> float:
    """A number above 0 and below 1."""
    digest = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return ((digest >> (64 - _BITS)) + 0.5) / (1 << _BITS)
