"""Surfaces of masks and the distances between them, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """How far two surfaces are from each other, voxel by voxel.

    Attributes:
        reference_mm: For each surface voxel of the reference, in raster order, the distance to the nearest surface
            voxel of the prediction; infinite where the prediction is empty. Float64 array (n,), n = 0 for an empty
            reference.
        prediction_mm: The same from the prediction to the reference.
    """

    reference_mm: NDArray[np.float64]
    prediction_mm: NDArray[np.float64]


def surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of a mask that have a face in common with the background; what is outside the array is background.

    This is the mask minus its erosion by the 6-neighbourhood, as in MONAI, MedPy and ITK's `BinaryContour` (with a
    margin of background): every distance is one between voxel centres.

    Args:
        mask: Boolean array (k, j, i).

    Returns:
        A mask of the same shape, inside the given one.
    """
    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def surface_distances(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Distances from each surface to the other.

    The nearest voxel is found in a k-d tree of surface voxels: the same numbers as with a distance transform, but time
    and memory grow with the surfaces instead of the box around them.

    Args:
        reference: Boolean array (k, j, i).
        prediction: Boolean array of the same shape.
        spacing_mm: Voxel size along (k, j, i); the axes are taken as perpendicular.

    Raises:
        InvalidInputError: The masks are not boolean 3D arrays of one shape, or a spacing is not above 0.

    Example:
        >>> a, b = np.zeros((2, 1, 1, 5), bool)
        >>> a[0, 0, 0] = b[0, 0, 3] = True
        >>> surface_distances(a, b, (1, 1, 0.5)).reference_mm.tolist()
        [1.5]
    """
    check_masks(reference, prediction)
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if spacing.shape != (3,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InvalidInputError(f"spacing must be three lengths above 0 mm, got {spacing.tolist()}")
    places = [_surface_indices(mask) * spacing for mask in (reference, prediction)]
    return SurfaceDistances(_nearest(places[0], places[1]), _nearest(places[1], places[0]))


def check_masks(reference: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> None:
    """Refuse what cannot be compared voxel by voxel.

    Raises:
        InvalidInputError: The masks are not boolean 3D arrays of one shape.
    """
    for mask in (reference, prediction):
        if mask.dtype != np.bool_ or mask.ndim != 3:
            raise InvalidInputError(
                f"a mask must be a boolean 3D array, got {mask.ndim}D {mask.dtype}; use labels == 1"
            )
    if reference.shape != prediction.shape:
        raise InvalidInputError(f"masks must have one shape, got {reference.shape} and {prediction.shape}")


def _surface_indices(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices (n, 3) of the surface voxels; only the box around the mask is searched."""
    box = bounding_box(mask)
    return np.asarray(np.argwhere(surface(mask[box.to_slices()])) + np.asarray(box.start))


def _nearest(from_mm: NDArray[np.float64], to_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each place the distance to the nearest of the others; infinite if there are none."""
    return np.asarray(KDTree(to_mm).query(from_mm)[0], dtype=np.float64)
