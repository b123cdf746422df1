"""Additions of low rank to convolutions: few numbers to learn, none left when the training ends.

A convolution W becomes W + B A, where A is a convolution of the same kernel to `rank` channels and B mixes these to
those of the output; B begins with zeros, so nothing is changed at first. At the end both are added into W.

References:
    Hu et al., LoRA: low-rank adaptation of large language models, ICLR 2022 (section 4.1; here with alpha / r = 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Container

_POINT = {nn.Conv2d: nn.Conv2d, nn.Conv3d: nn.Conv3d}


class LowRank(nn.Module):
    """The addition to a convolution, as parameters: `down` (rank, in, kernel) and `up` (out, rank)."""

    def __init__(self, layer: nn.Conv2d | nn.Conv3d, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, *layer.weight.shape[1:]))
        self.up = nn.Parameter(torch.zeros(layer.out_channels, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self) -> Tensor:
        """What is added to the weights (out, in, kernel)."""
        return torch.einsum("or,r...->o...", self.up, self.down)


class _WithAddition(nn.Module):
    """A convolution whose own weights stay, with an addition."""

    def __init__(self, layer: nn.Conv2d | nn.Conv3d, rank: int) -> None:
        super().__init__()
        self.layer, self.addition = layer, LowRank(layer, rank)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        out: Tensor = layer._conv_forward(x, layer.weight + self.addition(), layer.bias)
        return out

    def merged(self) -> nn.Module:
        with torch.no_grad():
            self.layer.weight += self.addition()
        return self.layer


def add_low_rank(network: nn.Module, rank: int, *, keep: Container[int] = ()) -> None:
    """Give every convolution of a network an addition, in place; the network's answers stay the same at first.

    Args:
        network: Whose convolutions without groups get one.
        rank: At least 1; where a layer has fewer channels, as many as these.
        keep: `id` of weights whose layers learn as they are.
    """
    for name, child in network.named_children():
        plain = type(child) in _POINT and getattr(child, "groups", 0) == 1
        if plain and id(child.weight) not in keep:
            lowest = min(rank, child.out_channels, child.in_channels)  # type: ignore[type-var]
            setattr(network, name, _WithAddition(child, int(lowest)))  # type: ignore[arg-type]
        else:
            add_low_rank(child, rank, keep=keep)


def merge_low_rank(network: nn.Module) -> nn.Module:
    """Add all additions into the weights, in place; names and number of the weights are those of before."""
    for name, child in network.named_children():
        if isinstance(child, _WithAddition):
            setattr(network, name, child.merged())
        else:
            merge_low_rank(child)
    return network
