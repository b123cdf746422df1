"""The back ends that there are on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from .channels_last import channels_last
from .machine import has_bfloat16, openvino_has_bfloat16, openvino_version
from .openvino_graph import openvino_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Candidate:
    """A way to compute a network's body.

    Attributes:
        name: Of the library and its layout.
        precision: What it computes in.
        make: From a body, patches of the shape that will come, and an example to trace with, what computes it. May
            raise anything, where the network does not suit it.
    """

    name: str
    precision: Literal["float32", "bfloat16"]
    make: Callable[[nn.Module, Tensor, Tensor], Callable[[Tensor], Tensor]]

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"


def _eager(body: nn.Module, _: Tensor, __: Tensor) -> Callable[[Tensor], Tensor]:
    return body


def _channels_last(dtype: torch.dtype, body: nn.Module, _: Tensor, __: Tensor) -> Callable[[Tensor], Tensor]:
    return channels_last(body, dtype)


def _openvino(dtype: torch.dtype, body: nn.Module, x: Tensor, example: Tensor) -> Callable[[Tensor], Tensor]:
    return openvino_graph(body, x, dtype, example)


EAGER = Candidate("torch", "float32", _eager)
_FLOAT32 = (
    Candidate("openvino", "float32", partial(_openvino, torch.float32)),
    Candidate("torch-channels-last", "float32", partial(_channels_last, torch.float32)),
)
_BFLOAT16 = (
    Candidate("openvino", "bfloat16", partial(_openvino, torch.bfloat16)),
    Candidate("torch-channels-last", "bfloat16", partial(_channels_last, torch.bfloat16)),
)


def candidates(precision: Literal["float32", "bfloat16"]) -> tuple[Candidate, ...]:
    """Those of a precision that this machine has, beside `EAGER`; the fastest ones first, as far as known."""
    if precision == "float32":
        return tuple(each for each in _FLOAT32 if _is_here(each))
    return tuple(each for each in _BFLOAT16 if _is_here(each) and _has_bfloat16(each))


def candidate_named(name: str) -> Candidate | None:
    """The one that writes itself so, where this machine has it."""
    here = (EAGER, *candidates("float32"), *candidates("bfloat16"))
    return next((each for each in here if str(each) == name), None)


def _is_here(candidate: Candidate) -> bool:
    return candidate.name != "openvino" or bool(openvino_version())


def _has_bfloat16(candidate: Candidate) -> bool:
    return openvino_has_bfloat16() if candidate.name == "openvino" else has_bfloat16()
