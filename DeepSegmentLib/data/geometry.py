"""Where voxels are: array index (k, j, i) to patient space in RAS millimetres.

An index names the *centre* of a voxel; `i` runs fastest in memory. ITK and DICOM speak LPS and (i, j, k); they are
converted here once, by `Geometry.from_itk`, and nowhere else.

References:
    NiBabel, "Coordinate systems and affines"; highdicom `VolumeGeometry` (affine and shape as a value of its own).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

Index = tuple[int, int, int]

FARTHEST_MM = 1e7
"""What a user points at lies no farther from the origin: ten kilometres are no place in a patient."""

_LONGEST_AXIS = 1 << 40
"""Voxels along an axis; a grid of more is a slip of the spacing, and numbers of this size are still exact."""

_STRAIGHT_DEGREES = 0.05
"""What rounding to float32 may leave of a straight grid's angles, and more."""

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_AXIS_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


def as_index(values: Sequence[int] | NDArray[Any]) -> Index:
    """Three whole numbers as a plain tuple.

    Raises:
        InvalidInputError: There are not three of them, or one has a fraction.
    """
    if len(values) != 3 or any(value != int(value) for value in values):
        raise InvalidInputError(f"expected three whole numbers (k, j, i), got {tuple(values)}")
    k, j, i = (int(value) for value in values)
    return k, j, i


