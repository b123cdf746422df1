"""How well a predicted mask agrees with a reference.

Overlap is counted in voxels, distances in millimetres between surface voxels (`DeepSegmentLib.imaging.distances`).

Empty masks. A structure that is absent and was found absent is a right answer: with both masks empty Dice, IoU,
precision, recall and NSD are 1, the distances and differences 0, as in the BraTS evaluation. With one of them empty
Dice, IoU and NSD are 0 and the distances infinite, as in MONAI and DeepMind's surface-distance, because no finite
number is worse than every other; a ratio without a denominator (precision of an empty prediction, recall of an empty
reference) is NaN. nnU-Net leaves two empty masks out of its means (NaN): `MaskScores` tells them by its volumes.

References:
    Maier-Hein, Reinke et al., Metrics reloaded, Nat Methods 2024 (definitions, pitfalls).
    Nikolov et al., Clinically applicable segmentation of head and neck anatomy, JMIR 2021 (surface Dice).
    Taha & Hanbury, Metrics for evaluating 3D medical image segmentation, BMC Med Imaging 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.distances import SurfaceDistances, check_masks, surface_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

# Distances are sums of rounded products: a voxel three steps of 0.1 mm away counts as within 0.3 mm.
_ROUNDING_MM = 1e-6


def dice(reference: Mask, prediction: Mask) -> float:
    """Twice the common voxels over the voxels of both (Sorensen-Dice, F1), 0 to 1."""
    both, either = _common(reference, prediction), _count(reference) + _count(prediction)
    return 2 * both / either if either else 1.0


def iou(reference: Mask, prediction: Mask) -> float:
    """The common voxels over those of either (Jaccard), 0 to 1."""
    both = _common(reference, prediction)
    either = _count(reference) + _count(prediction) - both
    return both / either if either else 1.0


def precision(reference: Mask, prediction: Mask) -> float:
    """The part of the prediction that is right, 0 to 1; NaN if only the prediction is empty."""
    return _fraction(_common(reference, prediction), _count(prediction), _count(reference))


def recall(reference: Mask, prediction: Mask) -> float:
    """The part of the reference that was found (sensitivity), 0 to 1; NaN if only the reference is empty."""
    return _fraction(_common(reference, prediction), _count(reference), _count(prediction))


def hausdorff_mm(distances: SurfaceDistances) -> float:
    """The largest distance of any surface voxel to the other surface, in mm."""
    return _percentile_mm(distances, 100)


def hausdorff95_mm(distances: SurfaceDistances) -> float:
    """The larger of the 95th percentiles of both directions, in mm.

    Percentiles are interpolated linearly, as MONAI does. MedPy instead takes the percentile of both directions
    together, which lets a large surface hide the errors of a small one.
    """
    return _percentile_mm(distances, 95)


def assd_mm(distances: SurfaceDistances) -> float:
    """The mean distance of all surface voxels of both masks to the other surface, in mm."""
    both = np.concatenate([distances.reference_mm, distances.prediction_mm])
    return float(both.mean()) if both.size else 0.0


def nsd(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Normalised surface Dice: the part of both surfaces that is within a tolerance of the other, 0 to 1.

    Surface voxels are counted, as in MONAI; DeepMind's surface-distance weighs them by their area.

    Args:
        distances: Of both surfaces.
        tolerance_mm: Largest distance that counts as agreement, such as that between two readers; 0 or more.

    Raises:
        InvalidInputError: The tolerance is negative or not finite.
    """
    if not 0 <= tolerance_mm < np.inf:
        raise InvalidInputError(f"tolerance must be 0 mm or more, got {tolerance_mm}")
    both = np.concatenate([distances.reference_mm, distances.prediction_mm])
    return float((both <= tolerance_mm + _ROUNDING_MM).mean()) if both.size else 1.0


def relative_difference(reference_ml: float, prediction_ml: float) -> float:
    """How much larger the prediction is, as a fraction of the reference; infinite for an empty reference."""
    if reference_ml == 0:
        return 0.0 if prediction_ml == 0 else float("inf")
    return (prediction_ml - reference_ml) / reference_ml


