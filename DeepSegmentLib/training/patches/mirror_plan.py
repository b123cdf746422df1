"""Along which axes patches may be mirrored, and which classes are exchanged then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from DeepSegmentLib.errors import InvalidInputError

from .sides import side_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.data import Segment


@dataclass(frozen=True)
class MirrorPlan:
    """What mirroring does to a model's classes.

    Attributes:
        axes: Array axes (0 to 2: k, j, i) of the network's grid along which it is sound.
        left_right: The array axis that runs from left to right, or back.
        exchange: For each output channel of the network which one it becomes along that axis; itself for most.
        has_sides: Whether left and right are told apart. Then nothing may be turned by half a turn either.
    """

    axes: tuple[int, ...]
    left_right: int
    exchange: tuple[int, ...]
    has_sides: bool


def mirror_plan(
    segments: Sequence[Segment], orientation: str, output: Literal["labels", "regions"] = "labels"
) -> MirrorPlan:
    """What mirroring does to these segments.

    Along the two other axes nothing is exchanged: what is at the left stays there.

    Args:
        segments: In the order of the network's output channels, which for labels begin with the background.
        orientation: Where the axes (i, j, k) of the network's grid point, such as "RAS"; see
            `StageSpec.orientation_of`.
        output: See `ModelSpec`.

    Raises:
        InvalidInputError: The orientation does not name an axis from left to right.

    Example:
        >>> from DeepSegmentLib.data import Segment
        >>> mirror_plan([Segment("Left kidney", 1), Segment("Right kidney", 2)], "RAS")
        MirrorPlan(axes=(0, 1, 2), left_right=2, exchange=(0, 2, 1), has_sides=True)
    """
    found = [n for n, letter in enumerate(orientation) if letter in "LR"]
    if len(orientation) != 3 or len(found) != 1:
        raise InvalidInputError(f'orientation must name one of R/L, A/P and S/I each, like "RAS"; got {orientation!r}')
    left_right = 2 - found[0]
    sides, first = side_pairs(segments), int(output == "labels")
    exchange = list(range(len(segments) + first))
    for left, right in sides.pairs:
        exchange[left + first], exchange[right + first] = right + first, left + first
    axes = tuple(axis for axis in range(3) if axis != left_right or sides.can_be_mirrored)
    return MirrorPlan(axes, left_right, tuple(exchange), sides.has_sides)
