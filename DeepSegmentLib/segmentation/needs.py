"""How much work and memory a prediction takes, by arithmetic on whole numbers: no array, no tile is made for it.

The terms follow `prepare`, `predict`, `outputs` and `postprocess` phase by phase; Testing/benchmarks/memory.py compares
their sum with what runs took.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Box
from DeepSegmentLib.imaging.resampling import SLAB_VOXELS
from DeepSegmentLib.imaging.tiling import tile_shape
from DeepSegmentLib.networks.costs import count_operations, count_weights, peak_features

from .tiles import TileSettings, count_passes

if TYPE_CHECKING:
    from DeepSegmentLib.data import Geometry, Index
    from DeepSegmentLib.networks.model_spec import ModelSpec

    from .outputs import PredictSettings

_FLOAT = 4
# Scratch memory of torch, NumPy and their threads.
_SCRATCH_BYTES = 64 << 20
# An interpolation matrix while it is made: distances, weights and quotient in float64, the result in float32.
_MATRIX_BYTES = 28
# Of maps that grow on disk, the one that is being written is in memory, and a copy of it.
_MAPS_AT_ONCE = 2


@dataclass(frozen=True)
class Needs:
    """What a prediction takes.

    Attributes:
        passes: Forward passes of the network, mirrored ones included.
        array_bytes: Arrays beside the volume, at most; always in main memory.
        network_bytes: The network's weights, and its feature maps for one patch, beyond these arrays; where it runs.
        operations: Multiplications of one pass.
    """

    passes: int
    array_bytes: int
    network_bytes: int
    operations: int


def needs_of(spec: ModelSpec, geometry: Geometry, settings: PredictSettings, box: Box | None = None) -> Needs:
    """What predicting a part of a volume takes, at most; the crop to its content may save some.

    Args:
        spec: The model.
        geometry: Grid of the volume.
        settings: What to predict; its region is passed over.
        box: What is prepared of the oriented volume; None for all.

    Raises:
        InvalidInputError: The network's grid would have too many voxels to count.
    """
    oriented, _, _ = geometry.oriented(spec.orientation)
    part = oriented.crop(box or Box.of_shape(oriented.shape))
    grid = part.resampled(spec.spacing_mm or part.spacing_mm)
    tiles = TileSettings(spec.patch_shape, settings.overlap, spec.mirror_axes if settings.mirror else ())
    kept = _outputs(spec, geometry, settings) + _FLOAT * len(spec.channels) * math.prod(grid.shape)
    phases = (
        _preparing(spec, geometry, part.shape, grid.shape),
        kept + _predicting(spec, part.shape, grid.shape),
        kept + _finishing(spec, geometry, settings),
    )
    operations = count_operations(spec.network, _padded_patch(spec))
    passes = count_passes(grid.shape, tiles)
    return Needs(passes, max(phases) + _SCRATCH_BYTES, _network(spec, grid.shape), operations)


def _network(spec: ModelSpec, grid: Index) -> int:
    """Weights, and feature maps at their most, deep in the network or at its head, beyond a tile's logits later."""
    maps = _FLOAT * peak_features(spec.network, _padded_patch(spec))
    return _FLOAT * count_weights(spec.network) + max(0, maps - _logits(spec, grid))


def _logits(spec: ModelSpec, grid: Index) -> int:
    """A tile's logits twice at the patch's extent (sum and mean of mirror images), once weighted at its own."""
    tile = 2 * math.prod(spec.patch_shape) + math.prod(tile_shape(grid, spec.patch_shape))
    return _FLOAT * spec.network.out_channels * tile


def _padded_patch(spec: ModelSpec) -> int:
    """Voxels of a patch as the network sees it: multiples of what it is down-sampled by, see `networks.runtime`."""
    divisor = (1, *spec.network.divisor)[-3:]
    padded = [-(-n // step) * step for n, step in zip(spec.patch_shape, divisor, strict=True)]
    return math.prod(padded) * (2 if padded == list(divisor) else 1)


def _preparing(spec: ModelSpec, geometry: Geometry, part: Index, grid: Index) -> int:
    """The normalised part, and beside it what normalising one channel or resampling all of them takes."""
    channels, voxels = len(spec.channels), math.prod(geometry.shape)
    matrices = _MATRIX_BYTES * max(a * b for a, b in zip(part, grid, strict=True))
    # Values; of percentiles, sorted copies of them, too.
    sorted_copies = any(channel.normalization.kind == "percentile" for channel in spec.channels)
    normalizing = (3 if sorted_copies else 2) * _FLOAT * voxels
    sizes = [math.prod(part)]
    shape = list(part)
    for axis in sorted(range(3), key=lambda axis: grid[axis] / part[axis]):
        shape[axis] = grid[axis]
        sizes.append(math.prod(shape))
    resampling = _FLOAT * channels * max(a + b for a, b in pairwise(sizes))
    slab = 3 * _FLOAT * min(SLAB_VOXELS, channels * max(sizes))
    return _FLOAT * channels * math.prod(part) + max(normalizing, resampling + matrices + slab)


def _outputs(spec: ModelSpec, geometry: Geometry, settings: PredictSettings) -> int:
    layers = len(spec.segments) if spec.output == "regions" else 1
    label = 1 if max(segment.value for segment in spec.segments) < 256 else 2
    maps = len(settings.probabilities) + settings.uncertainty
    if settings.maps_folder is not None:
        maps = min(maps, _MAPS_AT_ONCE)
    return (layers * label + maps * _FLOAT) * math.prod(geometry.shape)


def _predicting(spec: ModelSpec, part: Index, grid: Index) -> int:
    """The slab, a tile and its logits, planes on their way back, the matrices they are brought back by."""
    classes, (depth, *_) = spec.network.out_channels, tile_shape(grid, spec.patch_shape)
    slab = (classes + 1) * depth * grid[1] * grid[2]
    tile = 4 * len(spec.channels) * math.prod(spec.patch_shape)
    planes = classes * (4 * grid[1] * grid[2] + 4 * part[1] * part[2])
    matrices = _MATRIX_BYTES * (part[1] * grid[1] + part[2] * grid[2])
    return _FLOAT * (slab + tile + planes) + _logits(spec, grid) + matrices


def _finishing(spec: ModelSpec, geometry: Geometry, settings: PredictSettings) -> int:
    """A second copy of the labels, and the components of the largest segment that is cleaned up."""
    copied = _outputs(spec, geometry, replace(settings, probabilities=(), uncertainty=False))
    return copied + (8 * math.prod(geometry.shape) if settings.clean_up and spec.cleanups else 0)
