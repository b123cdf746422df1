"""Run the network over tiles and give back finished planes of logits, first to last."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain, combinations, groupby
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.blending import SlabBlender, importance_map
from DeepSegmentLib.imaging.tiling import count_tiles, plan_tiles, tile_shape
from DeepSegmentLib.networks.stage_spec import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Index
    from DeepSegmentLib.networks.runtime import Network
    from DeepSegmentLib.networks.stage_spec import StageSpec


_VOXELS_AT_ONCE = 1 << 18
"""Planes that a 2D network gets at once; more are hardly faster."""


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
        inner = _inner(tile_shape(shape, self.patch_shape), self.patch_shape)
        return importance_map(self.patch_shape, self.tiling.importance)[inner]

    @property
    def passes_a_tile(self) -> int:
        """Forward passes for each tile, mirrored ones included."""
        return 1 << len(self.mirror_axes)


def blended_planes(
    voxels: NDArray[np.float32],
    network: Network,
    settings: TileSettings,
    on_tile: Callable[[int, int], None],
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Logits of a whole volume plane by plane, each as soon as no later tile can touch it.

    Args:
        voxels: Array (channel, k, j, i) on the network's grid.
        network: Batch of patches in, logits out.
        settings: How tiles are run.
        on_tile: Called after each tile with the number done and the number of all; may raise `Cancelled`.

    Yields:
        Index of the plane, and logits (class, j, i); every plane once, first to last.
    """
    shape = voxels.shape[1:]
    patch_shape, weights, total = settings.extent(shape), settings.importance(shape), settings.count(shape)
    mirrors = _subsets(settings.mirror_axes)
    blender: SlabBlender | None = None
    done = 0
    for first, row in groupby(settings.tiles_of(shape), key=lambda tile: tile.start[0]):
        if blender is not None and first > 0:
            yield from blender.release(first)
        for tile in row:
            logits = _tile_logits(voxels, tile, network, patch_shape, mirrors)
            blender = blender or SlabBlender(len(logits), shape, tile.shape[0])
            blender.add(tile, logits, weights)
            done += 1
            on_tile(done, total)
    if blender is not None:
        yield from blender.release(shape[0])


def count_passes(shape: Index, settings: TileSettings) -> int:
    """Forward passes that `blended_planes` will make for an array (k, j, i), mirrored ones included."""
    return settings.count(shape) * settings.passes_a_tile


def _subsets(axes: Sequence[int]) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1)))


def _tile_logits(
    voxels: NDArray[np.float32],
    tile: Box,
    network: Network,
    patch_shape: Index,
    mirrors: list[tuple[int, ...]],
) -> NDArray[np.float32]:
    """Logits (class, k, j, i) of one tile, averaged over its mirror images."""
    patch, inner = _padded(voxels[(slice(None), *tile.to_slices())], patch_shape)
    total: NDArray[np.float32] | None = None
    for axes in mirrors:
        flip = tuple(axis + 1 for axis in axes)
        logits = np.flip(network(np.ascontiguousarray(np.flip(patch, flip))[None])[0], flip)
        total = logits if total is None else total + logits
    assert total is not None  # `_subsets` always holds the empty one
    return (total / np.float32(len(mirrors)))[(slice(None), *inner)]


def _inner(shape: Index, patch_shape: Index) -> tuple[slice, slice, slice]:
    """Where a tile of this extent lies in the patch: in its middle, half a voxel towards its beginning if need be."""
    before = [max(0, want - have) // 2 for want, have in zip(patch_shape, shape, strict=True)]
    k, j, i = (slice(b, b + have) for b, have in zip(before, shape, strict=True))
    return k, j, i


def _padded(patch: NDArray[np.float32], patch_shape: Index) -> tuple[NDArray[np.float32], tuple[slice, slice, slice]]:
    """The patch with zeros on both sides of axes shorter than the network's, and where it lies in that."""
    inner = _inner(as_index(patch.shape[1:]), patch_shape)
    padding = [(each.start, max(0, want - each.stop)) for each, want in zip(inner, patch_shape, strict=True)]
    return np.pad(patch, [(0, 0), *padding]), inner
