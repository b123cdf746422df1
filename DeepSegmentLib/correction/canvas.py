"""What a correction works on: one segment on one volume, read block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Geometry

    Mask = NDArray[np.bool_]


class Canvas(Protocol):
    """One segment on one volume, read block by block."""

    @property
    def geometry(self) -> Geometry:
        """The grid of all arrays."""

    def intensities(self, box: Box) -> NDArray[np.float32]:
        """Intensities (channel, k, j, i) of a block."""

    def segment(self, box: Box) -> Mask:
        """The segment's mask (k, j, i) in a block."""

    def editable(self, box: Box) -> Mask:
        """Which voxels (k, j, i) of a block may change."""

    def probability(self, box: Box) -> NDArray[np.float32] | None:
        """What a network gives the segment (k, j, i) in a block, in [0, 1]; None where no network made it."""
