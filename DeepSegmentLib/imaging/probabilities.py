"""From logits to classes, probabilities and entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities along the first axis."""
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of each region by itself."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)


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
