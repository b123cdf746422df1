"""What a run will need, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.segmentation.tiles import TileSettings, count_tiles

from .speeds import known_speed

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.data import Geometry
    from DeepSegmentLib.networks.spec import ModelSpec
    from DeepSegmentLib.segmentation.outputs import PredictSettings

# Python, NumPy, SciPy, SimpleITK, scikit-image and torch, loaded and idle (measured by Testing/benchmarks/memory.py).
_LIBRARIES_BYTES = 450 << 20
# Feature maps of the finest stage that are alive at once: skip connection, up-sampled features, their concatenation,
# and the output of a convolution and of its norm.
_MAPS_ALIVE = 6


@dataclass(frozen=True)
class Estimate:
    """What a run will need.

    Attributes:
        tiles: Forward passes of the network, at most (a crop to the content may save some).
        memory_bytes: Peak memory of the process on a CPU.
        seconds: How long it takes, at most, with the model loaded; None where it has not run on this machine yet.
    """

    tiles: int
    memory_bytes: int
    seconds: float | None = None


def estimate(folder: Path, geometry: Geometry, settings: PredictSettings, device: str = "auto") -> Estimate:
    """Estimate tiles, peak memory and time of a run.

    Args:
        folder: Model folder.
        geometry: Grid of the volume.
        settings: What to predict.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        ModelError: The model cannot be read.
    """
    spec = read_spec(folder)
    oriented, _, _ = geometry.oriented(spec.orientation)
    grid = oriented.resampled(spec.spacing_mm or oriented.spacing_mm)
    mirror_axes = spec.mirror_axes if settings.mirror else ()
    tiles = count_tiles(grid.shape, TileSettings(spec.patch_shape, settings.overlap, mirror_axes))
    speed = known_speed(spec, device)
    memory = _LIBRARIES_BYTES + _arrays_bytes(spec, geometry, grid, settings)
    return Estimate(tiles, memory, None if speed is None else speed * tiles)


def _arrays_bytes(spec: ModelSpec, geometry: Geometry, grid: Geometry, settings: PredictSettings) -> int:
    """Float32 copies of the input and of the network's grid, the slab, one patch's feature maps, the outputs."""
    voxels, inner = np.prod(geometry.shape), np.prod(grid.shape)
    classes = spec.network.out_channels
    slab = (classes + 1) * min(spec.patch_shape[0], grid.shape[0]) * grid.shape[1] * grid.shape[2]
    patch = np.prod(spec.patch_shape) * (_MAPS_ALIVE * spec.network.features[0] + 3 * classes)
    maps = (len(settings.probabilities) + settings.uncertainty) * voxels
    return int(4 * (len(spec.channels) * (3 * voxels + 2 * inner) + slab + patch + maps) + 2 * voxels)
