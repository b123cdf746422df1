"""From what the cases are like, and the machine, to spacing, patch, network and batch.

The rules are nnU-Net's, but for the budget: on a processor what pays is many steps, so patches and networks are as
small as the task allows.

References:
    Isensee et al., nnU-Net, Nat Methods 2021, and nnunetv2 2.6: `ExperimentPlanner.determine_fullres_target_spacing`,
    `get_plans_for_configuration`, `get_pool_and_conv_props`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.costs import count_weights, stage_voxels
from DeepSegmentLib.networks.stage_spec import StageSpec
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from DeepSegmentLib.data import Index

    from .fingerprint import Fingerprint
    from .machine import Machine, Spacing

_ANISOTROPIC = 3.0
_LEAST_EDGE = 4  # voxels of the coarsest feature map along an axis
_MOST_STAGES = 6
_SMALLEST_PATCH = 16  # voxels of the longest axis; below it no budget makes patches smaller
_SHORTER = 0.97
_FEWEST_VOXELS = 4096  # of a patch that is made smaller to fit into memory
_WEIGHT_COPIES = 5  # themselves, their average, their gradients, and two moments
_BYTES_A_FEATURE = 12  # of a voxel's features of one layer, kept for the way back


@dataclass(frozen=True)
class Budget:
    """How large a step may be.

    Attributes:
        patch_voxels: Of one patch, at most.
        step_voxels: Of all patches of a step, about.
        features: Of the finest stage; they double from stage to stage.
        most_features: At most.
    """

    patch_voxels: int
    step_voxels: int
    features: int
    most_features: int


CPU = Budget(400_000, 400_000, 16, 256)
"""About a third of a second a step on two cores that compute with bfloat16."""
GPU = Budget(128**3, 2 * 128**3, 32, 320)
"""nnU-Net's, about 8 GB."""


@dataclass(frozen=True)
class Plan:
    """What came of it.

    Attributes:
        stage: The grid, the intensities, the patch and the network.
        batch_size: Patches a step.
        reasons: Why, a sentence each.
    """

    stage: StageSpec
    batch_size: int
    reasons: tuple[str, ...]


