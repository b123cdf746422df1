"""Label maps as training cases: tissues to draw images from, segments to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, LabelMap


@dataclass(frozen=True)
class Tissue:
    """Voxels that look alike in any image of the head.

    Attributes:
        name: For people.
        sources: Label values of the training label map that are this tissue.
        segment: Label value that the network shall give these voxels; 0 for background.
        brightness: Mean and standard deviation of its usual intensity, on a scale of 0 (black) to 1 (white).
        inside_only: Whether `segment` holds only inside the closed hull of all other segments (sulcal fluid, as
            opposed to the fluid outside); elsewhere the voxels are background.
        outer: Whether this tissue lies outside the organ (skull, skin): it may be stripped or cut off.
    """

    name: str
    sources: tuple[int, ...]
    segment: int
    brightness: tuple[float, float]
    inside_only: bool = False
    outer: bool = False


@dataclass(frozen=True, eq=False)
class SynthesisCase:
    """One label map, ready to make images from.

    Attributes:
        tissues: Array (k, j, i) of uint8: index into the tissue table plus one; 0 is air.
        targets: Array (k, j, i) of uint8: the label value to learn.
        geometry: Where the voxels are; axes (i, j, k) to R, A, S.
        centre: Fractional index (k, j, i) of the middle of all targets.
    """

    tissues: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    geometry: Geometry
    centre: tuple[float, float, float]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size (k, j, i)."""
        return self.geometry.spacing_mm


def make_case(label_map: LabelMap, tissues: tuple[Tissue, ...], *, hull_mm: float = 6.0) -> SynthesisCase:
    """Translate a label map into tissues and targets.

    Args:
        label_map: One layer of source values, axes (i, j, k) pointing to R, A, S.
        tissues: The tissue table; source values in none of them are air.
        hull_mm: Radius of the closing that makes the hull of the segments.

    Raises:
        InvalidInputError: The label map holds no segment of the table, or is not in RAS order.
    """
    if label_map.geometry.orientation != "RAS":
        raise InvalidInputError(f"training label maps must be oriented to RAS, got {label_map.geometry.orientation}")
    source = label_map.layers[0]
    drawn = _look_up(source, {value: n + 1 for n, tissue in enumerate(tissues) for value in tissue.sources})
    targets = _look_up(source, {value: tissue.segment for tissue in tissues for value in tissue.sources})
    fluid = np.isin(source, [value for tissue in tissues if tissue.inside_only for value in tissue.sources])
    hull = _closed((targets > 0) & ~fluid, label_map.geometry.spacing_mm, hull_mm)
    targets[fluid & ~hull] = 0
    if not targets.any():
        raise InvalidInputError("the label map holds none of the segments to learn; check the tissue table")
    middle = bounding_box(targets > 0)
    k, j, i = ((a + b - 1) / 2 for a, b in zip(middle.start, middle.stop, strict=True))
    return SynthesisCase(drawn, targets, label_map.geometry, (k, j, i))


def _look_up(source: NDArray[Any], table: dict[int, int]) -> NDArray[np.uint8]:
    translation = np.zeros(int(source.max()) + 1, np.uint8)
    for value, result in table.items():
        if value < len(translation):
            translation[value] = result
    return np.asarray(translation[source])


def _closed(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], radius_mm: float) -> NDArray[np.bool_]:
    """Morphological closing by a ball in millimetres, then holes filled."""
    margin = [int(np.ceil(radius_mm / step)) + 1 for step in spacing_mm]
    padded = np.pad(mask, [(m, m) for m in margin])
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing_mm) <= radius_mm
    closed = ndimage.distance_transform_edt(grown, sampling=spacing_mm) > radius_mm
    filled = ndimage.binary_fill_holes(closed | padded)
    return np.asarray(filled[tuple(slice(m, -m) for m in margin)])
