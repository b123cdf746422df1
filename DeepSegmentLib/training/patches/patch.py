"""A patch, as training sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Patch(NamedTuple):
    """One sample; a batch of them has one more axis in front.

    Attributes:
        image: Intensities (channel, k, j, i), float32.
        labels: (layer, k, j, i), int64, as those of `PreparedCase`.
        regions: Rows of `known` (k, j, i), int64.
        known: For each row whether each output channel is known, 1 or 0, and after these how much its voxels count:
            float32 (row, channels + 1). All samples of a training have as many rows, unused ones are 0.
    """

    image: Tensor
    labels: Tensor
    regions: Tensor
    known: Tensor