def plan_stage(
    cases: Fingerprint, modalities: Sequence[str], channels_out: int, machine: Machine, budget: Budget | None = None
) -> Plan:
    """Plan a U-Net for cases.

    Args:
        cases: What they are like.
        modalities: Of each channel; "CT" has intensities that mean the same everywhere.
        channels_out: Of the network.
        machine: What it has to fit.
        budget: How large a step may be; None for what suits the machine.

    Raises:
        ResourceError: The least network does not fit into memory.
    """
    budget = budget or (CPU if machine.is_cpu else GPU)
    spacing = target_spacing(cases)
    shape = median_shape(cases, spacing)
    while True:
        patch, network = _fitting(spacing, shape, budget, len(modalities), channels_out)
        voxels = math.prod(patch)
        batch = max(1, min(4, budget.step_voxels // voxels))
        while batch > 1 and training_memory_bytes(network, voxels * batch) > machine.memory_bytes:
            batch -= 1
        needed = training_memory_bytes(network, voxels * batch)
        if needed <= machine.memory_bytes:
            stage = StageSpec(patch, network, tuple(_normalizations(cases, modalities)), spacing_mm=spacing)
            return Plan(stage, batch, tuple(_reasons(cases, stage, shape, batch, needed)))
        if voxels <= _FEWEST_VOXELS or max(patch) <= _SMALLEST_PATCH:
            break
        budget = replace(budget, patch_voxels=min(voxels, budget.patch_voxels) // 2)
    raise ResourceError(
        f"training needs at least {needed / 1e9:.1f} GB of memory, {machine.memory_bytes / 1e9:.1f} GB are free; close "
        "other programs"
    )


def target_spacing(cases: Fingerprint) -> Spacing:
    """The median of each axis; along thick slices one tenth of the cases is coarser than it at least."""
    table = np.array(cases.spacings_mm)
    target = np.median(table, axis=0)
    sizes = np.median(cases.shapes, axis=0)  # as they are: nnU-Net asks how many slices there are
    worst = int(target.argmax())
    others = [axis for axis in range(3) if axis != worst]
    if target[worst] > _ANISOTROPIC * target[others].max() and sizes[worst] * _ANISOTROPIC < sizes[others].min():
        target[worst] = max(np.percentile(table[:, worst], 10), target[others].max())
    k, j, i = (float(f"{step:.6g}") for step in target)
    return k, j, i


def _sizes_at(cases: Fingerprint, spacing: np.ndarray) -> np.ndarray:
    return np.asarray(np.array(cases.shapes) * np.array(cases.spacings_mm) / spacing)


def median_shape(cases: Fingerprint, spacing: Spacing) -> Index:
    """Of the cases at a spacing, in voxels."""
    sizes = np.median(_sizes_at(cases, np.array(spacing)), axis=0)
    return as_index([max(1, round(float(n))) for n in sizes])


def _fitting(spacing: Spacing, shape: Index, budget: Budget, inputs: int, outputs: int) -> tuple[Index, UNetSpec]:
    """The largest patch of about equal extents in mm that the budget allows and the cases fill, and its network."""
    edge = max(n * step for n, step in zip(shape, spacing, strict=True))
    patch, stages = _patch(spacing, shape, edge)
    while math.prod(patch) > budget.patch_voxels and max(patch) > _SMALLEST_PATCH:
        edge *= _SHORTER
        patch, stages = _patch(spacing, shape, edge)
    strides, kernels = zip(*stages, strict=True)
    features = tuple(min(budget.most_features, budget.features << n) for n in range(len(strides)))
    blocks = (2,) * len(strides)
    network = UNetSpec(inputs, outputs, features, kernels, strides, blocks, blocks[1:], deep_supervision=True)
    return patch, network


def _patch(
    spacing: Spacing, shape: Index, edge: float
) -> tuple[Index, Sequence[tuple[tuple[int, ...], tuple[int, ...]]]]:
    """The patch whose axes are at most so many mm long, rounded up to what its stages divide."""
    wanted = [min(n, max(1, round(edge / step))) for n, step in zip(shape, spacing, strict=True)]
    stages = list(_stages(spacing, wanted))
    if len(stages) == 1:  # too small to be halved: its finest axis is padded, so that there are two stages
        finest = spacing.index(min(spacing))
        wanted[finest] = max(wanted[finest], 3 * _LEAST_EDGE)
        stages = list(_stages(spacing, wanted))
    divisor = [math.prod(stride[axis] for stride, _ in stages) for axis in range(3)]
    return as_index([-(-n // step) * step for n, step in zip(wanted, divisor, strict=True)]), stages


def _stages(spacing: Spacing, patch: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Stride and kernel of each stage: axes are halved while they are long enough, thick ones once others caught up."""
    steps, sizes = list(spacing), list(patch)
    stride, kernel = (1, 1, 1), [1, 1, 1]
    for stage in range(_MOST_STAGES):
        halved = _halved(steps, sizes) if stage < _MOST_STAGES - 1 else [False] * 3
        if not any(halved):
            yield stride, (3, 3, 3)
            return
        kernel = [3 if wide == 3 or step < 2 * min(steps) else 1 for wide, step in zip(kernel, steps, strict=True)]
        yield stride, tuple(kernel)
        stride = (2 if halved[0] else 1, 2 if halved[1] else 1, 2 if halved[2] else 1)
        steps = [step * n for step, n in zip(steps, stride, strict=True)]
        sizes = [-(-size // n) for size, n in zip(sizes, stride, strict=True)]


def _halved(steps: Sequence[float], sizes: Sequence[int]) -> list[bool]:
    """Which axes the next stage halves; a single one only where its coarser map stays longer than the least."""
    long = [n >= 2 * _LEAST_EDGE for n in sizes]
    finest = min((step for step, enough in zip(steps, long, strict=True) if enough), default=0.0)
    halved = [enough and step < 2 * finest for step, enough in zip(steps, long, strict=True)]
    alone = sum(halved) == 1 and sizes[halved.index(True)] < 3 * _LEAST_EDGE
    return [False] * 3 if alone else halved


def _normalizations(cases: Fingerprint, modalities: Sequence[str]) -> Iterator[Normalization]:
    for modality, found in zip(modalities, cases.intensities, strict=True):
        if modality.upper() == "CT" and found.low < found.high:
            yield Normalization("window", found.low, found.high, found.mean, found.std)
        else:
            yield Normalization("zscore")


def training_memory_bytes(network: UNetSpec, voxels: int) -> int:
    """About how much memory a step takes: weights, gradients, moments, and features that are kept for the way back.

    Args:
        network: What is trained.
        voxels: Of all patches of a step.
    """
    stages = zip(stage_voxels(network, voxels), network.features, network.encoder_blocks, strict=True)
    kept = sum(here * features * (2 * blocks + 2) for here, features, blocks in stages)
    return 4 * _WEIGHT_COPIES * count_weights(network) + _BYTES_A_FEATURE * kept + (1 << 29)


def _reasons(cases: Fingerprint, stage: StageSpec, shape: Index, batch: int, needed: int) -> Iterator[str]:
    network = stage.network
    spacing = " x ".join(f"{step or 0:g}" for step in stage.spacing_mm or ())
    yield f"spacing {spacing} mm (k, j, i): the median of {counted(len(cases.shapes), 'case')}"
    whole = (
        "the whole of a middling case"
        if all(a >= b for a, b in zip(stage.patch_shape, shape, strict=True))
        else (f"part of a middling case of {' x '.join(map(str, shape))} voxels: larger ones would make steps slow")
    )
    yield f"patch {' x '.join(map(str, stage.patch_shape))} voxels, {batch} a step: {whole}"
    if isinstance(network, UNetSpec):
        yield f"U-Net of {len(network.features)} stages, {network.features[0]} to {network.features[-1]} features"
    yield f"a step takes about {needed / 1e9:.1f} GB"
    finest = min(step for step in stage.spacing_mm or () if step is not None)
    for name, count in cases.drawn.items():
        if count < 3:
            yield f"{name} was drawn in {count} of {counted(len(cases.shapes), 'case')}: do not expect much of it"
        if cases.smallest_mm[name] < 2 * finest:
            yield f"{name} is thinner than two voxels at this spacing in half of the cases"
