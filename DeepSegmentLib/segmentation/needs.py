"""How much work and memory a prediction takes, by arithmetic on whole numbers: no array, no tile is made for it.

The terms follow `prepare`, `predict`, `outputs` and `postprocess` phase by phase; Testing/benchmarks/memory.py compares
their sum with what runs took.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from DeepSegmentLib.imaging.resampling import SLAB_VOXELS
from DeepSegmentLib.imaging.tiling import tile_shape
from DeepSegmentLib.networks.costs import blended_channels, count_operations, count_weights, peak_features
from DeepSegmentLib.networks.graph_spec import GraphSpec

from .outputs import needs_scores
from .prepare import context_mm, oriented_for, region_box
from .regrid import back_orders, network_geometry
from .tiles import MIXED_AT_ONCE, TileSettings, count_passes, slab_axis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from DeepSegmentLib.data import Box, Geometry, Index
    from DeepSegmentLib.networks.model_spec import ModelSpec, Part
    from DeepSegmentLib.networks.stage_spec import StageSpec

    from .outputs import PredictSettings

_FLOAT = 4
# Scratch memory of torch, NumPy and their threads, and weights of interpolation while they are made.
_SCRATCH_BYTES = 64 << 20
# What comparing back ends takes at once, beside torch: of its feature maps this part, a copy of the weights, and what
# compiles. So computed 116, 122, 799 and 802 MiB; measured (Testing/benchmarks/estimates/back_end_memory.py) were 124,
# 125, 789 and 801.
_COMPARED_FEATURES, _COMPILING_BYTES = 0.65, 48 << 20
# Nobody compares where a pass takes less than 0.1 s: a core makes more than so many multiplications in that time.
_NEVER_COMPARED = 10**9
# Of maps that grow on disk, the one that is being written is in memory, and a copy of it.
_MAPS_AT_ONCE = 2
# Filling holes of a mask takes so many masks.
_MASKS = 4
# Planes that one of the result comes from, by the order of the spline: it forgets fast, see `imaging.resampling`.
_PLANES_HELD = {0: 1, 1: 2, 2: 21, 3: 27, 4: 35, 5: 42}


@dataclass(frozen=True)
class Needs:
    """What a prediction takes.

    Attributes:
        passes: Forward passes of the networks, mirrored ones included; those of members of an ensemble are one.
        array_bytes: Arrays beside the volume, at most; always in main memory.
        network_bytes: The networks' weights, and feature maps for one patch, beyond these arrays; where they run.
        operations: Multiplications of one pass, of all members, at most.
        operations_in_all: Multiplications of all passes.
        comparing_bytes: What is taken on the CPU beyond all that while back ends are compared; that is done once for a
            model and a machine.
    """

    passes: int
    array_bytes: int
    network_bytes: int
    operations: int
    operations_in_all: int
    comparing_bytes: int = 0


def is_needed(part: Part, settings: PredictSettings) -> bool:
    """Whether a part finds anything that is wanted."""
    wanted = settings.subset
    return wanted is None or not {*part.segments}.isdisjoint((*wanted, *settings.probabilities))


def passes_of(geometry: Geometry, stage: StageSpec, settings: PredictSettings) -> int:
    """Forward passes of a stage, at most.

    Raises:
        InvalidInputError: The network's grid would have too many voxels to count, or the region is outside the volume.
    """
    return _passes(stage, network_geometry(_seen(geometry, stage, settings, None), stage), settings)


def _passes(stage: StageSpec, grid: Geometry, settings: PredictSettings) -> int:
    return count_passes(grid.shape, tiles_of_stage(stage, settings))


def tiles_of_stage(stage: StageSpec, settings: PredictSettings) -> TileSettings:
    """How the tiles of a stage are run."""
    return TileSettings.of(stage, settings.overlap, mirror=settings.mirror)


def _seen(geometry: Geometry, stage: StageSpec, settings: PredictSettings, box: Box | None) -> Geometry:
    """The part of a volume that a stage sees, as it sees it."""
    region = settings.region_ras
    if box is None and region is not None:
        box = region_box(geometry, region, margin_mm=context_mm(oriented_for(geometry, stage), stage))
    return oriented_for(geometry if box is None else geometry.crop(box), stage)


def needs_of(spec: ModelSpec, geometry: Geometry, settings: PredictSettings, box: Box | None = None) -> Needs:
    """What predicting a part of a volume takes, at most; the crop to its content may save some.

    Args:
        spec: The model.
        geometry: Grid of the volume.
        settings: What to predict.
        box: What the networks see of the volume; None for what the settings say.

    Raises:
        InvalidInputError: A network's grid would have too many voxels to count, or the region is outside the volume.
    """
    works = [_Work(spec, part, n, geometry, settings, box=box) for part, n in _needed_stages(spec, settings)]
    kept = _outputs(spec, geometry, settings)
    # What is written into takes no memory before the first plane comes.
    arrays = [work.bytes(kept, kept if n else 0) for n, work in enumerate(works)]
    weights = _FLOAT * sum(count_weights(work.stage.network) * len(work.stage.weights) for work in works)
    passes = [_passes(work.stage, work.grid, settings) for work in works]
    operations = [work.operations() for work in works]
    return Needs(
        passes=sum(passes),
        array_bytes=max(*arrays, kept + _finishing(spec, geometry, settings)) + _SCRATCH_BYTES,
        network_bytes=weights + max(work.feature_bytes() for work in works),
        operations=max(operations),
        operations_in_all=sum(n * each for n, each in zip(passes, operations, strict=True)),
        comparing_bytes=max(work.comparing_bytes() for work in works),
    )


def _needed_stages(spec: ModelSpec, settings: PredictSettings) -> Iterator[tuple[Part, int]]:
    """Part and number of the stage in it."""
    return ((part, n) for part in spec.parts if is_needed(part, settings) for n in range(len(part.stages)))


class _Work:
    """One stage on its part of the volume."""

    def __init__(
        self,
        spec: ModelSpec,
        part: Part,
        number: int,
        geometry: Geometry,
        settings: PredictSettings,
        *,
        box: Box | None,
    ) -> None:
        self.stage = part.stages[number]
        self.seen = _seen(geometry, self.stage, settings, box)
        self.grid = network_geometry(self.seen, self.stage)
        tiles = tiles_of_stage(self.stage, settings)
        # What the network gets at once.
        self._patch = tiles.extent(self.grid.shape)
        self._axis = slab_axis(self.grid.shape, tiles)
        self._tile = math.prod(tile_shape(self.grid.shape, self._patch))
        # The result of a tile that holds one value is kept for others of that value.
        self._kept = self._tile if tiles.count(self.grid.shape) > 1 else 0
        self._rows = next(n for axis, n in enumerate(self.grid.shape) if axis != self._axis)
        self._channels = blended_channels(self.stage.network, len(self.stage.weights))
        self._scores = needs_scores(spec, settings) or max(back_orders(self.seen, self.stage)) > 1
        self._own, self._whole = len(spec.channels), math.prod(geometry.shape)
        # Labels of the stage before, and those that this one makes for the next.
        self._label_bytes = 2 * self._whole * ((number > 0) + (number < len(part.stages) - 1))

    def bytes(self, outputs: int, outputs_before: int) -> int:
        """All arrays, at most, with those that are written into: while the stage runs, and before."""
        on_grid = _FLOAT * self.stage.network.in_channels * math.prod(self.grid.shape)
        preparing = outputs_before + max(self._preparing(), self._adding_labels() + on_grid)
        return self._label_bytes + max(preparing, outputs + self._predicting() + on_grid)

    def _preparing(self) -> int:
        """What scaling one channel or resampling all of them takes; no scaled copy of the volume is made."""
        rules, part, grid = self.stage.normalizations, self.seen.shape, self.grid.shape
        sorting = 2 * _FLOAT * any(rule.kind == "percentile" for rule in rules)
        masks = _MASKS * (any(rule.over != "all" for rule in rules) or self.stage.crop == "nonzero")
        # Scaled part by part, but where it is resampled by then or not at all.
        late = self.stage.normalize == "after"
        sizes = [math.prod(part) * (late or part == grid)]
        shape = list(part)
        for axis in sorted(range(3), key=lambda axis: grid[axis] / part[axis]):
            shape[axis] = grid[axis]
            sizes.append(math.prod(shape))
        resampling = _FLOAT * self._own * max(a + b for a, b in pairwise(sizes))
        slab = 2 * _FLOAT * min(SLAB_VOXELS, self._own * max(math.prod(part), *sizes))
        return max((sorting + masks) * self._whole, masks * self._whole + resampling + slab)

    def _adding_labels(self) -> int:
        """Labels on the network's grid: of one label the mask and its values, the best so far, the winners."""
        if self.stage.network.in_channels == self._own:
            return 0
        return 4 * _FLOAT * max(math.prod(self.seen.shape), math.prod(self.grid.shape))

    def _predicting(self) -> int:
        """The slab, a tile and what comes of it, planes on their way back."""
        grid, part, axis = self.grid.shape, self.seen.shape, self._axis
        plane, result = math.prod(grid) // grid[axis], math.prod(part) // part[axis]
        slab = (self._channels + 1) * tile_shape(grid, self._patch)[axis] * plane
        tile = 4 * self.stage.network.in_channels * math.prod(self._patch)
        return (
            _FLOAT * (slab + tile + self._channels * self._kept)
            + self._results()
            + (self._score_planes(plane, result) if self._scores else self._label_planes(plane, result))
        )

    def _label_planes(self, plane: int, result: int) -> int:
        """Planes of features, three at most, with their labels; labels of one of the result, and what finds them."""
        mixed = min(result, MIXED_AT_ONCE) * (6 * self._channels + self.stage.network.out_channels)
        return _FLOAT * ((4 * self._channels + 4) * plane + 12 * result + mixed)

    def _score_planes(self, plane: int, result: int) -> int:
        """Planes of features that one of the result comes from; of the result the logits and probabilities."""
        held, classes = _PLANES_HELD[back_orders(self.seen, self.stage)[self._axis]], self.stage.network.out_channels
        inside = [n for axis, n in enumerate(self.seen.shape) if axis != self._axis]
        half = inside[0] * plane * self._channels // max(1, self._rows)
        return _FLOAT * ((2 + held) * self._channels * plane + half + (self._channels + 4 * classes) * result)

    def _results(self) -> int:
        """Of a tile at the patch's extent: sum and mean of mirror images and members; once more at its own."""
        copies = 3 if len(self.stage.weights) > 1 else 2
        return _FLOAT * self._channels * (copies * math.prod(self._patch) + self._tile)

    def feature_bytes(self) -> int:
        """Feature maps at their most, deep in the network or at its head, beyond a tile's results later."""
        return max(0, _FLOAT * peak_features(self.stage.network, _padded(self._patch, self.stage)) - self._results())

    def comparing_bytes(self) -> int:
        """What comparing back ends takes; nothing for graphs, and for networks that are not worth it."""
        network = self.stage.network
        if isinstance(network, GraphSpec) or self.operations() < _NEVER_COMPARED * len(self.stage.weights):
            return 0
        features = peak_features(network, _padded(self._patch, self.stage))
        return int(_FLOAT * (_COMPARED_FEATURES * features + count_weights(network))) + _COMPILING_BYTES

    def operations(self) -> int:
        """Multiplications of one pass of all members."""
        return count_operations(self.stage.network, _padded(self._patch, self.stage)) * len(self.stage.weights)


def _padded(patch: Index, stage: StageSpec) -> int:
    """Voxels of a patch as the network sees it: multiples of what it is down-sampled by, see `networks.runtime`."""
    divisor = (1, *stage.network.divisor)[-3:]
    padded = [-(-n // step) * step for n, step in zip(patch, divisor, strict=True)]
    return math.prod(padded) * (2 if padded == list(divisor) else 1)


def _outputs(spec: ModelSpec, geometry: Geometry, settings: PredictSettings) -> int:
    layers = len(spec.segments) if spec.output == "regions" else 1
    label = 1 if max(segment.value for segment in spec.segments) < 256 else 2
    maps = len(settings.probabilities) + settings.uncertainty
    if settings.maps_folder is not None:
        maps = min(maps, _MAPS_AT_ONCE)
    return (layers * label + maps * _FLOAT) * math.prod(geometry.shape)


def _finishing(spec: ModelSpec, geometry: Geometry, settings: PredictSettings) -> int:
    """A second copy of the labels, and the components of the largest segment that is cleaned up."""
    copied = _outputs(spec, geometry, replace(settings, probabilities=(), uncertainty=False))
    return copied + (8 * math.prod(geometry.shape) if settings.clean_up and spec.cleanups else 0)
