"""Where a person should look first: the places of highest uncertainty, spread over the volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.peaks import block_centers, block_means, highest_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Volume

_COARSE_MM = 3.0


@dataclass(frozen=True, eq=False)
class Places:
    """Places to look at, the most uncertain first.

    Attributes:
        points_ras: Array (n, 3) in RAS mm.
        scores: Mean uncertainty around each, 0 to 1, falling.
    """

    points_ras: NDArray[np.float64]
    scores: NDArray[np.float64]


def most_uncertain_places(
    uncertainty: Volume, *, count: int = 20, radius_mm: float = 6.0, distance_mm: float = 15.0, least: float = 0.05
) -> Places:
    """Find where uncertainty is high in a whole neighbourhood, not only along a boundary.

    Every boundary is uncertain by a voxel; averaging over a neighbourhood lets thick uncertain zones win. The map is
    averaged in blocks of about 3 mm first, so the cost does not depend on how fine the volume is.

    Args:
        uncertainty: One channel in [0, 1], such as the entropy map of a prediction.
        count: At most so many places.
        radius_mm: Size of the neighbourhood: twice the standard deviation of its Gaussian weights.
        distance_mm: Least distance of two places.
        least: Places with a lower score are left out.

    Raises:
        InvalidInputError: A setting is out of range.
    """
    if count < 0 or radius_mm <= 0 or distance_mm < 0:
        raise InvalidInputError(
            f"count, radius and distance must not be negative, got {count}, {radius_mm} mm, {distance_mm} mm"
        )
    spacing = np.asarray(uncertainty.geometry.spacing_mm)
    blocks = np.clip(np.floor(_COARSE_MM / spacing), 1, uncertainty.geometry.shape).astype(int)
    coarse = block_means(uncertainty.voxels[0], blocks)
    step = spacing * blocks
    scores = ndimage.gaussian_filter(coarse, radius_mm / 2 / step, mode="nearest")
    peaks, heights = highest_peaks(scores, step, count=count, distance_mm=distance_mm, least=least)
    index = block_centers(peaks, blocks, uncertainty.geometry.shape)
    return Places(uncertainty.geometry.index_to_ras(index), heights)
