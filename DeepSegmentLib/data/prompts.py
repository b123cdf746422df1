"""What the user pointed at, in RAS millimetres, for one segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

from .geometry import FARTHEST_MM

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LONGEST_MM = 1e6
"""A kilometre: radii and depths of prompts are no longer."""

MOST_CORNERS = 100_000
"""A pointer that is sampled a hundred times a second gives so many in a quarter of an hour."""


def _checked_points(points: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    if len(points) > MOST_CORNERS:
        raise InvalidInputError(f"a prompt has at most {MOST_CORNERS} corners, got {len(points)}; draw it in parts")
    array = np.array(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) < least:
        wanted = "points" if least == 1 else f"at least {least} points"
        raise InvalidInputError(f"expected {wanted} (R, A, S) in mm, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise InvalidInputError(f"points must be finite, got {_place(array[~np.isfinite(array).all(axis=1)][0])}")
    if np.abs(array).max() > FARTHEST_MM:
        raise InvalidInputError(f"points lie within {FARTHEST_MM:g} mm of the origin, got {np.abs(array).max():g} mm")
    array.flags.writeable = False
    return array


def _check_length(what: str, length_mm: float) -> None:
    if not 0 <= length_mm <= LONGEST_MM:
        raise InvalidInputError(f"{what} must be 0 mm or more and at most {LONGEST_MM:g} mm, got {length_mm}")


def _place(point_ras: NDArray[np.float64]) -> str:
    return f"({', '.join(f'{part:.6g}' for part in point_ras)})"


def _line(prompt: Scribble | Lasso) -> str:
    first, last = prompt.points_ras[0], prompt.points_ras[-1]
    return f"points: {len(prompt.points_ras)} from {_place(first)} to {_place(last)}"


@dataclass(frozen=True, eq=False)
class Point:
    """A click.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "belongs to it", False for "does not".
        point_ras: Where, in RAS mm.

    Example:
        >>> Point("Thalamus", True, (-9.5, -18, 8))
        Point('Thalamus', positive=True, point_ras=(-9.5, -18, 8))
    """

    segment: str
    positive: bool
    point_ras: NDArray[np.float64]

    if TYPE_CHECKING:  # any three numbers will do

        def __init__(self, segment: str, positive: bool, point_ras: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        points = _checked_points(np.reshape(self.point_ras, (1, -1)), 1)
        object.__setattr__(self, "point_ras", points[0])

    def __repr__(self) -> str:
        return f"Point({self.segment!r}, positive={self.positive}, point_ras={_place(self.point_ras)})"


@dataclass(frozen=True, eq=False)
class Scribble:
    """A drawn line.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "belongs to it", False for "does not".
        points_ras: Corners of the line (n, 3), n at least 1, in RAS mm.
        radius_mm: Half of the line's width; 0 marks only the voxels that the line crosses.

    Example:
        >>> Scribble("Thalamus", False, [(-9.5, -18, 8), (-9.5, -12, 8)], radius_mm=2)
        Scribble('Thalamus', positive=False, points: 2 from (-9.5, -18, 8) to (-9.5, -12, 8), radius_mm=2)
    """

    segment: str
    positive: bool
    points_ras: NDArray[np.float64]
    radius_mm: float = 0.0

    if TYPE_CHECKING:

        def __init__(self, segment: str, positive: bool, points_ras: ArrayLike, radius_mm: float = 0.0) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "points_ras", _checked_points(self.points_ras, 1))
        _check_length("radius", self.radius_mm)

    def __repr__(self) -> str:
        return f"Scribble({self.segment!r}, positive={self.positive}, {_line(self)}, radius_mm={self.radius_mm:g})"


@dataclass(frozen=True, eq=False)
class BoxPrompt:
    """A block along the patient axes.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "it is in here", False for "it is not in here".
        corners_ras: Two opposite corners (2, 3), in RAS mm.

    Example:
        >>> BoxPrompt("Thalamus", True, [(-20, -30, 0), (-5, -5, 15)])
        BoxPrompt('Thalamus', positive=True, from (-20, -30, 0) to (-5, -5, 15))
    """

    segment: str
    positive: bool
    corners_ras: NDArray[np.float64]

    if TYPE_CHECKING:

        def __init__(self, segment: str, positive: bool, corners_ras: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        corners = _checked_points(self.corners_ras, 2)
        if len(corners) != 2:
            raise InvalidInputError(f"a box has two corners, got {len(corners)}")
        object.__setattr__(self, "corners_ras", corners)

    def __repr__(self) -> str:
        first, last = self.corners_ras
        return f"BoxPrompt({self.segment!r}, positive={self.positive}, from {_place(first)} to {_place(last)})"


@dataclass(frozen=True, eq=False)
class Lasso:
    """A closed outline in a plane, extruded to both sides.

    Attributes:
        segment: Name of the segment meant.
        positive: True for "belongs to it", False for "does not".
        points_ras: Corners of the outline (n, 3), n at least 3, in RAS mm.
        depth_mm: How far the outline reaches to each side of its plane.

    Example:
        >>> Lasso("Thalamus", True, [(-20, -30, 8), (-5, -30, 8), (-5, -5, 8)], depth_mm=1.5)
        Lasso('Thalamus', positive=True, points: 3 from (-20, -30, 8) to (-5, -5, 8), depth_mm=1.5)
    """

    segment: str
    positive: bool
    points_ras: NDArray[np.float64]
    depth_mm: float

    if TYPE_CHECKING:

        def __init__(self, segment: str, positive: bool, points_ras: ArrayLike, depth_mm: float) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "points_ras", _checked_points(self.points_ras, 3))
        _check_length("depth", self.depth_mm)

    def __repr__(self) -> str:
        return f"Lasso({self.segment!r}, positive={self.positive}, {_line(self)}, depth_mm={self.depth_mm:g})"


Prompt = Point | Scribble | BoxPrompt | Lasso
