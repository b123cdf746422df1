"""What the cases of a training are like: shapes, spacings, intensities, segments."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.training.cases.labelled_case import LabelledCase

    from .machine import Spacing

_VOXELS_A_CASE = 10_000


@dataclass(frozen=True)
class Intensities:
    """Of one channel, inside the segments of all cases.

    Attributes:
        low: Percentile 0.5.
        high: Percentile 99.5.
        mean: Mean.
        std: Standard deviation, above 0.
    """

    low: float
    high: float
    mean: float
    std: float


@dataclass(frozen=True)
class Fingerprint:
    """What a plan goes by.

    Attributes:
        shapes: Of each case (k, j, i), in RAS and without empty borders.
        spacings_mm: Of each case (k, j, i).
        intensities: Of each channel.
        drawn: For each segment the cases in which it was drawn and has a voxel.
        smallest_mm: For each segment the median of its least extent along an axis.
    """

    shapes: tuple[tuple[int, int, int], ...]
    spacings_mm: tuple[Spacing, ...]
    intensities: tuple[Intensities, ...]
    drawn: Mapping[str, int]
    smallest_mm: Mapping[str, float]


def fingerprint(cases: Iterable[LabelledCase]) -> Fingerprint:
    """Measure cases, one in memory at a time; the same cases give the same numbers.

    Raises:
        InvalidInputError: There is no case that has a drawn voxel.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 ("dataset fingerprint").
    """
    shapes, spacings, samples = [], [], []
    drawn: Counter[str] = Counter()
    extents: dict[str, list[float]] = {}
    for case in cases:
        oriented = case.volume.oriented("RAS")
        shape, spacing = _content_shape(oriented.voxels), oriented.geometry.spacing_mm
        shapes.append(shape)
        spacings.append(spacing)
        masks = dict(_masks(case))
        samples.append(_sample(case.volume.voxels, list(masks.values())))
        for name, mask in masks.items():
            drawn[name] += 1
            box = bounding_box(mask)
            steps = case.volume.geometry.spacing_mm
            extents.setdefault(name, []).append(min(n * step for n, step in zip(box.shape, steps, strict=True)))
    if not drawn:
        raise InvalidInputError("there is no case with a drawn voxel to learn from")
    return Fingerprint(
        tuple(shapes),
        tuple(spacings),
        tuple(_intensities(np.concatenate(each)) for each in zip(*samples, strict=True)),
        dict(drawn),
        {name: float(np.median(each)) for name, each in extents.items()},
    )


def _content_shape(voxels: NDArray[np.generic]) -> tuple[int, int, int]:
    """Extent of what is not the value of the first corner."""
    box = bounding_box((voxels != voxels[:, :1, :1, :1]).any(axis=0))
    k, j, i = box.shape if box.size else voxels.shape[1:]
    return k, j, i


def _masks(case: LabelledCase) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    """Of the drawn segments that have a voxel, by name."""
    for name, mask in case.label_map.masks.items():
        if name in case.drawn and mask.any():
            yield name, mask


def _sample(voxels: NDArray[np.generic], masks: Sequence[NDArray[np.bool_]]) -> list[NDArray[np.float64]]:
    """Intensities of each channel inside the segments, evenly picked; none where there is no segment."""
    inside = np.logical_or.reduce(masks) if masks else np.zeros(voxels.shape[1:], np.bool_)
    return [
        channel[inside][:: max(1, int(np.count_nonzero(inside)) // _VOXELS_A_CASE)].astype(np.float64)
        for channel in voxels
    ]


def _intensities(values: NDArray[np.float64]) -> Intensities:
    low, high = np.percentile(values, [0.5, 99.5])
    return Intensities(float(low), float(high), float(values.mean()), max(float(values.std()), 1e-6))
