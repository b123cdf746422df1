"""From logits to classes, probabilities and entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_SMALLEST = 1e-30
"""Probability; its logarithm is a number in float32."""


def largest_channel(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index of the largest of the channels (channel, ...); the first where several are largest.

    The same as `argmax` along the first axis, but reads memory in its order.
    """
    best, index = values[0].copy(), np.zeros(values.shape[1:], dtype=np.intp)
    for n, channel in enumerate(values[1:], start=1):
        better = channel > best
        best[better] = channel[better]
        index[better] = n
    return index


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


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities along the first axis."""
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of each region by itself."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)


def logits_of(probabilities: NDArray[np.float32], *, exclusive: bool) -> NDArray[np.float32]:
    """Logits that give these probabilities; of many such those of `exclusive` channels are their logarithms.

    Args:
        probabilities: Array (channel, ...) in [0, 1].
        exclusive: Whether they are those of `softmax`; otherwise those of `sigmoid`.
    """
    p = np.clip(probabilities, _SMALLEST, 1)
    if exclusive:
        return np.asarray(np.log(p), dtype=np.float32)
    return np.asarray(np.log(p) - np.log(np.clip(1 - probabilities, _SMALLEST, 1)), dtype=np.float32)


def entropy(probabilities: NDArray[np.float32], *, exclusive: bool) -> NDArray[np.float32]:
    """Shannon entropy in [0, 1]: 0 where one answer is certain, 1 where all are equally likely.

    Args:
        probabilities: Array (channel, ...).
        exclusive: Whether channels exclude each other (softmax); otherwise the mean of the regions' binary entropies.
    """
    p = np.clip(probabilities, 1e-12, 1)
    if exclusive:
        return np.asarray(-(p * np.log(p)).sum(axis=0) / np.log(len(p)), dtype=np.float32)
    q = np.clip(1 - probabilities, 1e-12, 1)
    return np.asarray(-(p * np.log2(p) + q * np.log2(q)).mean(axis=0), dtype=np.float32)
