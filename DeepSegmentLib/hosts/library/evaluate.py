"""Numbers about segmentations: how well two agree, and what each segment is like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.evaluation import evaluate as evaluate_labels
from DeepSegmentLib.evaluation.measurements import measure as measure_labels
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid

from .python_words import in_python_words
from .segmentations import read_segmentation
from .volumes import read_volume

if TYPE_CHECKING:
    from DeepSegmentLib.evaluation import SegmentScores
    from DeepSegmentLib.evaluation.measurements import Measurement

    from .segmentations import SegmentationLike
    from .volumes import VolumeLike


@in_python_words
def evaluate(
    reference: SegmentationLike, prediction: SegmentationLike, *, tolerance_mm: float = 1.0
) -> tuple[SegmentScores, ...]:
    """How well a segmentation agrees with a reference, segment by segment.

    Args:
        reference: What is right, in any form, see `read_segmentation`.
        prediction: What is judged, likewise; on the same grid, in whatever order its axes are.
        tolerance_mm: Largest surface distance that counts as agreement in the surface Dice.

    Returns:
        For each segment of either side its `name` and `scores`: Dice, IoU, precision, recall, surface distances.

    Raises:
        InvalidInputError: The grids differ, or see `read_segmentation`.
        VolumeFileError: A file cannot be read.

    Example:
        >>> import numpy as np
        >>> right, wrong = (np.array([[[0, 1, 1]]]), np.eye(4)), (np.array([[[0, 0, 1]]]), np.eye(4))
        >>> {each.name: round(each.scores.dice, 2) for each in evaluate(right, wrong)}
        {'label 1': 0.67}
    """
    right = read_segmentation(reference).label_map
    judged = match_grid(read_segmentation(prediction).label_map, right.geometry)
    return evaluate_labels(right, judged, tolerance_mm)


@in_python_words
def measure(segmentation: SegmentationLike, volume: VolumeLike | None = None) -> tuple[Measurement, ...]:
    """Size, place and, with a volume, intensities of each segment.

    Args:
        segmentation: In any form, see `read_segmentation`.
        volume: Intensities on the same grid, in any form, see `read_volume`; None to leave them out.

    Returns:
        For each segment its volume, surface, largest diameter, centroid and the statistics of each channel.

    Raises:
        InvalidInputError: The grids differ, or see `read_segmentation`.
        VolumeFileError: A file cannot be read.

    Example:
        >>> import numpy as np
        >>> (each,) = measure((np.array([[[0, 1, 1]]]), np.eye(4)), (np.array([[[5, 7, 9]]]), np.eye(4)))
        >>> each.segment, each.volume_ml, each.channels[0].mean
        ('label 1', 0.002, 8.0)
    """
    label_map = read_segmentation(segmentation).label_map
    if volume is None:
        return measure_labels(label_map)
    intensities = read_volume(volume)
    return measure_labels(match_grid(label_map, intensities.geometry), intensities)
