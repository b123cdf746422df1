"""From logits to classes, probabilities and entropy, on the device where the logits are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.networks.runtime import Head

_SMALLEST = 1e-30
"""Probability; its logarithm is a number in float32."""
_ROWS_AT_ONCE = 1 << 13
"""So many rows of scores stay in a processor's cache; on other devices all go at once."""


class PlaneOfLabels:
    """A finished plane of which only the classes are known."""

    def __init__(self, labels: Tensor) -> None:
        """Take int64 classes (row, column)."""
        self._labels = labels

    def largest(self) -> NDArray[Any]:
        """Classes (row, column)."""
        return self._labels.cpu().numpy()


class PlaneOfScores(PlaneOfLabels):
    """A finished plane with the logits of all classes; only what is asked for leaves the device."""

    def __init__(self, logits: Tensor, *, exclusive: bool) -> None:
        """Take float32 logits (class, row, column), and whether they are those of softmax or of sigmoid."""
        self._logits, self._exclusive = logits, exclusive
        self._known: Tensor | None = None

    @property
    def _probabilities(self) -> Tensor:
        if self._known is None:
            self._known = probabilities_of(self._logits, exclusive=self._exclusive)
        return self._known

    def largest(self) -> NDArray[Any]:
        """Classes (row, column): the first where several are largest."""
        return self._logits.max(dim=0).indices.cpu().numpy()

    def regions(self) -> NDArray[np.bool_]:
        """What is inside each region (region, row, column)."""
        return (self._logits > 0).cpu().numpy()

    def probability(self, n: int) -> NDArray[np.float32]:
        """Of one class (row, column), in [0, 1]."""
        return self._probabilities[n].cpu().numpy()

    def entropy(self) -> NDArray[np.float32]:
        """Of all classes (row, column), in [0, 1]."""
        return entropy(self._probabilities, exclusive=self._exclusive).cpu().numpy()


def largest_class(rows: Tensor, head: Head | None) -> Tensor:
    """The class whose score is largest, for each row; the first where several are largest.

    Args:
        rows: Float32 (row, feature), or (row, class) without a head.
        head: What makes scores of features.

    Returns:
        Int64 (row).
    """
    parts = torch.split(rows, _ROWS_AT_ONCE if rows.device.type == "cpu" else max(1, len(rows)))
    if head is None:
        return torch.cat([part.max(dim=1).indices for part in parts])
    bias, across = head.bias.to(rows.device), head.weight.to(rows.device).t().contiguous()
    return torch.cat([torch.addmm(bias, part, across).max(dim=1).indices for part in parts])


def probabilities_of(logits: Tensor, *, exclusive: bool) -> Tensor:
    """Probabilities (class, ...): after softmax where classes are `exclusive`, otherwise after sigmoid."""
    return torch.softmax(logits, dim=0) if exclusive else torch.sigmoid(logits)


def logits_of(probabilities: Tensor, *, exclusive: bool) -> Tensor:
    """Logits that give these probabilities; of many such those of `exclusive` channels are their logarithms.

    Args:
        probabilities: Float32 (class, ...) in [0, 1].
        exclusive: Whether they are those of softmax; otherwise those of sigmoid.
    """
    p = probabilities.clamp(_SMALLEST, 1).log()
    return p if exclusive else p - (1 - probabilities).clamp(_SMALLEST, 1).log()


def entropy(probabilities: Tensor, *, exclusive: bool) -> Tensor:
    """Shannon entropy in [0, 1]: 0 where one answer is certain, 1 where all are equally likely.

    Args:
        probabilities: Float32 (class, ...).
        exclusive: Whether channels exclude each other (softmax); otherwise the mean of the regions' binary entropies.
    """
    p = probabilities.clamp(1e-12, 1)
    if exclusive:
        return -(p * p.log()).sum(dim=0) / torch.log(torch.tensor(float(len(p))))
    q = (1 - probabilities).clamp(1e-12, 1)
    return -(p * p.log2() + q * q.log2()).mean(dim=0)
