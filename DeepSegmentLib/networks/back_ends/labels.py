"""The labels that features stand for, and how far two of them differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_VOXELS = 1 << 17
"""At once: the logits of all classes over a whole patch may be more than there is memory for."""


@dataclass(frozen=True)
class Difference:
    """How far two labellings differ.

    Attributes:
        voxels: All that there are.
        foreground: Those that either has a label for.
        differing: Those where they are not the same.
    """

    voxels: int
    foreground: int
    differing: int


def labels_of(features: Tensor, head: Callable[[Tensor], Tensor] | None, *, exclusive: bool) -> Tensor:
    """Labels (row, voxel) of features or logits (batch, channel, ...), 0 for background.

    Args:
        features: What a network's body gives.
        head: Makes logits (class, ...) of features (feature, ...); None where they are logits.
        exclusive: Whether the largest logit is the label; otherwise each class is a row, 1 where its logit is above 0.
    """
    flat = features.flatten(2)
    parts = [each[:, n : n + _VOXELS] for each in flat for n in range(0, flat.shape[2], _VOXELS)]
    logits = (part if head is None else head(part) for part in parts)
    return torch.cat([one.argmax(0, keepdim=True) if exclusive else (one > 0).long() for one in logits], dim=1)


def difference(one: Tensor, other: Tensor) -> Difference:
    """Of labels (row, voxel) of the same shape."""
    foreground = ((one > 0) | (other > 0)).any(0)
    return Difference(one.shape[1], int(foreground.sum()), int((one != other).any(0).sum()))
