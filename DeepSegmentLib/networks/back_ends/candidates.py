"""The back ends that there are on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from .channels_last import channels_last
from .engine import version_of
from .machine import has_bfloat16, has_matrix_units, openvino_has_bfloat16
from .openvino_graph import openvino_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from .openvino_graph import Arithmetic


Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A way to compute a network's body.

    Attributes:
        name: Of the library and its layout.
        arithmetic: What convolutions are computed in, such as "float32".
        precision: Whose labels it shall give.
        is_fallback: Whether it is slower than those before it, and only worth trying where none of these suits.
        make: From a body, patches of the shape that will come, and an example to trace with, what computes it. May
            raise anything, where the network does not suit it.
    """

    name: str
    arithmetic: str
    precision: Precision
    is_fallback: bool
    make: Callable[[nn.Module, Tensor, Tensor], Callable[[Tensor], Tensor]]

    def __str__(self) -> str:
        return f"{self.name} {self.arithmetic}"


def _openvino(arithmetic: Arithmetic, precision: Precision, *, is_fallback: bool = False) -> Candidate:
    def make(body: nn.Module, x: Tensor, example: Tensor) -> Callable[[Tensor], Tensor]:
        return openvino_graph(body, x, arithmetic, example)

    return Candidate("openvino", arithmetic, precision, is_fallback, make)


def _channels_last(precision: Precision, *, is_fallback: bool = False) -> Candidate:
    def make(body: nn.Module, _: Tensor, __: Tensor) -> Callable[[Tensor], Tensor]:
        return channels_last(body, getattr(torch, precision))

    return Candidate("torch-channels-last", precision, precision, is_fallback, make)


EAGER = Candidate("torch", "float32", "float32", is_fallback=False, make=lambda body, _, __: body)
_ALL = (
    _openvino("bfloat16x3", "float32"),
    _openvino("float32", "float32", is_fallback=True),
    _channels_last("float32"),
    _openvino("bfloat16", "bfloat16"),
    _openvino("bfloat16x3-finest", "bfloat16", is_fallback=True),
    _channels_last("bfloat16", is_fallback=True),
)
"""Of each precision in the order in which they are tried."""


def candidates(precision: Precision) -> tuple[Candidate, ...]:
    """Those of a precision that this machine has, beside `EAGER`."""
    return tuple(each for each in _ALL if each.precision == precision and _is_here(each))


def candidate_named(name: str) -> Candidate | None:
    """The one that writes itself so, where this machine has it."""
    here = (EAGER, *candidates("float32"), *candidates("bfloat16"))
    return next((each for each in here if str(each) == name), None)


def _is_here(candidate: Candidate) -> bool:
    if candidate.name != "openvino":
        return candidate.arithmetic == "float32" or has_bfloat16()
    if not version_of("openvino"):
        return False
    products = candidate.arithmetic.startswith("bfloat16x3")
    return candidate.arithmetic == "float32" or (openvino_has_bfloat16() and (has_matrix_units() or not products))
