"""What a network costs: weights, multiplications, feature maps. Nothing is built for it.

A U-Net's costs are arithmetic on its spec; other networks were measured when they were added, see `MeasuredCosts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .unet_spec import UNetSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .network_spec import NetworkSpec

# Feature maps of a stage that are alive at once: skip connection, up-sampled features, their concatenation, the output
# of a convolution and of its norm, and what the convolution lays out anew; in the coarsest stage the last three.
_MAPS_ALIVE, _COARSEST_ALIVE = 9, 5


@dataclass(frozen=True)
class Convolution:
    """A convolution of a U-Net.

    Attributes:
        stage: Of its output, 0 is the finest.
        weights: How many it has.
        per_voxel: Multiplications for each voxel of its output.
    """

    stage: int
    weights: int
    per_voxel: int


def convolutions(spec: UNetSpec) -> Iterator[Convolution]:
    """The convolutions of a network; norms, projections and attention gates cost little beside them."""
    if spec.encoder == "residual":
        yield _convolution(spec, 0, spec.in_channels, spec.stem)
    for stage, n_in in enumerate((spec.stem, *spec.features[:-1])):
        inputs = (n_in, *[spec.features[stage]] * (spec.encoder_blocks[stage] - 1))
        for each in inputs:
            yield from _block(spec, stage, each)
    for stage, blocks in enumerate(reversed(spec.decoder_blocks)):
        features, stride = spec.features[stage], math.prod(spec.strides[stage + 1])
        up = spec.features[stage + 1] * features
        yield Convolution(stage, up * stride, up)
        yield _convolution(spec, stage, 2 * features, features)
        for _ in range(blocks - 1):
            yield _convolution(spec, stage, features, features)
        head = features * spec.out_channels
        yield Convolution(stage, head, 0 if stage else head)  # those of coarser stages are for training


def _block(spec: UNetSpec, stage: int, n_in: int) -> Iterator[Convolution]:
    """The convolutions of a block of the encoder."""
    n_out = spec.features[stage]
    if spec.bottleneck_features:
        within = spec.bottleneck_features[stage]
        for weights in (n_in * within, within * n_out):
            yield Convolution(stage, weights, weights)
        yield _convolution(spec, stage, within, within)
        return
    yield _convolution(spec, stage, n_in, n_out)
    if spec.encoder == "residual":
        yield _convolution(spec, stage, n_out, n_out)


def _convolution(spec: UNetSpec, stage: int, n_in: int, n_out: int) -> Convolution:
    weights = n_in * n_out * math.prod(spec.kernel_sizes[stage])
    return Convolution(stage, weights, weights)


def count_weights(spec: NetworkSpec) -> int:
    """Weights of the convolutions: nearly all that there are."""
    if isinstance(spec, UNetSpec):
        return sum(each.weights for each in convolutions(spec))
    return spec.costs.weights


def count_operations(spec: NetworkSpec, voxels: int) -> int:
    """Multiplications of one forward pass.

    Args:
        spec: The network.
        voxels: Of the patch as the network sees it, a multiple of its divisor.
    """
    if not isinstance(spec, UNetSpec):
        return round(spec.costs.operations_per_voxel * voxels)
    extents = stage_voxels(spec, voxels)
    return sum(each.per_voxel * extents[each.stage] for each in convolutions(spec))


def peak_features(spec: NetworkSpec, voxels: int) -> int:
    """Numbers in the feature maps that are alive at once, at most: those of a stage and the skips of finer ones."""
    if not isinstance(spec, UNetSpec):
        return round(spec.costs.features_per_voxel * voxels)
    maps = [features * n for features, n in zip(spec.features, stage_voxels(spec, voxels), strict=True)]
    alive = [_MAPS_ALIVE] * (len(maps) - 1) + [_COARSEST_ALIVE]
    deep = max(sum(maps[:stage]) + times * each for stage, (times, each) in enumerate(zip(alive, maps, strict=True)))
    later = spec.features[0] < spec.out_channels  # then the head comes after blending, see `blended_channels`
    head = (2 * spec.features[0] + (0 if later else spec.out_channels)) * voxels
    return max(deep, head, (spec.in_channels + 2 * spec.features[0]) * voxels)


def blended_channels(spec: NetworkSpec, members: int) -> int:
    """Channels of tiles that are blended, at most: features of all members where they are fewer than classes."""
    features = spec.features[0] * members if isinstance(spec, UNetSpec) else spec.out_channels
    return min(features, spec.out_channels)


def stage_voxels(spec: UNetSpec, voxels: int) -> Sequence[int]:
    """Voxels of each stage's feature maps, for a patch of so many."""
    extents = []
    for stride in spec.strides:
        voxels = -(-voxels // math.prod(stride))
        extents.append(voxels)
    return extents
