"""What the user pointed at, in RAS millimetres, for one segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

from .geometry import FARTHEST_MM

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_MM = 1e6
"""A kilometre: radii and depths of prompts are no longer."""

MOST_CORNERS = 100_000
"""A pointer that is sampled a hundred times a second gives so many in a quarter of an hour."""


def _checked_points(points: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    if len(points) > MOST_CORNERS:
        raise InvalidInputError(f"a prompt has at most {MOST_CORNERS} corners, got {len(points)}; draw it in parts")
    array = np.array(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) < least or not np.isfinite(array).all():
        raise InvalidInputError(f"expected at least {least} finite RAS points, got an array of shape {array.shape}")
    if np.abs(array).max() > FARTHEST_MM:
        raise InvalidInputError(f"points lie within {FARTHEST_MM:g} mm of the origin, got {np.abs(array).max():g} mm")
    array.flags.writeable = False
    return array


def _check_length(what: str, length_mm: float) -> None:
    if not 0 <= length_mm <= LONGEST_MM:
        raise InvalidInputError(f"{what} must be 0 mm or more and at most {LONGEST_MM:g} mm, got {length_mm}")


@dataclass(frozen=True, eq=False)
class Point:
    """A click.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "belongs to it", False for "does not".
        point_ras: Where, in RAS mm.
    """

    segment: str
    positive: bool
    point_ras: NDArray[np.float64]

    def __post_init__(self) -> None:
        points = _checked_points(np.reshape(self.point_ras, (1, -1)), 1)
        object.__setattr__(self, "point_ras", points[0])


@dataclass(frozen=True, eq=False)
class Scribble:
    """A drawn line.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "belongs to it", False for "does not".
        points_ras: Corners of the line (n, 3), n at least 1, in RAS mm.
        radius_mm: Half of the line's width; 0 marks only the voxels that the line crosses.
    """

    segment: str
    positive: bool
    points_ras: NDArray[np.float64]
    radius_mm: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "points_ras", _checked_points(self.points_ras, 1))
        _check_length("radius", self.radius_mm)


@dataclass(frozen=True, eq=False)
class BoxPrompt:
    """A block along the patient axes.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "it is in here", False for "it is not in here".
        corners_ras: Two opposite corners (2, 3), in RAS mm.
    """

    segment: str
    positive: bool
    corners_ras: NDArray[np.float64]

    def __post_init__(self) -> None:
        corners = _checked_points(self.corners_ras, 2)
        if len(corners) != 2:
            raise InvalidInputError(f"a box has two corners, got {len(corners)}")
        object.__setattr__(self, "corners_ras", corners)


@dataclass(frozen=True, eq=False)
class Lasso:
    """A closed outline in a plane, extruded to both sides.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "belongs to it", False for "does not".
        points_ras: Corners of the outline (n, 3), n at least 3, in RAS mm.
        depth_mm: How far the outline reaches to each side of its plane.
    """

    segment: str
    positive: bool
    points_ras: NDArray[np.float64]
    depth_mm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "points_ras", _checked_points(self.points_ras, 3))
        _check_length("depth", self.depth_mm)


Prompt = Point | Scribble | BoxPrompt | Lasso
