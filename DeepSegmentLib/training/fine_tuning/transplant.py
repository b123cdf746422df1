"""The model that a parent becomes when other segments are learned: what it knows of them stays.

Only the layers that make logits depend on the segments. Of these the rows of segments that stay are taken over, new
segments get rows of their own, and those of segments that are gone are left out; everything else is the parent's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.networks.graph_spec import GraphSpec
from DeepSegmentLib.networks.model_spec import Cleanup, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import WeightsFile

from .heads import head_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Segment
    from DeepSegmentLib.networks.network_spec import NetworkSpec

_RARE = 4.0
"""A new segment's logit begins near -4, the log-odds of about 2 %."""
_SMALL = 0.01


@dataclass(frozen=True, eq=False)
class Transplanted:
    """What a parent becomes.

    Attributes:
        spec: Of the model that is trained: one part, stage and member.
        kept: Names of segments that the parent has.
        new: Names of segments that it does not have.
        dropped: Names of the parent's segments that are not learned any more: the largest of the other logits wins
            where they were, mostly the background.
        rows: For each output channel of the network the parent's channel; None for a new one.
    """

    spec: ModelSpec
    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    rows: tuple[int | None, ...]


def transplanted(parent: ModelSpec, segments: Sequence[Segment]) -> Transplanted:
    """The spec of a parent for other segments.

    Segments are the same where their names are, whatever their case, or else their codes.

    Args:
        parent: A model of one part and one stage; of several members the first one is tuned.
        segments: What is to be learned, in the order of the new model's labels.

    Raises:
        InvalidInputError: The parent cannot be tuned: it has several parts or stages, or its network is a graph.
    """
    part = _only_part(parent)
    stage, first = part.stages[0], int(parent.output == "labels")
    by_name = {segment.name: segment for segment in parent.segments}
    channels = _channels_of(segments, [by_name[name] for name in part.segments])
    rows: tuple[int | None, ...] = (0,) * first + tuple(None if n is None else n + first for n in channels)
    network: Any = replace(stage.network, out_channels=len(rows))
    tuned = replace(stage, network=network, weights=(WeightsFile("weights.safetensors"),))
    wanted = tuple(
        replace(_with_words_of(parent, part, segment, n), value=value)
        for value, (segment, n) in enumerate(zip(segments, channels, strict=True), start=1)
    )
    names = [segment.name for segment in wanted]
    unchanged = [*names] == [*part.segments]
    spec = replace(
        parent,
        segments=wanted,
        parts=(Part(tuple(names), (tuned,)),),
        cleanups=_cleanups(
            parent, {part.segments[n]: name for name, n in zip(names, channels, strict=True) if n is not None}
        ),
        expectations=parent.expectations if unchanged else None,
        coarse_model="",
    )
    taken = [n for n in channels if n is not None]
    return Transplanted(
        spec,
        tuple(name for name, n in zip(names, channels, strict=True) if n is not None),
        tuple(name for name, n in zip(names, channels, strict=True) if n is None),
        tuple(name for n, name in enumerate(part.segments) if n not in taken),
        rows,
    )


def _cleanups(parent: ModelSpec, renamed: Mapping[str, str]) -> tuple[Cleanup, ...]:
    """The parent's clean-up of segments that stay, by the names that they have now."""
    return tuple(
        replace(each, segment=renamed[each.segment], together_with=tuple(renamed[name] for name in each.together_with))
        for each in parent.cleanups
        if {*each.segments} <= {*renamed}
    )


def _only_part(parent: ModelSpec) -> Part:
    if len(parent.parts) != 1 or len(parent.parts[0].stages) != 1:
        raise InvalidInputError(
            f"{parent.name} has {len(parent.parts)} parts and {len(parent.stages)} stages; a model of one part and one "
            "stage can be tuned. Train a new one on its results instead: collect them as cases"
        )
    part = parent.parts[0]
    if isinstance(part.stages[0].network, GraphSpec):
        raise InvalidInputError(
            f"{parent.name} is a graph (TorchScript or ONNX) that cannot be trained; add the model from its checkpoint"
        )
    return part


def _channels_of(segments: Sequence[Segment], known: Sequence[Segment]) -> list[int | None]:
    """For each segment the parent's one of its name, or else of its code; none is taken twice."""
    names = [each.name.casefold() for each in known]
    codes = [each.terminology for each in known]
    found = [names.index(name) if (name := each.name.casefold()) in names else None for each in segments]
    for n, segment in enumerate(segments):
        code = segment.terminology
        if found[n] is None and code is not None and codes.count(code) == 1 and codes.index(code) not in found:
            found[n] = codes.index(code)
    return found


def _with_words_of(parent: ModelSpec, part: Part, segment: Segment, channel: int | None) -> Segment:
    """The segment, with the parent's colour and code where it has none of its own."""
    if channel is None:
        return replace(segment, layer=0)
    old = next(each for each in parent.segments if each.name == part.segments[channel])
    return replace(old, name=segment.name, terminology=segment.terminology or old.terminology)


def transplanted_weights(
    parent: NetworkSpec,
    network: NetworkSpec,
    weights: Mapping[str, NDArray[Any]],
    rows: Sequence[int | None],
    seed: int,
    *,
    background: bool = False,
) -> dict[str, NDArray[Any]]:
    """The weights of a parent for a network of other output channels.

    Args:
        parent: Its network.
        network: The same with other output channels, see `transplanted`.
        weights: Of the parent, by name.
        rows: For each new channel the parent's, see `Transplanted`.
        seed: Of the rows of new channels.
        background: Whether the parent's first channel is the background: new ones begin as rare parts of it then.

    Returns:
        All weights of `network`. Logits of channels that the parent has are exactly the parent's.
    """
    axes = head_axes(parent)
    missing = [name for name in head_axes(network) if name not in weights]
    if missing:
        raise ModelError(f"the parent's weights lack {missing[0]!r}; get the model again")
    rng = np.random.default_rng((seed, 4))
    begin = _PartOfBackground(rng) if background else _Rare(rng)
    return {
        name: _head_of(name, each, axes[name], rows, begin) if name in axes else each for name, each in weights.items()
    }


def _head_of(
    name: str, weight: NDArray[Any], axes: tuple[int, ...], rows: Sequence[int | None], begin: _Rare
) -> NDArray[Any]:
    """The weight for other channels; what new channels give is never mixed into those that stay."""
    for axis in axes:
        chosen = [weight.take(row, axis) if row is not None else begin(name, weight, axis, axes) for row in rows]
        weight = np.stack(chosen, axis).astype(weight.dtype)
    return weight


class _Rare:
    """The row of a new channel: small random weights, the bias of what is rare; of a norm what it has on average."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, name: str, weight: NDArray[Any], axis: int, axes: tuple[int, ...]) -> NDArray[Any]:
        like = weight.take(0, axis)
        if axis != axes[0]:
            return np.zeros_like(like)
        if weight.ndim > 1:
            noise = self._rng.normal(0, _SMALL * float(np.abs(weight).mean()), like.shape)
            return np.asarray(self._middle(like) + noise)
        return np.asarray(
            self._middle(like) - _RARE if name.endswith("bias") and ".norm." not in name else weight.mean()
        )

    def _middle(self, like: NDArray[Any]) -> NDArray[Any]:
        return np.zeros_like(like)


class _PartOfBackground(_Rare):
    """As `_Rare`, but lower than the background everywhere, whatever the logits of the parent are."""

    def _middle(self, like: NDArray[Any]) -> NDArray[Any]:
        return like
