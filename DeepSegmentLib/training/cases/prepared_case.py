"""A case on the network's grid, with the intensities that the network sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Known:
    """What is known where a voxel of `PreparedCase.regions` says so.

    Attributes:
        classes: For each output channel of the network whether its truth is known. Of labels, channel 0 is the
            background, always true: unknown classes are taken together with it.
        weight: How much the voxels count, 0 to 1.
    """

    classes: tuple[bool, ...]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InvalidInputError(f"the weight of voxels must be from 0 to 1, got {self.weight}")


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case as the network sees it. Arrays may be memory-mapped and are only read.

    Attributes:
        name: Of the case.
        group: What folds may not part.
        image: Normalised intensities (channel, k, j, i), float16 or float32.
        labels: (layer, k, j, i) of uint8 or uint16. Of a model whose output is labels one layer of channel numbers of
            the network, 0 for background; of one whose output is regions a layer of 0 and 1 for each channel.
        regions: Rows of `known` (k, j, i), uint8.
        known: What is known where.
        spacing_mm: Of the grid (k, j, i).
        places: For each output channel of the network indices (n, 3) of some of its voxels, int32; empty where it has
            none or nobody knows.
    """

    name: str
    group: str
    image: NDArray[Any]
    labels: NDArray[Any]
    regions: NDArray[np.uint8]
    known: tuple[Known, ...]
    spacing_mm: tuple[float, float, float]
    places: tuple[NDArray[np.int32], ...]

    def __post_init__(self) -> None:
        shape = self.image.shape[1:]
        if self.labels.shape[1:] != shape or self.regions.shape != shape:
            raise InvalidInputError(
                f"case {self.name!r}: image, labels and regions must have one grid, got {shape}, "
                f"{self.labels.shape[1:]} and {self.regions.shape}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the grid (k, j, i)."""
        k, j, i = self.regions.shape
        return k, j, i
