"""Run the network over tiles and give back finished planes of features or logits, first to last."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import torch

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.imaging.memory import freed_memory_kept
from DeepSegmentLib.networks.runtime import is_out_of_memory
from DeepSegmentLib.segmentation.tiles import slab_axis

from .batches import Batches
from .slab_blender import SlabBlender

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.data import Index
    from DeepSegmentLib.networks.runtime import Network
    from DeepSegmentLib.segmentation.tiles import TileSettings


def blended_planes(
    voxels: NDArray[np.float32],
    network: Network,
    settings: TileSettings,
    on_tile: Callable[[int, int], None],
    on_retreat: Callable[[str], None] = lambda _: None,
) -> Generator[tuple[int, Tensor], None, None]:
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
    batches = Batches(voxels, network, settings, on_retreat)
    slab = _Slab(shape, axis, torch.from_numpy(settings.importance(shape)), on_retreat)
    with freed_memory_kept(), closing(batches.run(tiles)) as results:
        for done, (tile, result) in enumerate(results, start=1):
            yield from slab.release(tile.start[axis])
            slab.add(tile, result)
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