@dataclass(frozen=True)
class Box:
    """A block of voxels, half-open: `start` is inside, `stop` is not.

    Attributes:
        start: First index (k, j, i).
        stop: One past the last index (k, j, i); never below `start`.
    """

    start: Index
    stop: Index

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", as_index(self.start))
        object.__setattr__(self, "stop", as_index(self.stop))
        if any(b < a for a, b in zip(self.start, self.stop, strict=True)):
            raise InvalidInputError(f"box must not end before it starts, got {self.start} to {self.stop}")

    @classmethod
    def of_shape(cls, shape: Index) -> Box:
        """The box that covers an array of this shape."""
        return cls((0, 0, 0), as_index(shape))

    @property
    def shape(self) -> Index:
        """Extent (k, j, i) in voxels."""
        return as_index([b - a for a, b in zip(self.start, self.stop, strict=True)])

    @property
    def size(self) -> int:
        """Number of voxels."""
        k, j, i = self.shape
        return k * j * i

    def to_slices(self) -> tuple[slice, slice, slice]:
        """Slices that cut this box out of an array (k, j, i)."""
        k, j, i = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return k, j, i

    def grow(self, margin: Index) -> Box:
        """The box with `margin` voxels added on both sides of each axis."""
        start = as_index([a - m for a, m in zip(self.start, margin, strict=True)])
        return Box(start, as_index([b + m for b, m in zip(self.stop, margin, strict=True)]))

    def shift(self, offset: Index) -> Box:
        """The box moved by `offset` voxels."""
        start = as_index([a + d for a, d in zip(self.start, offset, strict=True)])
        return Box(start, as_index([b + d for b, d in zip(self.stop, offset, strict=True)]))

    def intersect(self, other: Box) -> Box:
        """The common part; a box of size 0 where there is none."""
        start = as_index([max(a, b) for a, b in zip(self.start, other.start, strict=True)])
        stop = [min(a, b) for a, b in zip(self.stop, other.stop, strict=True)]
        return Box(start, as_index([max(a, b) for a, b in zip(start, stop, strict=True)]))

    def contains(self, other: Box) -> bool:
        """Whether `other` lies inside; one of size 0 counts by its corners."""
        starts = all(a <= b for a, b in zip(self.start, other.start, strict=True))
        return starts and all(a >= b for a, b in zip(self.stop, other.stop, strict=True))


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around the true voxels; a box of size 0 at the origin when there are none."""
    spans: list[tuple[int, int]] = []
    for axis in range(3):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append((int(hits[0]), int(hits[-1]) + 1) if hits.size else (0, 0))
    return Box(as_index([a for a, _ in spans]), as_index([b for _, b in spans]))


def mask_of_boxes(shape: Index, boxes: Iterable[Box]) -> NDArray[np.bool_]:
    """Which voxels of an array (k, j, i) lie in one of the boxes, as far as these are inside of it."""
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        mask[box.intersect(Box.of_shape(shape)).to_slices()] = True
    return mask


def _checked_spacing(spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    spacing = np.array(spacing_mm, dtype=np.float64)
    if spacing.shape != (3,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InvalidInputError(f"spacing must be three lengths above 0 mm, got {spacing.tolist()}")
    return spacing


def _checked_affine(affine: ArrayLike) -> NDArray[np.float64]:
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InvalidInputError(f"affine must be a finite 4x4 matrix, got {np.array2string(matrix)}")
    if not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise InvalidInputError(f"the last row of the affine must be 0 0 0 1, got {matrix[3]}")
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() <= 0 or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise InvalidInputError(f"affine must have three independent axes, got spacing {tuple(lengths.tolist())} mm")
    matrix.flags.writeable = False
    return matrix


@dataclass(frozen=True, eq=False)
class Geometry:
    """Shape of a voxel grid and its place in the patient.

    Oblique and flipped grids (determinant below 0) are normal. Compare with `is_close`.

    Attributes:
        shape: Extent (k, j, i) in voxels, each at least 1.
        affine: 4x4 float64 matrix from index (k, j, i) to RAS millimetres; read-only.

    Example:
        >>> Geometry.from_spacing((181, 217, 150), (1, 1, 1.25))
        Geometry(181 x 217 x 150 voxels (k, j, i) of 1 x 1 x 1.25 mm, RAS)
    """

    shape: Index
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = as_index(self.shape)
        if min(shape) < 1:
            raise InvalidInputError(f"shape must be at least 1 along each axis, got {shape}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", _checked_affine(self.affine))

    def __str__(self) -> str:
        """Shape, spacing, orientation and, where it is oblique, by how much."""
        spacing = " x ".join(f"{step:.4g}" for step in self.spacing_mm)
        tilt = self.obliquity_degrees
        oblique = f", oblique by {tilt:.1f} degrees" if tilt > _STRAIGHT_DEGREES else ""
        return f"{' x '.join(map(str, self.shape))} voxels (k, j, i) of {spacing} mm, {self.orientation}{oblique}"

    def __repr__(self) -> str:
        return f"Geometry({self})"

    @classmethod
    def from_spacing(cls, shape: Index, spacing_mm: Sequence[float]) -> Geometry:
        """A grid along the patient axes (k to S, j to A, i to R) whose first voxel is at the RAS origin."""
        affine = np.zeros((4, 4))
        for axis, step in enumerate(_checked_spacing(spacing_mm)):
            affine[2 - axis, axis] = step
        affine[3, 3] = 1
        return cls(shape, affine)

    @classmethod
    def from_itk(
        cls, shape: Index, *, spacing: Sequence[float], origin: Sequence[float], direction: ArrayLike
    ) -> Geometry:
        """From ITK's terms: LPS millimetres, axes in the order (i, j, k).

        Args:
            shape: Array extent (k, j, i).
            spacing: Voxel size along (i, j, k), in mm.
            origin: LPS position of the first voxel's centre.
            direction: 3x3 matrix, or its 9 numbers by row, whose columns are the axes i, j, k in LPS.
        """
        axes = np.asarray(direction, dtype=np.float64).reshape(3, 3) * _checked_spacing(spacing)
        affine = np.eye(4)
        affine[:3, :3] = axes[:, ::-1]
        affine[:3, 3] = origin
        return cls(shape, _LPS_RAS @ affine)

    def to_itk(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Spacing (i, j, k), LPS origin and the nine numbers of the direction matrix, as ITK wants them."""
        lps = _LPS_RAS @ self.affine
        axes = lps[:3, :3][:, ::-1]
        spacing = np.linalg.norm(axes, axis=0)
        return tuple(spacing.tolist()), tuple(lps[:3, 3].tolist()), tuple((axes / spacing).ravel().tolist())

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (k, j, i)."""
        k, j, i = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return k, j, i

    @property
    def direction(self) -> NDArray[np.float64]:
        """3x3 matrix whose columns are the unit vectors of the axes k, j, i in RAS."""
        return np.asarray(self.affine[:3, :3] / np.asarray(self.spacing_mm))

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, in cubic millimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def orientation(self) -> str:
        """The patient direction that the axes (i, j, k) point to most, such as "RAS" or "LPI"."""
        return "".join(
            _AXIS_LETTERS[axis][int(self.affine[axis, column] > 0)]
            for column, axis in reversed(list(enumerate(_nearest_axes(self.direction))))
        )

    @property
    def obliquity_degrees(self) -> float:
        """The largest angle between a grid axis and the patient axis nearest to it."""
        axes = _nearest_axes(self.direction)
        cosines = [abs(self.direction[axis, column]) for column, axis in enumerate(axes)]
        return float(np.degrees(np.arccos(min(1.0, *cosines))))

    def index_to_ras(self, index: ArrayLike) -> NDArray[np.float64]:
        """RAS millimetres of indices (..., 3) in the order (k, j, i); fractions allowed."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def ras_to_index(self, points_ras: ArrayLike) -> NDArray[np.float64]:
        """Fractional indices (k, j, i) of points (..., 3) in RAS millimetres."""
        offsets = np.asarray(points_ras, dtype=np.float64) - self.affine[:3, 3]
        index = np.linalg.solve(self.affine[:3, :3], offsets.reshape(-1, 3).T)
        return np.asarray(index.T.reshape(offsets.shape), dtype=np.float64)

    def crop(self, box: Box) -> Geometry:
        """The grid of a box of this one; the box may reach outside."""
        affine = self.affine.copy()
        affine[:3, 3] = self.index_to_ras(box.start)
        return Geometry(box.shape, affine)

    def resampled(self, spacing_mm: Sequence[float]) -> Geometry:
        """A grid of another spacing over the same field of view, its borders kept.

        The extent is rounded to whole voxels, at least one; the grid stays centred on this one.

        Raises:
            InvalidInputError: It would have more than 2^40 voxels along an axis.
        """
        with np.errstate(over="ignore", divide="ignore"):
            scale = _checked_spacing(spacing_mm) / np.asarray(self.spacing_mm)
            shape = np.maximum(1, np.round(np.asarray(self.shape) / scale))
        if not (shape <= _LONGEST_AXIS).all():
            raise InvalidInputError(
                f"{self.shape} voxels of {self.spacing_mm} mm cannot be brought to {tuple(spacing_mm)} mm: they would "
                "be too many; check the spacing in the volume's header"
            )
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * scale
        centre = self.index_to_ras((np.asarray(self.shape) - 1) / 2)
        affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
        return Geometry(as_index(shape), affine)

    def resampled_from_first(self, spacing_mm: Sequence[float]) -> Geometry:
        """A grid of another spacing whose first voxel lies where this one's does, and its last about so.

        Raises:
            InvalidInputError: It would have more than 2^40 voxels along an axis.

        References:
            MONAI, `compute_shape_offset`.
        """
        scale = np.asarray(self.resampled(spacing_mm).spacing_mm) / np.asarray(self.spacing_mm)
        shape = np.round((np.asarray(self.shape) - 1) / scale + 1)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * scale
        return Geometry(as_index(shape), affine)

    def with_shape(self, shape: Sequence[int]) -> Geometry:
        """A grid of another shape over exactly the same field of view.

        Raises:
            InvalidInputError: It would have more than 2^40 voxels along an axis.
        """
        if not all(n <= _LONGEST_AXIS for n in shape):
            raise InvalidInputError(
                f"{self.shape} voxels of {self.spacing_mm} mm cannot become {tuple(shape)}: they would be too many; "
                "check the spacing in the volume's header"
            )
        scale = np.asarray(self.shape) / np.asarray(shape)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * scale
        affine[:3, 3] = self.index_to_ras((scale - 1) / 2)
        return Geometry(as_index(shape), affine)

    def oriented(self, orientation: str) -> tuple[Geometry, tuple[int, int, int], tuple[bool, bool, bool]]:
        """The same grid with its axes in another order and sense; no voxel moves.

        Args:
            orientation: Where the axes (i, j, k) shall point, such as "RAS".

        Returns:
            The geometry, the order of this grid's axes in the new array, and which *new* axes were reversed:
            `array.transpose(order)` followed by a flip of the marked axes gives the new array.
        """
        wanted = _parse_orientation(orientation)
        nearest = _nearest_axes(self.direction)
        order = as_index([nearest.index(axis) for axis, _ in wanted])
        flips = [bool(self.affine[axis, order[n]] > 0) != up for n, (axis, up) in enumerate(wanted)]
        shape = as_index([self.shape[column] for column in order])
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, list(order)] * np.where(flips, -1, 1)
        corner = np.where(flips, np.asarray(shape) - 1, 0)
        affine[:3, 3] = self.affine[:3, 3] + self.affine[:3, list(order)] @ corner
        k, j, i = flips
        return Geometry(shape, affine), order, (k, j, i)

    def view(self, array: NDArray[Any], orientation: str) -> NDArray[Any]:
        """An array (..., k, j, i) on this grid with its axes as in `oriented`; a view, writable where the array is."""
        _, order, flips = self.oriented(orientation)
        leading = array.ndim - 3
        turned = array.transpose(*range(leading), *(leading + axis for axis in order))
        return np.flip(turned, tuple(leading + axis for axis, flip in enumerate(flips) if flip))

    def is_close(self, other: Geometry, *, tolerance_mm: float = 1e-3) -> bool:
        """Whether shapes agree and every voxel lies at the same place within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        distance = np.abs(self.index_to_ras(corners) - other.index_to_ras(corners))
        return bool(distance.max() <= tolerance_mm)


def _parse_orientation(orientation: str) -> list[tuple[int, bool]]:
    """For the array axes (k, j, i): the RAS axis and whether it points up it."""
    wanted = [
        (axis, letter == pair[1])
        for letter in reversed(orientation)
        for axis, pair in enumerate(_AXIS_LETTERS)
        if letter in pair
    ]
    if len(orientation) != 3 or sorted(axis for axis, _ in wanted) != [0, 1, 2]:
        raise InvalidInputError(f'orientation must name one of R/L, A/P and S/I each, like "RAS"; got {orientation!r}')
    return wanted


def _nearest_axes(direction: NDArray[np.float64]) -> list[int]:
    """For each grid axis the RAS axis it runs along most, each used once (strongest first).

    Ties, as at 45 degrees, are decided by the lines that the axes lie on and not by their order or sense, so that a
    grid keeps its choice when it is flipped and its axes are exchanged.
    """
    x, y, z = direction
    line = x * y + 0.3 * y * z + 0.1 * z * x  # the same for an axis and its opposite, different for equal |x|, |y|, |z|
    strength = np.abs(direction) + 1e-6 * (0.3 * line - np.arange(3)[:, None])
    axes = [0, 0, 0]
    for _ in range(3):
        axis, column = np.unravel_index(int(strength.argmax()), strength.shape)
        axes[int(column)] = int(axis)
        strength[axis, :] = -1
        strength[:, column] = -1
    return axes
