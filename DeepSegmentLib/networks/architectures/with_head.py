"""Networks whose last layer, the head, only turns features into logits."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class WithHead(nn.Module):
    """A network whose logits are its last layer's output for its features."""

    head: nn.Module

    def last_layer(self) -> nn.Module:
        """What makes logits of features."""
        return self.head

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """What the last layer makes logits of."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, out_channels, ...); each axis must be a multiple of the spec's divisor."""
        logits: Tensor = self.last_layer()(self.features(x))
        return logits
