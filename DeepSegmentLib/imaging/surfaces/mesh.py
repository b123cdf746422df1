"""The surface of a mask as triangles: closed, wound outwards, in the patient's millimetres.

References:
    Lorensen & Cline, Marching cubes, SIGGRAPH 1987. Taubin, A signal processing approach to fair surface design,
    SIGGRAPH 1995 (smoothing that does not shrink).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError

from .cells import kinds_of_plane, triangles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry

_SHRINK, _GROW = 0.5, -0.53
"""Taubin's lambda and mu; 1 / lambda + 1 / mu = 0.113 is near the pass band that he recommends, 0.1."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface.

    Attributes:
        points_ras: Corners (n, 3), in RAS millimetres; float64.
        triangles: Three corners (m, 3) of each triangle; seen from outside they turn to the left-hand side (counter-
            clockwise). int32.
    """

    points_ras: NDArray[np.float64]
    triangles: NDArray[np.int32]

    @property
    def volume_mm3(self) -> float:
        """What the surface encloses, in cubic millimetres."""
        if not len(self.points_ras):
            return 0.0
        centred = self.points_ras - self.points_ras.mean(axis=0)  # far from the origin digits would be lost
        a, b, c = (centred[self.triangles[:, n]] for n in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def make_mesh(mask: NDArray[np.bool_], geometry: Geometry) -> Mesh:
    """The surface halfway between the centres of voxels inside and outside.

    It is closed also where the mask touches the border of the grid. Each edge belongs to exactly two triangles, which
    run through it in opposite directions.

    Args:
        mask: Boolean array (k, j, i).
        geometry: Its grid; oblique, flipped and sheared ones count as they are.

    Returns:
        The mesh; without corners for an empty mask.

    Raises:
        InvalidInputError: The mask is not a boolean array of the grid's shape.

    Example:
        >>> from DeepSegmentLib.data import Geometry
        >>> grid = Geometry.from_spacing((1, 1, 1), (1, 1, 1))
        >>> mesh = make_mesh(np.ones((1, 1, 1), bool), grid)  # an octahedron
        >>> len(mesh.points_ras), len(mesh.triangles), round(mesh.volume_mm3, 3)
        (6, 8, 0.167)
    """
    if mask.dtype != np.bool_ or mask.shape != geometry.shape:
        raise InvalidInputError(
            f"a mask must be a boolean array of shape {geometry.shape}, got {mask.dtype} {mask.shape}; use labels == 1"
        )
    box = bounding_box(mask)
    if box.size == 0:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    padded = np.pad(mask[box.to_slices()], 1)
    places, faces = np.unique(_corners(padded), return_inverse=True)
    points = np.stack(np.unravel_index(places, tuple(2 * n for n in padded.shape)), axis=1) / 2
    faces = faces.reshape(-1, 3).astype(np.int32)
    if np.linalg.det(geometry.affine[:3, :3]) < 0:
        faces = faces[:, ::-1]
    return Mesh(geometry.index_to_ras(points - 1 + box.start), np.ascontiguousarray(faces))


def smoothed(mesh: Mesh, iterations: int) -> Mesh:
    """The same triangles with the steps of the voxels smoothed away; what is enclosed stays about as large.

    Args:
        mesh: A closed surface.
        iterations: How often each corner is drawn towards its neighbours and pushed back; 0 for not at all.

    Raises:
        InvalidInputError: `iterations` is below 0.
    """
    if iterations < 0:
        raise InvalidInputError(f"a surface is smoothed 0 times or more often, got {iterations}")
    if not len(mesh.points_ras) or not iterations:
        return mesh
    starts, ends = mesh.triangles.ravel(), np.roll(mesh.triangles, -1, axis=1).ravel()
    # Each edge is there in both directions, once by each of its two triangles.
    count = len(mesh.points_ras)
    neighbours = sparse.csr_matrix((np.ones(len(starts)), (starts, ends)), shape=(count, count))
    mean = sparse.diags(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours
    centre = mesh.points_ras.mean(axis=0)
    points = mesh.points_ras - centre
    for _ in range(iterations):
        for factor in (_SHRINK, _GROW):
            points = points + factor * (mean @ points - points)
    return Mesh(points + centre, mesh.triangles)


def normals(mesh: Mesh) -> NDArray[np.float64]:
    """Unit vectors (n, 3) that point outwards at the corners: the mean of the triangles there, by their areas."""
    a, b, c = (mesh.points_ras[mesh.triangles[:, n]] for n in range(3))
    areas = np.cross(b - a, c - a)
    sums = np.zeros_like(mesh.points_ras)
    for axis in range(3):
        for corner in range(3):
            sums[:, axis] += np.bincount(mesh.triangles[:, corner], areas[:, axis], minlength=len(sums))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    up = np.array([0.0, 0.0, 1.0])  # where triangles cancel out; a normal must have the length 1
    return np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), up)


def _corners(padded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The corners (m, 3) of each triangle, by their place in the grid of half steps."""
    place = np.cumprod([1, *(2 * n for n in padded.shape[:0:-1])])[::-1]
    corners = []
    for k in range(len(padded) - 1):
        kinds = kinds_of_plane(padded, k)
        mixed = np.argwhere((kinds > 0) & (kinds < 255))
        of_kind = kinds[mixed[:, 0], mixed[:, 1]]
        first = 2 * (k * place[0] + mixed @ place[1:])
        for kind in np.unique(of_kind).tolist():
            steps = np.array(triangles(kind)) @ place
            corners.append((first[of_kind == kind, None, None] + steps).reshape(-1, 3))
    return np.concatenate(corners)
