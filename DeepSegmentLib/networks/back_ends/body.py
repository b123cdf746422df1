"""A network without its head, and copies of it that share its weights."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

if TYPE_CHECKING:
    from DeepSegmentLib.networks.architectures.with_head import WithHead

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Body(nn.Module):
    """What of a network comes before its head: all but the last layer where that is left for later, or all of it."""

    def __init__(self, network: nn.Module, *, headless: bool) -> None:
        super().__init__()
        self.network, self.headless = network, headless

    def forward(self, x: Tensor) -> Tensor:
        """Features or logits (batch, channel, ...) of patches (batch, channel, ...)."""
        result: Tensor = cast("WithHead", self.network).features(x) if self.headless else self.network(x)
        return result


def sharing_copy(module: nn.Module) -> nn.Module:
    """A module of its own that may be changed, with the same tensors in it."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def is_own_norm(layer: nn.Module) -> bool:
    """Whether a layer takes the mean of the patch itself away, channel by channel."""
    return isinstance(layer, (nn.InstanceNorm2d, nn.InstanceNorm3d)) and not layer.track_running_stats


def drop_idle_biases(module: nn.Module) -> None:
    """Remove biases that an instance norm takes away again; in bfloat16 they would only cost accuracy."""
    for row in [each for each in module.modules() if isinstance(each, nn.Sequential)]:
        layers = list(row)
        for layer, after in pairwise(layers):
            if isinstance(layer, CONVOLUTIONS) and is_own_norm(after):
                layer.bias = None
