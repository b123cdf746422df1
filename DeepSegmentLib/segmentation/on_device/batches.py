"""Tiles through the network: several at a time where that pays, fewer where memory is short, none twice that is air."""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from itertools import chain, combinations, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.imaging.tiling import tile_shape
from DeepSegmentLib.networks.runtime import copies_of
from DeepSegmentLib.segmentation.tiles import inner_of

from .copies import Copies

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.data import Box, Index
    from DeepSegmentLib.networks.runtime import Network
    from DeepSegmentLib.segmentation.tiles import TileSettings

    _Values = tuple[float, ...]

_VOXELS_OF_BATCH = 1 << 22
"""Voxels of the patches that a graphics card gets at once: two of 128 cubed."""


class _Asked(NamedTuple):
    """A tile whose result is waited for.

    Attributes:
        tile: Where it is.
        values: Of its channels, where each holds but one; otherwise None.
        is_repeated: Whether the last tile of one value a channel had the same, so that the result is its result.
    """

    tile: Box
    values: _Values | None
    is_repeated: bool


class Batches:
    """Runs tiles of an array, all of which have one extent.

    Tiles that hold one value (air, what is outside a brain, padding) have the same result: of those
    with the values of the last such tile, the network sees only the first.
    """

    def __init__(
        self, voxels: NDArray[np.float32], network: Network, settings: TileSettings, on_retreat: Callable[[str], None]
    ) -> None:
        """Take an array (channel, k, j, i), the network, how tiles are run, and who is told where memory is short."""
        self._voxels, self._device, self._on_retreat = voxels, network.device, on_retreat
        shape = as_index(voxels.shape[1:])
        self._extent = settings.extent(shape)
        self._inner = inner_of(tile_shape(shape, self._extent), self._extent)
        self._copies = Copies(copies_of(network), partial(_mean_of_mirrors, _subsets(settings.mirror_axes)))
        self._size = _batch_size(self._device, math.prod(self._extent))
        self._last_values: _Values | None = None

    def run(self, tiles: Iterable[Box]) -> Generator[tuple[Box, Tensor], None, None]:
        """Each tile, in order, with its features or logits (channel, k, j, i), averaged over its mirror images.

        Raises:
            ResourceError: One patch is too much for the memory of each device.
        """
        asked: deque[_Asked] = deque()
        kept = torch.empty(0)
        with self._copies:
            for result in self._results(self._patches(tiles, asked)):
                while asked[0].is_repeated:
                    yield asked.popleft().tile, kept
                tile, values, _ = asked.popleft()
                if values is not None:
                    kept = result.clone()  # the result is a part of a batch's
                yield tile, result
        yield from ((each.tile, kept) for each in asked)

    def _patches(self, tiles: Iterable[Box], asked: deque[_Asked]) -> Iterator[Tensor]:
        """The patches that the network has to see; all tiles are noted."""
        for tile in tiles:
            part = self._voxels[(slice(None), *tile.to_slices())]
            values = _only_values(part)
            is_repeated = values is not None and values == self._last_values
            self._last_values = values or self._last_values
            asked.append(_Asked(tile, values, is_repeated))
            if not is_repeated:
                yield _padded(torch.from_numpy(np.array(part)), self._inner, self._extent)

    def _results(self, patches: Iterator[Tensor]) -> Iterator[Tensor]:
        """Features or logits of each patch, in order, cut to the extent of tiles."""
        asked: deque[_Batch] = deque()
        while True:
            while len(asked) < self._copies.most_asked and (batch := list(islice(patches, self._size))):
                asked.append(self._ask(self._put_together(batch)))
            if not asked:
                return
            first = asked.popleft()
            try:
                results = first.answer()
            except ResourceError as error:
                self._retreat(first, error)
                asked.extendleft(map(self._ask, reversed(torch.split(first.patches, self._size))))
                continue
            yield from (each[(slice(None), *self._inner)] for each in results)

    def _put_together(self, patches: list[Tensor]) -> Tensor:
        """One array, from where a graphics card fetches it by itself."""
        together = torch.stack(patches)
        return together.pin_memory() if self._device.type == "cuda" else together

    def _ask(self, patches: Tensor) -> _Batch:
        return _Batch(patches, *self._copies.ask(patches))

    def _retreat(self, batch: _Batch, error: ResourceError) -> None:
        """Fewer at once; where it was only one, without the device that had no room for it, while there are others."""
        fewer = len(batch.patches) // 2
        if not fewer:
            is_told = batch.copy not in self._copies
            if not self._copies.leave_out(batch.copy):
                raise error
            if not is_told:
                self._on_retreat(f"{error}; continued without {batch.copy.device}")
        elif fewer < self._size:
            self._size = fewer
            self._on_retreat(f"{error}; {fewer} at once from here on")


class _Batch(NamedTuple):
    """Patches that a copy of the network was asked for, and what gives their features or logits."""

    patches: Tensor
    copy: Network
    answer: Callable[[], Tensor]


def _mean_of_mirrors(mirrors: Sequence[tuple[int, ...]], network: Network, batch: Tensor) -> Tensor:
    """Features or logits of patches, averaged over their mirror images."""
    patches = batch.to(network.device, non_blocking=network.device.type == "cuda")
    total: Tensor | None = None
    for axes in mirrors:
        flip = [axis + 2 for axis in axes]
        result = network(torch.flip(patches, flip)).flip(flip) if flip else network(patches)
        total = result if total is None else total + result
    assert total is not None  # `_subsets` always holds the empty one
    return total / len(mirrors) if len(mirrors) > 1 else total


def _only_values(part: NDArray[np.float32]) -> _Values | None:
    """The values of the channels (channel, k, j, i) of a tile, where each holds but one."""
    first = part[:, :1, :1, :1]
    if (part[:, -1:, -1:, -1:] != first).any() or (part != first).any():  # the last voxel tells of most
        return None
    return tuple(first.ravel().tolist())


def _batch_size(device: torch.device, voxels: int) -> int:
    """Patches at once: a processor is busy with one, a graphics card with some millions of voxels."""
    return 1 if device.type == "cpu" else max(1, _VOXELS_OF_BATCH // voxels)


def _subsets(axes: Sequence[int]) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1)))


def _padded(patch: Tensor, inner: tuple[slice, slice, slice], patch_shape: Index) -> Tensor:
    """The patch with zeros on both sides of axes shorter than the network's."""
    edges = [(each.start, max(0, want - each.stop)) for each, want in zip(inner, patch_shape, strict=True)]
    return functional.pad(patch, [n for pair in reversed(edges) for n in pair])
