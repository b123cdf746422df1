"""What all of MONAI's networks are made of, as plain data, and the bounds that their specs keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.measured_costs import MeasuredCosts

if TYPE_CHECKING:
    from collections.abc import Iterable

Size = tuple[int, ...]
"""One number for each axis that the network sees."""

# Several times what any published network has; far below what costs memory or time before its weights are looked at.
MOST_STAGES = 16
MOST_BLOCKS = 64
MOST_CHANNELS = 1 << 16
WIDEST_KERNEL = 31
LARGEST_DIVISOR = 1024


@dataclass(frozen=True)
class Norm:
    """A normalisation of features.

    Attributes:
        kind: "instance", "batch" (by the numbers of the training), "group" or "none".
        affine: Whether the network scales and shifts afterwards by weights of its own.
        groups: Of "group"; 0 for others.
        eps: Added to the variance.
    """

    kind: Literal["instance", "batch", "group", "none"] = "instance"
    affine: bool = False
    groups: int = 0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.kind not in ("instance", "batch", "group", "none"):
            raise InvalidInputError(f"unknown norm {self.kind!r}; known: instance, batch, group, none")
        if (self.kind == "group") != (self.groups > 0) or not 0 < self.eps < 1:
            raise InvalidInputError(f"a group norm needs groups, others none, and eps must be in 0..1; got {self}")

    def check_channels(self, channels: int) -> None:
        """Refuse channels that the groups do not divide.

        Raises:
            InvalidInputError: They do not.
        """
        if self.groups and channels % self.groups:
            raise InvalidInputError(f"{self.groups} groups of a norm do not divide {channels} channels")


@dataclass(frozen=True)
class Activation:
    """A nonlinearity.

    Attributes:
        kind: "prelu" has a weight; the others have none.
        slope: Below 0, of "leaky_relu".
    """

    kind: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "swish", "mish"] = "relu"
    slope: float = 0.01

    def __post_init__(self) -> None:
        if self.kind not in ("relu", "leaky_relu", "prelu", "elu", "gelu", "swish", "mish"):
            raise InvalidInputError(f"unknown activation {self.kind!r}")


NOT_MEASURED = MeasuredCosts(0, 0.0, 0.0)

PRELU = Activation("prelu")
RELU = Activation("relu")
LEAKY_RELU = Activation("leaky_relu")
LEAKY_RELU_OF_BASIC = Activation("leaky_relu", 0.1)
INSTANCE = Norm("instance")
AFFINE_INSTANCE = Norm("instance", affine=True)
BATCH = Norm("batch", affine=True)
GROUP_OF_8 = Norm("group", affine=True, groups=8)


def check_ranges(*ranges: tuple[str, Iterable[float], float, float]) -> None:
    """Refuse numbers out of their range.

    Args:
        ranges: What they are, the numbers, the least and the most allowed.

    Raises:
        InvalidInputError: One is out of range.
    """
    for what, numbers, least, most in ranges:
        outside = [number for number in numbers if not least <= number <= most]
        if outside:
            raise InvalidInputError(f"{what} of a network must be from {least} to {most}, got {outside[0]}")


def check_length(what: str, values: Size | tuple[Size, ...] | tuple[float, ...], length: int) -> None:
    """Refuse a list of another length.

    Raises:
        InvalidInputError: It has another length.
    """
    if len(values) != length:
        raise InvalidInputError(f"{what} must have {length} entries, got {len(values)}")


def check_channels(dimensions: int, in_channels: int, out_channels: int) -> None:
    """Refuse what no network of ours has.

    Raises:
        InvalidInputError: Neither 2D nor 3D, or channels out of range.
    """
    check_ranges(
        ("dimensions", (dimensions,), 2, 3),
        ("channels", (in_channels, out_channels), 1, MOST_CHANNELS),
    )


def check_divisor(divisor: Size) -> None:
    """Refuse a network that makes its input absurdly small.

    Raises:
        InvalidInputError: It does.
    """
    check_ranges(("times down-sampling along an axis", divisor, 1, LARGEST_DIVISOR))


def product(strides: Iterable[Size], dimensions: int) -> Size:
    """The strides of several stages in one, along each axis."""
    total = [1] * dimensions
    for stride in strides:
        total = [a * b for a, b in zip(total, stride, strict=True)]
    return tuple(total)
