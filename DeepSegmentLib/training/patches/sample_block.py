"""Values between the voxels of a block, by gathering neighbours: on a CPU twice as quick as `grid_sample`."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from DeepSegmentLib.data import Index

    Places = tuple[Tensor, Tensor, Tensor]

_VOXELS_AT_ONCE = 1 << 15
"""So few that what is between stays in the processor's cache."""


def sample_linear(block: Tensor, places: Places) -> Tensor:
    """Values at places, interpolated linearly along the three axes.

    Args:
        block: (channel, k, j, i), float32.
        places: Indices (k, j, i), with fractions, of the places; at least 0, and below the last voxel of each axis.

    Returns:
        Float32 (channel, ...), of the shape of the places.
    """
    planes = max(1, _VOXELS_AT_ONCE // places[0][0].numel())
    slabs = zip(*(torch.split(place, planes) for place in places), strict=True)
    return torch.cat([_slab_linear(block, slab) for slab in slabs], dim=1)


def _slab_linear(block: Tensor, places: tuple[Tensor, ...]) -> Tensor:
    lower = [place.to(torch.int32) for place in places]
    shares = [place - first for place, first in zip(places, lower, strict=True)]
    index = _flat(lower, block.shape[1:])
    steps = (block[0, 0].numel(), block.shape[3], 1)
    return torch.stack([_gathered(voxels, index, steps, shares) for voxels in block.reshape(len(block), -1)])


def _gathered(voxels: Tensor, index: Tensor, steps: Sequence[int], shares: Sequence[Tensor]) -> Tensor:
    """Values between neighbours along the first axis that is left, both of them values between those of the others."""
    if not steps:
        return _take(voxels, index)
    low = _gathered(voxels, index, steps[1:], shares[1:])
    high = _gathered(voxels[steps[0] :], index, steps[1:], shares[1:])
    return low.addcmul_(high.sub_(low), shares[0])


def sample_nearest(block: Tensor, places: Places) -> Tensor:
    """Values of the nearest voxels; the arguments are those of `sample_linear`, but of any type of values."""
    index = _flat([(place + 0.5).to(torch.int32) for place in places], block.shape[1:])
    return torch.stack([_take(voxels, index) for voxels in block.reshape(len(block), -1)])


def _flat(index: list[Tensor], shape: Index | torch.Size) -> Tensor:
    """Where voxels stand in a block that is one line."""
    return reduce(lambda flat, axis: flat * shape[axis] + index[axis], (1, 2), index[0])


def _take(voxels: Tensor, index: Tensor) -> Tensor:
    return torch.index_select(voxels, 0, index.reshape(-1)).reshape(index.shape)
