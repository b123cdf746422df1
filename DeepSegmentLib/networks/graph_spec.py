"""What is known of a TorchScript or ONNX graph as plain data: torch-free, JSON-ready."""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from DeepSegmentLib.errors import InvalidInputError

from .measured_costs import MeasuredCosts

Gives = Literal["logits", "softmax", "sigmoid"]

_MOST_CHANNELS = 1 << 16
_LARGEST_BATCH = 1024


@dataclass(frozen=True)
class GraphSpec:
    """A network that is stored with its layers; the ending of its file, .ts or .onnx, says as what.

    Attributes:
        in_channels: Input channels.
        out_channels: Output channels (classes with background, or regions).
        fixed_shape: Extent of the patches that it was tried with, and gets: (k, j, i) in 3D, (j, i) in 2D.
        costs: Measured when it was added.
        gives: What comes out: "logits", or probabilities after a "softmax" over the channels or a "sigmoid" of each;
            these are turned back to logits, so that averages over members, mirrors and tiles are what they are for
            all other networks.
        batch: Patches that it takes at once where that is built in; 0 for any number.
        architecture: Tells the kinds of networks apart in JSON.
    """

    in_channels: int
    out_channels: int
    fixed_shape: tuple[int, ...]
    costs: MeasuredCosts
    gives: Gives = "logits"
    batch: int = 0
    architecture: Literal["graph"] = "graph"

    def __post_init__(self) -> None:
        if not (1 <= self.in_channels <= _MOST_CHANNELS and 1 <= self.out_channels <= _MOST_CHANNELS):
            raise InvalidInputError(
                f"a graph has 1 to {_MOST_CHANNELS} channels, got {self.in_channels} and {self.out_channels}"
            )
        if self.dimensions not in (2, 3) or min(self.fixed_shape) < 1:
            raise InvalidInputError(f"fixed_shape must be two or three numbers from 1, got {self.fixed_shape}")
        if self.gives not in ("logits", "softmax", "sigmoid"):
            raise InvalidInputError(f"a graph gives logits, softmax or sigmoid, got {self.gives!r}")
        if self.gives == "softmax" and self.out_channels == 1:
            raise InvalidInputError("a softmax over one channel is 1 everywhere; the graph needs two, or a sigmoid")
        if not 0 <= self.batch <= _LARGEST_BATCH:
            raise InvalidInputError(f"batch must be from 0 to {_LARGEST_BATCH}, got {self.batch}")

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.fixed_shape)

    @property
    def divisor(self) -> tuple[int, ...]:
        """What each axis of a patch must be a multiple of: nothing, as the extent is fixed."""
        return (1,) * self.dimensions
