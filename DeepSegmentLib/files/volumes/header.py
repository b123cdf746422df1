"""What the header of a volume file says, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from DeepSegmentLib.data import Geometry

Packing = Literal["raw", "gzip", "zlib", "bzip2", "text", "hex"]


@dataclass(frozen=True)
class Storage:
    """How the voxels lie in the file, or in the files that it names.

    Attributes:
        files: Each holds an equal part of the numbers, in this order.
        packing: How the bytes are packed; `zlib` may also be gzip, as in ITK.
        axes: Which axis is which, the slowest first: t (frame), c (channel), k, j, i.
        start: Bytes in each file before anything of the voxels.
        lines: Lines to pass over behind these.
        skip: Bytes to pass over behind these, once unpacked; -1 where the voxels are the end of the file, -n-1 where n
            bytes follow them.
        packed_bytes: Length of the packed voxels; None where they reach to the end of the file.
    """

    files: tuple[Path, ...]
    packing: Packing
    axes: str
    start: int = 0
    lines: int = 0
    skip: int = 0
    packed_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """What a file holds and where.

    Attributes:
        geometry: Place of one frame.
        frames: Number of 3D frames.
        channels: Numbers per voxel.
        dtype: Type of the stored numbers, in the file's byte order.
        storage: How the voxels are stored.
        scale: Slope and intercept of the real values; (1, 0) where the file has none.
        metadata: Further words of the header, such as the key/value pairs of NRRD.
        notes: What was chosen on reading, as sentences for the user.
    """

    geometry: Geometry
    frames: int
    channels: int
    dtype: np.dtype[Any]
    storage: Storage
    scale: tuple[float, float] = (1.0, 0.0)
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Extents in the order of `storage.axes`."""
        k, j, i = self.geometry.shape
        extents = {"t": self.frames, "c": self.channels, "k": k, "j": j, "i": i}
        return tuple(extents[axis] for axis in self.storage.axes)
