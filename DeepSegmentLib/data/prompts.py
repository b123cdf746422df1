"""What the user pointed at, in RAS millimetres, for one segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _checked_points(points: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    array = np.array(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) < least or not np.isfinite(array).all():
        raise InvalidInputError(f"expected at least {least} finite RAS points, got an array of shape {array.shape}")
    array.flags.writeable = False
    return array


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
        if not 0 <= self.radius_mm < np.inf:
            raise InvalidInputError(f"radius must be 0 mm or more, got {self.radius_mm}")


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
        if not 0 <= self.depth_mm < np.inf:
            raise InvalidInputError(f"depth must be 0 mm or more, got {self.depth_mm}")


Prompt = Point | Scribble | BoxPrompt | Lasso