@dataclass(frozen=True)
class MaskScores:
    """All scores of one predicted mask.

    Attributes:
        dice: Overlap, 0 to 1.
        iou: Overlap, 0 to 1.
        precision: Right part of the prediction, 0 to 1; NaN if only the prediction is empty.
        recall: Found part of the reference, 0 to 1; NaN if only the reference is empty.
        nsd: Part of the surfaces that agrees within `tolerance_mm`, 0 to 1.
        hausdorff_mm: Largest surface distance; infinite if one mask is empty.
        hausdorff95_mm: 95th percentile of it.
        assd_mm: Mean surface distance.
        reference_ml: Volume of the reference.
        prediction_ml: Volume of the prediction.
        difference_ml: Volume of the prediction minus that of the reference.
        difference_relative: The same over the volume of the reference; infinite if only that is empty.
        tolerance_mm: What `nsd` was computed with.
    """

    dice: float
    iou: float
    precision: float
    recall: float
    nsd: float
    hausdorff_mm: float
    hausdorff95_mm: float
    assd_mm: float
    reference_ml: float
    prediction_ml: float
    difference_ml: float
    difference_relative: float
    tolerance_mm: float

    @property
    def missed(self) -> bool:
        """Whether the reference has voxels and the prediction none."""
        return self.reference_ml > 0 and self.prediction_ml == 0

    @property
    def false_alarm(self) -> bool:
        """Whether the prediction has voxels and the reference none."""
        return self.prediction_ml > 0 and self.reference_ml == 0


def compare_masks(reference: Mask, prediction: Mask, spacing_mm: Sequence[float], tolerance_mm: float) -> MaskScores:
    """All scores of one predicted mask; its surfaces are measured once.

    Args:
        reference: Boolean array (k, j, i).
        prediction: Boolean array of the same shape.
        spacing_mm: Voxel size along (k, j, i).
        tolerance_mm: Largest surface distance that `nsd` counts as agreement, 0 or more.

    Raises:
        InvalidInputError: The masks are not boolean 3D arrays of one shape, a spacing is not above 0, or the tolerance
            is negative.

    Example:
        >>> mask = np.ones((2, 2, 2), bool)
        >>> scores = compare_masks(mask, mask, (1, 1, 1), tolerance_mm=1)
        >>> scores.dice, scores.hausdorff_mm, scores.prediction_ml
        (1.0, 0.0, 0.008)
    """
    check_masks(reference, prediction)
    place = bounding_box(reference | prediction).to_slices()
    reference, prediction = reference[place], prediction[place]
    distances = surface_distances(reference, prediction, spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    volumes_ml = (_count(reference) * voxel_ml, _count(prediction) * voxel_ml)
    return MaskScores(
        dice=dice(reference, prediction),
        iou=iou(reference, prediction),
        precision=precision(reference, prediction),
        recall=recall(reference, prediction),
        nsd=nsd(distances, tolerance_mm),
        hausdorff_mm=hausdorff_mm(distances),
        hausdorff95_mm=hausdorff95_mm(distances),
        assd_mm=assd_mm(distances),
        reference_ml=volumes_ml[0],
        prediction_ml=volumes_ml[1],
        difference_ml=volumes_ml[1] - volumes_ml[0],
        difference_relative=relative_difference(*volumes_ml),
        tolerance_mm=float(tolerance_mm),
    )


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _common(reference: Mask, prediction: Mask) -> int:
    check_masks(reference, prediction)
    return _count(reference & prediction)


def _fraction(part: int, whole: int, other: int) -> float:
    if whole:
        return part / whole
    return float("nan") if other else 1.0


def _percentile_mm(distances: SurfaceDistances, percent: float) -> float:
    sides = [side for side in (distances.reference_mm, distances.prediction_mm) if side.size]
    if not all(np.isfinite(side).all() for side in sides):
        return float("inf")
    return max((float(np.percentile(side, percent)) for side in sides), default=0.0)
