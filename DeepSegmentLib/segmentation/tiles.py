"""How tiles are run: where they lie, what they count, in which order they are finished. Torch-free."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.blending import importance_map
from DeepSegmentLib.imaging.tiling import count_tiles, plan_tiles, tile_shape
from DeepSegmentLib.networks.stage_spec import Tiling

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Index
    from DeepSegmentLib.networks.stage_spec import StageSpec


_VOXELS_AT_ONCE = 1 << 18
"""Planes that a 2D network gets at once; more are hardly faster."""
MIXED_AT_ONCE = 1 << 16
"""Voxels between corners of other labels that are looked at together on the way back."""


@dataclass(frozen=True)
class TileSettings:
    """How tiles are run.

    Attributes:
        patch_shape: Network input extent (k, j, i), in voxels.
        planes: Of a 2D network, whose patches have one plane, how many are run at once.
        tiling: Where tiles lie and how they are blended.
        mirror_axes: Array axes (0 to 2: k, j, i) to mirror for test-time augmentation; empty for none.
    """

    patch_shape: Index
    planes: int = 1
    tiling: Tiling = field(default_factory=Tiling)
    mirror_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not set(self.mirror_axes) <= {0, 1, 2}:
            raise InvalidInputError(f"mirror axes must be among 0, 1, 2, got {self.mirror_axes}")

    @classmethod
    def of(cls, stage: StageSpec, overlap: float | None, *, mirror: bool) -> TileSettings:
        """Those of a stage, with another overlap where one is given."""
        tiling = stage.tiling if overlap is None else replace(stage.tiling, overlap=overlap)
        _, rows, columns = stage.patch_shape
        planes = max(1, _VOXELS_AT_ONCE // (rows * columns)) if stage.network.dimensions == 2 else 1
        return cls(stage.patch_shape, planes, tiling, stage.mirror_axes if mirror else ())

    def tiles_of(self, shape: Index) -> Iterator[Box]:
        """The tiles of an array (k, j, i)."""
        return plan_tiles(shape, self.extent(shape), overlap=self._overlaps, last_tile=self.tiling.last_tile)

    def count(self, shape: Index) -> int:
        """How many tiles that are."""
        return count_tiles(shape, self.extent(shape), overlap=self._overlaps, last_tile=self.tiling.last_tile)

    def extent(self, shape: Index) -> Index:
        """What the network gets at once of an array (k, j, i): a patch, or some planes of it."""
        patch = self.patch_shape
        return patch if self.planes == 1 else (min(self.planes, shape[0]), *patch[1:])

    @property
    def _overlaps(self) -> tuple[float, float, float]:
        overlap = self.tiling.overlap
        return (0.0 if self.planes > 1 else overlap), overlap, overlap

    def importance(self, shape: Index) -> NDArray[np.float32]:
        """Weights of the voxels of each tile; of planes, one for all of them."""
        inner = inner_of(tile_shape(shape, self.patch_shape), self.patch_shape)
        return importance_map(self.patch_shape, self.tiling.importance)[inner]

    @property
    def passes_a_tile(self) -> int:
        """Forward passes for each tile, mirrored ones included."""
        return 1 << len(self.mirror_axes)


def slab_axis(shape: Index, settings: TileSettings) -> int:
    """The axis along which planes are finished: the one for which fewest voxels are held at a time."""
    if settings.planes > 1 or settings.patch_shape[0] == 1:
        return 0
    tile = tile_shape(shape, settings.patch_shape)
    return min(range(3), key=lambda axis: tile[axis] * math.prod(shape) // shape[axis])


def count_passes(shape: Index, settings: TileSettings) -> int:
    """Forward passes that `blended_planes` will make for an array (k, j, i), mirrored ones included."""
    return settings.count(shape) * settings.passes_a_tile


def inner_of(shape: Index, patch_shape: Index) -> tuple[slice, slice, slice]:
    """Where a tile of this extent lies in the patch: in its middle, half a voxel towards its beginning if need be."""
    before = [max(0, want - have) // 2 for want, have in zip(patch_shape, shape, strict=True)]
    k, j, i = (slice(b, b + have) for b, have in zip(before, shape, strict=True))
    return k, j, i
