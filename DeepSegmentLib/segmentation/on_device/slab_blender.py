"""Overlapping tiles into one array, plane by plane: memory for one row of tiles and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from DeepSegmentLib.data.geometry import Box, Index


class SlabBlender:
    """Weighted mean of overlapping tiles that arrive in the order of their first plane.

    Holds only the planes that later tiles can still touch: channels x tile depth x rows x columns. Plane p is kept at
    p modulo the depth, so that nothing is moved when the first planes are done.

    Attributes:
        device: Where they are held; tiles are brought there.
    """

    def __init__(
        self,
        channels: int,
        shape: Index,
        depth: int,
        device: torch.device | str = "cpu",
        *,
        channels_last: bool = False,
    ) -> None:
        """Start empty.

        Args:
            channels: Channels of the tiles.
            shape: Extent (k, j, i) of the whole array.
            depth: Largest extent of a tile along k.
            device: Where to hold the planes.
            channels_last: Whether the channels of a voxel are held side by side; best as tiles have them.
        """
        self.device = torch.device(device)
        self._shape = shape
        self._first = 0
        extent = (min(depth, shape[0]), *shape[1:])
        held = (*extent, channels) if channels_last else (channels, *extent)
        self._total = torch.zeros(held, device=self.device)
        self._total = self._total.movedim(-1, 0) if channels_last else self._total
        self._weight = torch.zeros(extent, device=self.device)

    def add(self, tile: Box, values: Tensor, weights: Tensor) -> None:
        """Add a tile.

        Args:
            tile: Where; not before the planes already released.
            values: Float32 (channel, k, j, i) of the tile's extent.
            weights: Positive float32 weights (k, j, i), on `device`.

        Raises:
            InvalidInputError: The tile reaches before the released planes or beyond the held ones.
        """
        depth, (start, stop) = len(self._weight), (tile.start[0], tile.stop[0])
        if start < self._first or stop > self._first + depth:
            raise InvalidInputError(f"tile {tile} does not fit the planes from {self._first} that are being blended")
        values, (_, j, i) = values.to(self.device), tile.to_slices()
        turn = min(stop, -(-(start + 1) // depth) * depth)  # the planes from there on are at the front again
        for low, high in ((start, turn), (turn, stop)):
            if low < high:
                held, part = slice(low % depth, low % depth + high - low), slice(low - start, high - start)
                self._total[:, held, j, i].addcmul_(values[:, part], weights[part])
                self._weight[held, j, i] += weights[part]

    def release(self, stop: int) -> Iterator[tuple[int, Tensor]]:
        """Finish all planes before `stop`; no later tile may touch them. To be used up before the next tile is added.

        Yields:
            Index of the plane, and the plane (channel, j, i), first to last.
        """
        for k in range(self._first, min(stop, self._shape[0])):
            held = k % len(self._weight)
            yield k, self._total[:, held] / self._weight[held]
            self._total[:, held] = 0
            self._weight[held] = 0
            self._first = k + 1
