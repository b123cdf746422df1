"""What a run will need, before it starts; a run that cannot go well is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.imaging.memory import available_memory_bytes, resident_memory_bytes
from DeepSegmentLib.networks.model_spec import with_halved_patches
from DeepSegmentLib.segmentation.needs import is_needed, needs_of
from DeepSegmentLib.segmentation.prepare import context_mm, oriented_for

from .models.back_ends_record import is_chosen
from .models.openvino_package import installed_version
from .speeds import known_runs

if TYPE_CHECKING:
    from DeepSegmentLib.data import Geometry, Index
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.segmentation.needs import Needs
    from DeepSegmentLib.segmentation.outputs import PredictSettings

# Python, NumPy, SciPy, SimpleITK, scikit-image and torch, loaded and idle, and what OpenVINO adds where it is installed
# (measured by Testing/benchmarks/estimates/back_end_memory.py).
_LIBRARIES_BYTES, _OPENVINO_BYTES = 360 << 20, 20 << 20
# Estimates are up to so many times what a run takes (Testing/benchmarks/memory.py): only above that is it sure that
# there is too little memory.
_MARGIN = 1.4
_FINEST_MM, _COARSEST_MM = 0.05, 30.0
"""Micro-CT of specimens and single slices of localisers lie within; beyond it is mostly a slip of the unit."""
_MOST_PASSES = 1_000_000
"""Days on a fast GPU, months on a CPU."""
# Multiplications: ten times what the largest published U-Nets take for a patch, and for a whole body with mirroring. A
# CPU makes some 1e10 a second.
_MOST_OPERATIONS, _MOST_OPERATIONS_IN_ALL = 10**14, 10**17
_LONG_HOURS = 2.0
"""Runs that take longer say so beforehand."""
_MOST_HALVINGS = 2
"""Patches of a quarter of the extent see too little around each voxel to go further."""
_PARTS = 64
"""How finely the largest region that fits is looked for."""


@dataclass(frozen=True)
class Estimate:
    """What a run will need.

    Attributes:
        tiles: Forward passes of the network, at most (a crop to the content may save some).
        memory_bytes: Peak memory of the process on a CPU, with `comparing_bytes`.
        seconds: How long it takes from the click to the labels; None where the model has not run on this machine yet.
            Reading and writing files is not in it.
        start_seconds: The part of it that loading the model takes, which is done once in a row of runs.
        network_bytes: The part of the memory that is on the GPU where the network runs there.
        operations: Multiplications of one pass, at most.
        operations_in_all: Multiplications of all passes.
        comparing_bytes: The part of the memory that only a first run takes, which compares back ends; 0 where what is
            fastest is known, or there is too little memory to compare.
    """

    tiles: int
    memory_bytes: int
    seconds: float | None = None
    start_seconds: float = 0.0
    network_bytes: int = 0
    operations: int = 0
    operations_in_all: int = 0
    comparing_bytes: int = 0


def estimate(spec: ModelSpec, geometry: Geometry, settings: PredictSettings, device: str = "auto") -> Estimate:
    """Estimate tiles, peak memory and time of a run, by arithmetic alone.

    Args:
        spec: The model.
        geometry: Grid of the volume.
        settings: What to predict.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        InvalidInputError: The region lies outside the volume, or the grid has too many voxels to count.
    """
    needs = needs_of(spec, geometry, settings)
    known, voxels = known_runs(spec, device), math.prod(geometry.shape)
    start = known.seconds_to_start if known else 0.0
    memory = _process_bytes(spec, needs, geometry)
    comparing = _comparing_bytes(spec, needs, memory, settings, device)
    return Estimate(
        needs.passes,
        memory + comparing,
        start + known.seconds(needs.passes, voxels) if known else None,
        start,
        needs.network_bytes,
        needs.operations,
        needs.operations_in_all,
        comparing,
    )


def _process_bytes(spec: ModelSpec, needs: Needs, geometry: Geometry) -> int:
    volume = 2 * len(spec.channels) * math.prod(geometry.shape)  # as most scanners store it
    libraries = _LIBRARIES_BYTES + (_OPENVINO_BYTES if installed_version() else 0)
    return libraries + volume + needs.array_bytes + needs.network_bytes


def _comparing_bytes(spec: ModelSpec, needs: Needs, others: int, settings: PredictSettings, device: str) -> int:
    """What comparing back ends adds to the memory of a run, where it will be done."""
    if device not in ("auto", "cpu") or not needs.comparing_bytes:
        return 0
    free = _free_bytes()
    stages = (stage for part in spec.parts if is_needed(part, settings) for stage in part.stages)
    too_little = free is not None and free < others + needs.comparing_bytes
    return 0 if too_little or is_chosen(stages) else needs.comparing_bytes


def announcement(needs: Estimate) -> str:
    """What a run will need, for the user."""
    text = f"{needs.tiles} tiles, about {needs.memory_bytes / (1 << 30):.1f} GB of memory"
    hours = 0.0 if needs.seconds is None else needs.seconds / 3600
    return text if hours < _LONG_HOURS else f"{text}, about {hours:.0f} hours"


def check(spec: ModelSpec, geometry: Geometry, settings: PredictSettings, device: str = "auto") -> Estimate:
    """Refuse a run that cannot go well, before memory or time is spent on it; arguments as in `estimate`.

    Args:
        spec: The model.
        geometry: Grid of the volume.
        settings: What to predict.
        device: As in `estimate`; memory of the network counts where it is "cpu".

    Raises:
        InvalidInputError: Hardly any scan has such a spacing, and `settings.any_spacing` does not say that it is
            right; or see `estimate`.
        ResourceError: The run needs more memory than is free, or more passes of the network than anybody can wait
            for; the message says what would fit.
    """
    check_spacing(geometry, settings)
    needs = estimate(spec, geometry, settings, device)
    if needs.tiles > _MOST_PASSES:
        raise ResourceError(
            f"{_voxels(geometry)} would take {needs.tiles} passes of the network, more than the {_MOST_PASSES} that "
            "are allowed; check the spacing in the volume's header, lower the overlap, or segment a region (--roi)"
        )
    _check_work(geometry, needs)
    free = _free_bytes()
    elsewhere = 0 if device == "cpu" else needs.network_bytes
    needed = needs.memory_bytes - needs.comparing_bytes - elsewhere
    if free is not None and needed > _MARGIN * free:
        raise ResourceError(
            f"{_voxels(geometry)} need {_gigabytes(needed)} of memory, {_gigabytes(free)} are "
            f"free; close other programs, or {_what_fits(spec, geometry, settings, free + elsewhere)}"
        )
    return needs


def fitted(
    spec: ModelSpec, geometry: Geometry, settings: PredictSettings, device: str = "auto"
) -> tuple[ModelSpec, Estimate]:
    """The model with patches small enough for the memory that is free, and what the run needs then.

    Raises:
        InvalidInputError, ResourceError: As `check`; also with patches halved it does not fit.
    """
    refused: ResourceError | None = None
    for halvings in range(_MOST_HALVINGS + 1):
        smaller = with_halved_patches(spec, halvings)
        try:
            return smaller, check(smaller, geometry, settings, device)
        except ResourceError as error:
            refused = refused or error
    assert refused is not None  # the loop runs at least once
    raise refused


def next_rung(error: ResourceError, spec: ModelSpec, device: str) -> tuple[ModelSpec, str]:
    """The model for another try on the CPU after memory ran out on a device, and a note of it.

    Raises:
        ResourceError: There is nothing left to try.
    """
    if device != "cpu":
        return spec, f"{error} Continued on the CPU."
    smaller = with_halved_patches(spec, 1)
    if smaller == spec:
        raise error
    return smaller, f"{error} {smaller_patches(smaller)}"


def smaller_patches(spec: ModelSpec) -> str:
    """What is said of a model whose patches were halved."""
    extents = (" x ".join(map(str, reversed(stage.patch_shape))) for stage in spec.stages)
    return (
        f"Patches were made smaller ({', '.join(dict.fromkeys(extents))} voxels) to fit into memory; labels may "
        "differ a little."
    )


def _check_work(geometry: Geometry, needs: Estimate) -> None:
    """Refuse a network that computes for days."""
    if needs.operations > _MOST_OPERATIONS:
        raise ResourceError(
            f"one pass of the network would take {needs.operations:.1e} multiplications, more than the "
            f"{_MOST_OPERATIONS:.0e} that are allowed; take a model with smaller patches, kernels or features"
        )
    if needs.operations_in_all > _MOST_OPERATIONS_IN_ALL:
        raise ResourceError(
            f"{_voxels(geometry)} would take {needs.operations_in_all:.1e} multiplications, more than the "
            f"{_MOST_OPERATIONS_IN_ALL:.0e} that are allowed; take a smaller model, lower the overlap, or segment a "
            "region (--roi)"
        )


def check_spacing(geometry: Geometry, settings: PredictSettings) -> None:
    """Refuse a spacing that is mostly a slip, unless the settings say that it is right.

    Raises:
        InvalidInputError: It is one.
    """
    spacing = geometry.spacing_mm
    if settings.any_spacing or _FINEST_MM <= min(spacing) <= max(spacing) <= _COARSEST_MM:
        return
    raise InvalidInputError(
        f"the volume's spacing is {' x '.join(f'{step:.4g}' for step in reversed(spacing))} mm; under {_FINEST_MM} or "
        f"over {_COARSEST_MM:g} mm is mostly a wrong unit in its header: correct it there, or say that it is right "
        '(--any-spacing; in the panel: Advanced, "Any spacing")'
    )


def _free_bytes() -> int | None:
    """What this process may have in all: what is free and what it has already."""
    available = available_memory_bytes()
    return None if available is None else available + (resident_memory_bytes() or 0)


def _what_fits(spec: ModelSpec, geometry: Geometry, settings: PredictSettings, free: int) -> str:
    """What to do to need no more than the free memory."""
    if needs_of(spec, geometry, settings).network_bytes > free:
        return f"take a smaller model or a GPU: one patch of {spec.name} needs more than that"
    without = replace(settings, probabilities=(), uncertainty=False)
    shape = _largest_part(spec, geometry, settings, free) or _largest_part(spec, geometry, without, free)
    if shape is None:
        return "crop or downsample the volume, or take a computer with more memory"
    fewer = settings.probabilities or settings.uncertainty
    maps = " and leave out the maps of probability and uncertainty" if fewer else ""
    if shape == geometry.shape:
        return maps.removeprefix(" and ")
    part, _, _ = geometry.crop(Box.of_shape(shape)).oriented("RAS")
    sizes = [int(n * step) for n, step in zip(part.shape, part.spacing_mm, strict=True)]
    where = " x ".join(str(max(1, size)) for size in reversed(sizes))
    return f"segment a region of at most {where} mm (right-left, back-front, feet-head: --roi){maps}"


def _largest_part(spec: ModelSpec, geometry: Geometry, settings: PredictSettings, free: int) -> Index | None:
    """The largest block (k, j, i) of the grid, of its proportions, that fits with its context; or None."""
    everywhere = replace(settings, region_ras=None)
    around = [2 * math.ceil(_context_mm(spec, geometry, settings) / step) for step in geometry.spacing_mm]
    for part in range(_PARTS, 0, -1):
        shape = as_index([max(1, n * part // _PARTS) for n in geometry.shape])
        seen = [min(n, have + more) for n, have, more in zip(geometry.shape, shape, around, strict=True)]
        needs = needs_of(spec, geometry, everywhere, Box.of_shape(as_index(seen)))
        if _process_bytes(spec, needs, geometry) <= free:
            return shape
    return None


def _context_mm(spec: ModelSpec, geometry: Geometry, settings: PredictSettings) -> float:
    """How far any network that is needed looks beyond a region."""
    stages = [stage for part in spec.parts if is_needed(part, settings) for stage in part.stages]
    return max(context_mm(oriented_for(geometry, stage), stage) for stage in stages)


def _voxels(geometry: Geometry) -> str:
    spacing = " x ".join(f"{step:.4g}" for step in reversed(geometry.spacing_mm))
    return f"{' x '.join(map(str, reversed(geometry.shape)))} voxels of {spacing} mm"


def _gigabytes(size: int) -> str:
    return f"{size / 10**9:.1f} GB" if size < 10**15 else "more than a million GB"
