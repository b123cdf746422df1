"""How much volumes and what is found in them are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.segmentation.result_measures import ResultMeasures

_LEAST = 1e-9
"""A number that varies less than so much of its size does not vary."""


class Likeness:
    """Distances of volumes from those that are collected or chosen.

    Each number of `look` and `shape` is scaled by how it varies among different volumes; both groups count alike,
    however many numbers they have. Copies of a volume are at the distance 0 and change no other distance.

    Attributes:
        nearest: Distance of each volume from the nearest collected or chosen one; infinite while there is none.
    """

    def __init__(self, volumes: Sequence[ResultMeasures], collected: Sequence[ResultMeasures]) -> None:
        """Take the volumes to choose from, and those that are collected."""
        points = _scaled([*volumes, *collected])
        self._points = points[: len(volumes)]
        self.nearest = np.full(len(volumes), np.inf)
        for point in points[len(volumes) :]:
            self._come_nearer(point)

    def choose(self, n: int) -> None:
        """From now on one of the volumes is chosen."""
        self._come_nearer(self._points[n])

    def from_middle(self) -> NDArray[np.float64]:
        """The mean distance of each volume from the others."""
        return np.array([_distances(self._points, point).mean() for point in self._points])

    def _come_nearer(self, point: NDArray[Any]) -> None:
        self.nearest = np.minimum(self.nearest, _distances(self._points, point))


def _distances(points: NDArray[Any], point: NDArray[Any]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.sqrt(((points - point) ** 2).sum(axis=1))
    return distances


def _scaled(measures: Sequence[ResultMeasures]) -> NDArray[np.float64]:
    groups = [np.array([each.look for each in measures]), np.array([each.shape for each in measures])]
    return np.concatenate([_standardized(group) for group in groups if group.size], axis=1)


def _standardized(group: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero mean and unit deviation over different rows, so that the mean square of a row's numbers counts."""
    different = np.unique(group, axis=0)
    mean, spread = different.mean(axis=0), different.std(axis=0)
    spread = np.where(spread > _LEAST * (1 + np.abs(mean)), spread, np.inf)
    scaled: NDArray[np.float64] = (group - mean) / spread / np.sqrt(group.shape[1])
    return scaled
