"""Where in a case the voxels of a patch come from: turned, scaled, deformed, mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .smooth_fields import smooth_field

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.data import Index

    from .augmentation_settings import AugmentationSettings
    from .mirror_plan import MirrorPlan

_THIN = 3
"""How many times longer than a thin axis of a patch its longest is, at least (nnU-Net, ANISO_THRESHOLD)."""
_STEEPEST = 0.8
"""How fast a displacement may change along all axes together. Where this is below 1 for each of its components, no
tissue folds over: the matrix of the deformation's derivatives is then dominated by its diagonal."""


@dataclass(frozen=True, eq=False)
class SpatialChange:
    """How the voxels of a patch lie in a case.

    Attributes:
        flips: Axes (0 to 2: k, j, i) along which the patch is mirrored.
        matrix: 3x3, from voxels of the patch to voxels of the case, both from the middle of the patch, before it is
            mirrored; None where they are the same.
        displacements: For each axis how far each voxel is moved, in voxels (k, j, i); None for not at all.
    """

    flips: tuple[int, ...] = ()
    matrix: NDArray[np.float64] | None = None
    displacements: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def is_on_grid(self) -> bool:
        """Whether the voxels of the patch are voxels of the case, so that none has to be interpolated."""
        return self.matrix is None and self.displacements is None


def thin_axes(patch_shape: Index) -> tuple[int, ...]:
    """Axes of a patch that are so short that nothing is turned into or out of them."""
    return tuple(axis for axis, n in enumerate(patch_shape) if n * _THIN < max(patch_shape))


def draw_change(
    patch_shape: Index,
    spacing_mm: tuple[float, float, float],
    settings: AugmentationSettings,
    mirror: MirrorPlan,
    rng: np.random.Generator,
) -> SpatialChange:
    """Draw one change.

    Args:
        patch_shape: Extent (k, j, i) of the patch, in voxels.
        spacing_mm: Of these voxels; angles are those of the patient.
        settings: How often and how far.
        mirror: Along which axes mirroring is sound.
        rng: Source of the numbers.
    """
    free = [axis for axis in range(3) if axis not in thin_axes(patch_shape)]
    turned, scaled, deformed = rng.random(3) < (settings.rotation, settings.scaling, settings.elastic)
    steps = np.asarray(spacing_mm)
    matrix = np.eye(3)
    if turned:
        matrix = _rotation(free, _most_degrees(free, settings, mirror), rng) * steps / steps[:, None]
    if scaled:
        matrix[:, free] *= rng.uniform(*settings.scaling_range)
    flips = tuple(axis for axis in mirror.axes if rng.random() < settings.mirror and patch_shape[axis] > 1)
    return SpatialChange(
        flips,
        matrix if turned or scaled else None,
        _displacements(patch_shape, steps, settings, rng) if deformed else None,
    )


def _most_degrees(free: list[int], settings: AugmentationSettings, mirror: MirrorPlan) -> float:
    is_in_plane = len(free) < 3 and not mirror.has_sides
    return settings.in_plane_degrees if is_in_plane else settings.rotation_degrees


def _rotation(free: list[int], most_degrees: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A turn about each axis whose plane is free of thin ones."""
    matrix = np.eye(3)
    for about in range(3):
        plane = [axis for axis in range(3) if axis != about]
        angle = math.radians(rng.uniform(-most_degrees, most_degrees))
        if set(plane) <= set(free):
            turn = np.eye(3)
            turn[np.ix_(plane, plane)] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
            matrix = matrix @ turn
    return matrix


def _displacements(
    patch_shape: Index, steps_mm: NDArray[np.float64], settings: AugmentationSettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth displacements along axes that are not thin, of the same size in millimetres."""
    distance_mm = settings.elastic_distance * steps_mm.min()
    spans = [max(1, math.ceil(n * step / distance_mm)) for n, step in zip(patch_shape, steps_mm, strict=True)]
    width_mm = distance_mm * rng.uniform(*settings.elastic_range)
    thin = thin_axes(patch_shape)
    fields = [
        torch.zeros(patch_shape)
        if axis in thin
        else smooth_field((spans[0], spans[1], spans[2]), patch_shape, rng) * float(width_mm / steps_mm[axis])
        for axis in range(3)
    ]
    shrunk = _STEEPEST / max(_STEEPEST, *map(_steepness, fields))
    k, j, i = (field * shrunk for field in fields)
    return k, j, i


def _steepness(field: Tensor) -> float:
    """The largest sum of a field's steps to the next voxels along the three axes."""
    steps = [torch.diff(field, dim=axis, append=field.narrow(axis, -1, 1)).abs_() for axis in range(3)]
    return float((steps[0] + steps[1] + steps[2]).max())


def sources(change: SpatialChange, patch_shape: Index) -> tuple[Tensor, Tensor, Tensor]:
    """For each voxel of the patch where it comes from: (k, j, i) from the patch's middle, in voxels of the case."""
    matrix = np.eye(3) if change.matrix is None else change.matrix.copy()
    matrix[:, list(change.flips)] *= -1
    lines = [_line(axis, n) for axis, n in enumerate(patch_shape)]
    k, j, i = (lines[0] * float(a) + lines[1] * float(b) + lines[2] * float(c) for a, b, c in matrix)
    if change.displacements is not None:
        k, j, i = (place + moved for place, moved in zip((k, j, i), change.displacements, strict=True))
    return k, j, i


def _line(axis: int, size: int) -> Tensor:
    shape = [1, 1, 1]
    shape[axis] = size
    return (torch.arange(size, dtype=torch.float32) - (size - 1) / 2).reshape(shape)
