"""Which weights of a network depend on how many channels it gives: its heads, whatever they are called."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch

from DeepSegmentLib.networks.runtime.building import build

if TYPE_CHECKING:
    from DeepSegmentLib.networks.network_spec import NetworkSpec


def head_axes(network: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """The weights that have a row for each output channel, and along which axes.

    Found by building the network with one channel more, so that heads of deep supervision, transposed convolutions
    (axis 1) and layers among the logits (axes 0 and 1) are told by what they are and not by their names.

    Args:
        network: Not a graph.
    """
    spec = cast("Any", network)
    one, more = (_shapes(replace(spec, out_channels=spec.out_channels + n)) for n in (0, 1))
    return {name: axes for name, shape in one.items() if (axes := _changed(shape, more[name]))}


def _shapes(network: NetworkSpec) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(each.shape) for name, each in build(network).state_dict().items()}


def _changed(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis, (old, new) in enumerate(zip(before, after, strict=True)) if old != new)
