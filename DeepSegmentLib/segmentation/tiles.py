"""Run the network over tiles and give back finished planes of logits, first to last."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations, groupby
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.blending import SlabBlender, importance_map
from DeepSegmentLib.imaging.tiling import count_tiles, plan_tiles, tile_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Index
    from DeepSegmentLib.networks.runtime import Network


@dataclass(frozen=True)
class TileSettings:
    """How tiles are run.

    Attributes:
        patch_shape: Network input extent (k, j, i), in voxels.
        overlap: Least shared fraction of neighbouring tiles, in [0, 1).
        mirror_axes: Array axes (0 to 2: k, j, i) to mirror for test-time augmentation; empty for none.
    """

    patch_shape: Index
    overlap: float = 0.5
    mirror_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not set(self.mirror_axes) <= {0, 1, 2}:
            raise InvalidInputError(f"mirror axes must be among 0, 1, 2, got {self.mirror_axes}")


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
    tiles = plan_tiles(shape, settings.patch_shape, overlap=settings.overlap)
    total = count_tiles(shape, settings.patch_shape, overlap=settings.overlap)
    weights = importance_map(tile_shape(shape, settings.patch_shape))
    mirrors = _subsets(settings.mirror_axes)
    blender: SlabBlender | None = None
    done = 0
    for first, row in groupby(tiles, key=lambda tile: tile.start[0]):
        if blender is not None and first > 0:
            yield from blender.release(first)
        for tile in row:
            logits = _tile_logits(voxels, tile, network, settings.patch_shape, mirrors)
            blender = blender or SlabBlender(len(logits), shape, tile.shape[0])
            blender.add(tile, logits, weights)
            done += 1
            on_tile(done, total)
    if blender is not None:
        yield from blender.release(shape[0])


def count_passes(shape: Index, settings: TileSettings) -> int:
    """Forward passes that `blended_planes` will make for an array (k, j, i), mirrored ones included."""
    mirrored: int = 2 ** len(settings.mirror_axes)
    return count_tiles(shape, settings.patch_shape, overlap=settings.overlap) * mirrored


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


def _padded(patch: NDArray[np.float32], patch_shape: Index) -> tuple[NDArray[np.float32], tuple[slice, slice, slice]]:
    """The patch with zeros on both sides of axes shorter than the network's, and where it lies in that."""
    missing = [max(0, want - have) for want, have in zip(patch_shape, patch.shape[1:], strict=True)]
    before = [n // 2 for n in missing]
    padding = [(0, 0), *((b, n - b) for b, n in zip(before, missing, strict=True))]
    k, j, i = (slice(b, b + have) for b, have in zip(before, patch.shape[1:], strict=True))
    return np.pad(patch, padding), (k, j, i)
