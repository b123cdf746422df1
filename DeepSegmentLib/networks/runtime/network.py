"""The seam between prediction and what computes, and what is made of several networks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.networks.model_spec import ModelSpec


@dataclass(frozen=True, eq=False)
class Head:
    """A last layer that only mixes channels, so that it may as well come after blending and resampling.

    Both are weighted sums with weights that sum to 1: sum(g (W f + b)) = W sum(g f) + b.

    Attributes:
        weight: Float32 matrix (class, feature).
        bias: Float32 (class).
    """

    weight: Tensor
    bias: Tensor

    @property
    def is_worth_waiting(self) -> bool:
        """Whether there are fewer features than classes."""
        classes, features = self.weight.shape
        return features < classes

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (class, ...) of features (feature, ...), in float32."""
        weight, bias = self.weight.to(features.device), self.bias.to(features.device)
        flat = torch.addmm(bias[:, None], weight, features.reshape(len(features), -1).float())
        return flat.reshape(len(self.weight), *features.shape[1:])


class Network(Protocol):
    """The seam between prediction and what computes: one method wide."""

    @property
    def device(self) -> torch.device:
        """Where patches are expected and results are."""

    @property
    def head(self) -> Head | None:
        """What makes logits of what the network gives; None where it gives logits."""

    def __call__(self, patches: Tensor, /) -> Tensor:
        """Features or logits of a batch of patches.

        Args:
            patches: Float32 (batch, channel, k, j, i) on `device`, normalized; any extent along k, j, i.

        Returns:
            Float32 (batch, feature, k, j, i) on `device`.

        Raises:
            ResourceError: There is too little memory for this batch; a smaller one may work.
        """


@dataclass(frozen=True, eq=False)
class Model:
    """Networks together with what they need and give.

    Attributes:
        spec: What they need and give.
        networks: One for each of `spec.stages`, in their order.
        device: Where they run, such as "cpu".
    """

    spec: ModelSpec
    networks: Sequence[Network]
    device: str = "cpu"

    @property
    def engine(self) -> str:
        """What computes the networks that were run, such as "openvino float32", each once; empty before."""
        return ", ".join(_distinct(engine_of(network) for network in self.networks))

    def __repr__(self) -> str:
        return f"Model({self.spec.name} {self.spec.version} on {self.device}, segments: {len(self.spec.segments)})"


class Ensemble:
    """Several networks as one: the mean of their logits.

    Where all of them leave the head for later and their features are fewer than classes, so does this: features in a
    row, heads side by side.
    """

    def __init__(self, members: Sequence[Network]) -> None:
        """Take one member or more; all have the same inputs, outputs and device."""
        self.members = self.behind = tuple(members)
        self.device = self.members[0].device
        self.head = _joined_head([member.head for member in self.members])

    def __call__(self, patches: Tensor, /) -> Tensor:
        """Features of all members, or mean logits, summed up in the members' order."""
        if self.head is not None:
            return torch.cat([member(patches) for member in self.members], dim=1)
        first, *others = self.members
        total = logits_of(first, patches)
        for member in others:
            total = total + logits_of(member, patches)
        return total / len(self.members)


def _joined_head(heads: Sequence[Head | None]) -> Head | None:
    known = [head for head in heads if head is not None]
    if len(known) < len(heads) or sum(head.weight.shape[1] for head in known) >= len(known[0].weight):
        return None
    weight = torch.cat([head.weight for head in known], dim=1) / len(known)
    return Head(weight, torch.stack([head.bias for head in known]).mean(dim=0))


class SideBySide:
    """The same network on several devices. It is the first copy; who has many patches asks each, see `copies_of`."""

    def __init__(self, copies: Sequence[Network]) -> None:
        """Take one copy or more."""
        self.copies = self.behind = tuple(copies)
        self.device, self.head = self.copies[0].device, self.copies[0].head

    def __call__(self, patches: Tensor, /) -> Tensor:
        """Features or logits of the first copy."""
        return self.copies[0](patches)


class StoredNetwork:
    """A network that is read when it is first needed, so that one that nobody asks costs nothing."""

    def __init__(self, load: Callable[[], Network]) -> None:
        """Take the way to read it."""
        self._load = load
        self._network: Network | None = None

    def _loaded(self) -> Network:
        if self._network is None:
            self._network = self._load()
        return self._network

    @property
    def device(self) -> torch.device:
        """That of the network."""
        return self._loaded().device

    @property
    def head(self) -> Head | None:
        """That of the network."""
        return self._loaded().head

    @property
    def copies(self) -> tuple[Network, ...]:
        """Those of the network."""
        return copies_of(self._loaded())

    @property
    def behind(self) -> tuple[Network, ...]:
        """The network; nothing while it is not read."""
        return () if self._network is None else (self._network,)

    def __call__(self, patches: Tensor, /) -> Tensor:
        """Its features or logits.

        Raises:
            ModelError: It cannot be read.
        """
        return self._loaded()(patches)


def copies_of(network: Network) -> tuple[Network, ...]:
    """The same network on each of its devices; itself, where it has but one."""
    copies: tuple[Network, ...] = getattr(network, "copies", (network,))
    return copies


def _single(network: Network) -> Iterator[Network]:
    """The networks that one is made of, as far as they are read; itself, where it is made of no others."""
    behind: tuple[Network, ...] | None = getattr(network, "behind", None)
    return iter((network,)) if behind is None else chain.from_iterable(map(_single, behind))


def engine_of(network: Network) -> str:
    """What computes a network and in which precision, such as "openvino float32"; empty where it does not tell."""
    return ", ".join(_distinct(str(getattr(each, "engine", "")) for each in _single(network)))


def begin_run(network: Network) -> None:
    """Let a network begin anew: what it had to do otherwise in an earlier run does not count for the next."""
    for each in _single(network):
        getattr(each, "begin_run", lambda: None)()


def notes_of(network: Network) -> list[str]:
    """What a network had to do otherwise since `begin_run`, for the user."""
    return _distinct(getattr(each, "note", "") for each in _single(network))


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))


def logits_of(network: Network, patches: Tensor) -> Tensor:
    """Logits (batch, class, k, j, i) of patches (batch, channel, k, j, i), whatever the network leaves for later."""
    given, head = network(patches), network.head
    return given if head is None else torch.stack([head(each) for each in given])


def on_array(network: Network, patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of patches as arrays, of the same shapes as `logits_of`."""
    logits = logits_of(network, torch.from_numpy(np.require(patches, requirements=["C", "W"])).to(network.device))
    return np.ascontiguousarray(logits.float().cpu().numpy())
