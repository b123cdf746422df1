"""Which parameters of a network learn, and how quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .low_rank import LowRank, add_low_rank

if TYPE_CHECKING:
    from collections.abc import Container

    from torch import nn

    from .settings import FineTuning

_ENCODERS = ("encoder.", "down.", "bottom.", "stem.", "transformer.")
"""How names of weights begin on the way down: in our U-Net, in MONAI's networks."""


def begin_tuning(network: nn.Module, tuning: FineTuning, heads: Container[str]) -> list[dict[str, Any]]:
    """Make a parent's network ready to learn.

    Args:
        network: In place: some of its parameters no longer learn, and it may get additions of low rank.
        tuning: How.
        heads: Names of the weights that make logits, see `heads.head_axes`.

    Returns:
        Its parameters by their rates, see `training.fitting.state.TrainingState`.
    """
    last = {id(each) for name, each in network.named_parameters() if name in heads}
    if tuning.method == "low_rank":
        add_low_rank(network, tuning.rank, keep=last)
    groups: dict[str, list[nn.Parameter]] = {"heads": [], "rest": [], "encoder": []}
    for name, parameter in network.named_parameters():
        kind = "heads" if id(parameter) in last else "encoder" if name.startswith(_ENCODERS) else "rest"
        learns = _learns(network, name, kind, tuning)
        parameter.requires_grad_(learns)
        if learns:
            groups[kind].append(parameter)
    rates = {"heads": (1.0, 0), "rest": (1.0, tuning.warm_up), "encoder": (_encoder_rate(tuning), tuning.warm_up)}
    return [
        {"params": found, "factor": rates[kind][0], "begin": rates[kind][1]} for kind, found in groups.items() if found
    ]


def _encoder_rate(tuning: FineTuning) -> float:
    return tuning.encoder_rate if tuning.method == "full" else 1.0


def _learns(network: nn.Module, name: str, kind: str, tuning: FineTuning) -> bool:
    if tuning.method == "full" or kind == "heads":
        return True
    if tuning.method == "decoder":
        return kind != "encoder"
    if tuning.method == "heads":
        return False
    owner = network.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, LowRank) or _is_norm(owner)


def _is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__
