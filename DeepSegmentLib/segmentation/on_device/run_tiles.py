"""Run the network over tiles and give back finished planes of features or logits, first to last."""

from __future__ import annotations

import math
from itertools import chain, combinations, groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.networks.runtime import is_out_of_memory
from DeepSegmentLib.segmentation.tiles import inner_of, slab_axis

from .slab_blender import SlabBlender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.data import Index
    from DeepSegmentLib.networks.runtime import Network
    from DeepSegmentLib.segmentation.tiles import TileSettings

_VOXELS_OF_BATCH = 1 << 22
"""Voxels of the patches that a graphics card gets at once: two of 128 cubed."""


def blended_planes(
    voxels: NDArray[np.float32],
    network: Network,
    settings: TileSettings,
    on_tile: Callable[[int, int], None],
    on_retreat: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[int, Tensor]]:
    """Features or logits of a whole volume plane by plane, each as soon as no later tile can touch it.

    Out of memory, batches get smaller; then tiles are blended in main memory.

    Args:
        voxels: Array (channel, k, j, i) on the network's grid.
        network: Batch of patches in, features or logits out.
        settings: How tiles are run.
        on_tile: Called after each tile with the number done and the number of all; may raise `Cancelled`.
        on_retreat: Told what is done to need less memory.

    Yields:
        Index of the plane along `slab_axis`, and the plane (channel, ...) with the two other axes in their order;
        every plane once, first to last.

    Raises:
        ResourceError: Even so there is too little memory.
    """
    shape = as_index(voxels.shape[1:])
    axis, total = slab_axis(shape, settings), settings.count(shape)
    tiles: Iterable[Box] = settings.tiles_of(shape)
    if axis:
        tiles = sorted(tiles, key=lambda tile: tile.start[axis])
    batches = _Batches(voxels, network, settings, on_retreat)
    slab = _Slab(shape, axis, torch.from_numpy(settings.importance(shape)), on_retreat)
    done = 0
    for first, row in groupby(tiles, key=lambda tile: tile.start[axis]):
        yield from slab.release(first)
        for tile, result in batches.run(row):
            slab.add(tile, result)
            done += 1
            on_tile(done, total)
    yield from slab.release(shape[axis])


class _Slab:
    """A blender whose planes lie across any axis, on the device of the results while there is room."""

    def __init__(self, shape: Index, axis: int, weights: Tensor, on_retreat: Callable[[str], None]) -> None:
        self._order = [axis, *(n for n in range(3) if n != axis)]
        self._shape, self._on_retreat = self._turned(shape), on_retreat
        self._weights = weights.permute(self._order)
        self._blender: SlabBlender | None = None

    def _turned(self, index: Index) -> Index:
        return as_index([index[n] for n in self._order])

    def add(self, tile: Box, result: Tensor) -> None:
        """Add features or logits (channel, k, j, i) of a tile."""
        box = Box(self._turned(tile.start), self._turned(tile.stop))
        if self._blender is None:
            self._blender = self._made(result, box.shape[0])
            self._weights = self._weights.to(self._blender.device)
        self._blender.add(box, result.permute(0, *(n + 1 for n in self._order)), self._weights)

    def _made(self, like: Tensor, depth: int) -> SlabBlender:
        channels, last = len(like), like.stride(0) == 1
        try:
            return SlabBlender(channels, self._shape, depth, like.device, channels_last=last)
        except (RuntimeError, MemoryError) as error:
            if like.device.type == "cpu" or not is_out_of_memory(error):
                raise
        self._on_retreat(f"out of memory on {like.device}; tiles are blended in main memory")
        return SlabBlender(channels, self._shape, depth, channels_last=last)

    def release(self, stop: int) -> Iterator[tuple[int, Tensor]]:
        """Finish all planes before `stop`."""
        if self._blender is not None:
            yield from self._blender.release(stop)


class _Batches:
    """Runs tiles, several at a time where that pays, fewer where memory is short."""

    def __init__(
        self, voxels: NDArray[np.float32], network: Network, settings: TileSettings, on_retreat: Callable[[str], None]
    ) -> None:
        self._voxels, self._network, self._settings, self._on_retreat = voxels, network, settings, on_retreat
        self._extent = settings.extent(as_index(voxels.shape[1:]))
        self._mirrors = _subsets(settings.mirror_axes)
        self._size = 0

    def run(self, tiles: Iterator[Box]) -> Iterator[tuple[Box, Tensor]]:
        """Each tile with its features or logits (channel, k, j, i), averaged over its mirror images."""
        waiting = list(tiles)
        while waiting:
            size = self._size or _batch_size(self._network.device, math.prod(self._extent))
            batch = waiting[:size]
            try:
                results = self._results(batch)
            except ResourceError as error:
                if len(batch) == 1:
                    raise
                self._size = len(batch) // 2
                self._on_retreat(f"{error}; {self._size} at once from here on")
                continue
            yield from zip(batch, results, strict=True)
            del waiting[: len(batch)]

    def _cut(self, tile: Box) -> Tensor:
        return torch.from_numpy(np.array(self._voxels[(slice(None), *tile.to_slices())]))

    def _results(self, batch: Sequence[Box]) -> list[Tensor]:
        padded = [_padded(self._cut(tile), self._extent) for tile in batch]
        patches = _on_device(torch.stack([patch for patch, _ in padded]), self._network.device)
        total: Tensor | None = None
        for axes in self._mirrors:
            flip = [axis + 2 for axis in axes]
            result = self._network(torch.flip(patches, flip)).flip(flip) if flip else self._network(patches)
            total = result if total is None else total + result
        assert total is not None  # `_subsets` always holds the empty one
        if len(self._mirrors) > 1:
            total = total / len(self._mirrors)
        return [each[(slice(None), *inner)] for each, (_, inner) in zip(total, padded, strict=True)]


def _batch_size(device: torch.device, voxels: int) -> int:
    """Patches at once: a processor is busy with one, a graphics card with some millions of voxels."""
    return 1 if device.type == "cpu" else max(1, _VOXELS_OF_BATCH // voxels)


def _on_device(patches: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return patches.to(device)
    return patches.pin_memory().to(device, non_blocking=True)


def _subsets(axes: Sequence[int]) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1)))


def _padded(patch: Tensor, patch_shape: Index) -> tuple[Tensor, tuple[slice, slice, slice]]:
    """The patch with zeros on both sides of axes shorter than the network's, and where it lies in that."""
    inner = inner_of(as_index(patch.shape[1:]), patch_shape)
    edges = [(each.start, max(0, want - each.stop)) for each, want in zip(inner, patch_shape, strict=True)]
    return functional.pad(patch, [n for pair in reversed(edges) for n in pair]), inner
