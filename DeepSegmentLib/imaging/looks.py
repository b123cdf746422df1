"""What the voxels of one channel look like, from a sample of them: noise, labels, Hounsfield units, nothing at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLE = 1 << 19
"""Voxels that are looked at along each axis."""

# Air is -1000 HU; what lies outside the scanner's circle is often -1024 or less (DICOM PS3.3 C.11.1.1.2: HU).
AIR_HU, _SOFT_HU = -900.0, (-150.0, 150.0)
_CORNERS = np.ix_((0, -1), (0, -1), (0, -1))


@dataclass(frozen=True)
class Looks:
    """What the voxels of a channel look like.

    Attributes:
        low: Smallest sampled intensity.
        high: Largest.
        usual: The most frequent one.
        other: Part of the voxels that differ from the most frequent one.
        distinct: How many intensities there are, up to the size of the sample.
        whole: Whether they are whole numbers.
        steps: Along each axis, the mean squared difference of neighbours, divided by twice the variance: near 0 for
            anatomy, near 1 for noise (von Neumann, Ann Math Statist 1941); 0 for an axis of one voxel.
        equal: The least part, over the axes, of neighbours of one value among those that are not both `usual`.
        corner: Median of the eight corners: what is around the patient.
        air: Part of the voxels that have the intensity of air in Hounsfield units, or less.
        soft: Part of the others that have that of soft tissue or fat.
    """

    low: float
    high: float
    usual: float
    other: float
    distinct: int
    whole: bool
    steps: tuple[float, float, float]
    equal: float
    corner: float
    air: float
    soft: float


def look_at(channel: NDArray[Any]) -> Looks:
    """Look at a sample of a channel.

    Args:
        channel: Array (k, j, i) of numbers, not empty.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _look(channel)


def _look(channel: NDArray[Any]) -> Looks:
    lines = [_lines(channel, axis) for axis in range(3)]
    sample = lines[0].ravel()
    values, counts = np.unique(sample, return_counts=True)
    usual = float(values[counts.argmax()])
    air = sample <= AIR_HU
    tissue = sample[~air]
    soft = (tissue >= _SOFT_HU[0]) & (tissue <= _SOFT_HU[1])
    return Looks(
        low=float(values[0]),
        high=float(values[-1]),
        usual=usual,
        other=1 - float(counts.max()) / len(sample),
        distinct=len(values),
        whole=bool((values == np.round(values)).all()),
        steps=tuple(_step(line) for line in lines),  # type: ignore[arg-type]
        equal=min((_equal(line, usual) for line in lines if line.shape[-1] > 1), default=1.0),
        corner=float(np.median(channel[_CORNERS])),
        air=float(air.mean()),
        soft=float(soft.mean()) if tissue.size else 0.0,
    )


def _lines(channel: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Whole lines of voxels along an axis, evenly spread, as an array (line, line, along)."""
    moved = np.moveaxis(channel, axis, -1)
    stride = max(1, round((channel.size / _SAMPLE) ** 0.5))
    starts = [min(stride, n) // 2 for n in moved.shape[:2]]
    return moved[starts[0] :: stride, starts[1] :: stride].astype(np.float64)


def _step(lines: NDArray[np.float64]) -> float:
    variance = float(lines.var())
    if not variance > 0 or lines.shape[-1] < 2:
        return 0.0
    return float(np.square(np.diff(lines)).mean()) / (2 * variance)


def _equal(lines: NDArray[np.float64], usual: float) -> float:
    one, other = lines[..., :-1], lines[..., 1:]
    told = (one != usual) | (other != usual)
    return float((one == other)[told].mean()) if told.any() else 1.0
