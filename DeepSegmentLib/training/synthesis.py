"""Images of random contrast from label maps, so that a network learns shapes and not one scanner's grey values.

Each image has its own pose, deformation, intensity of every tissue, bias field, resolution, noise and field of view. A
part of the images keeps each tissue near its usual brightness (`usual_contrast`), because that is what most users have.

References:
    Billot et al., SynthSeg, Medical Image Analysis 2023, and its reference implementation (BBillot/SynthSeg).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from DeepSegmentLib.data import Index  # noqa: TC001 - recipes resolve the annotations at run time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .synthesis_cases import SynthesisCase, Tissue


@dataclass(frozen=True)
class SynthesisSettings:
    """How far images may differ. Pairs are ranges of uniform draws, single numbers are upper ends of them.

    Attributes:
        patch_shape: Extent (k, j, i) of the images, in voxels.
        spacing_mm: Voxel size of the images, isotropic.
        jitter_mm: How far the middle of the image may lie from the middle of the targets, along each axis.
        rotation_degrees: About each axis, to both sides.
        scaling: Relative change of size along each axis, to both sides.
        shearing: Shear coefficients, to both sides.
        elastic_mm: Standard deviation of the displacement at the control points.
        elastic_grid_mm: Distance of the control points.
        usual_contrast: Part of the images in which tissues keep near their usual brightness.
        usual_inverted: Part of those in which dark and bright are exchanged.
        dark_air: Part of the images of random contrast whose air is black.
        strip: Part of the images without the outer tissues.
        cut: Part of the images with a cropped field of view; half of them lose the face only.
        bias: Standard deviation of the logarithm of the bias field at its control points.
        blur_voxels: Width (standard deviation) of the blur that makes partial volumes.
        thick_slices: Part of the images acquired in thick slices.
        thickness_mm: Range of their thickness.
        gamma: Standard deviation of the logarithm of the gamma exponent.
        noise: Standard deviation of the noise, on the scale of intensities 0 to 1.
    """

    patch_shape: Index = (80, 88, 80)
    spacing_mm: float = 2.0
    jitter_mm: float = 24.0
    rotation_degrees: float = 20.0
    scaling: float = 0.15
    shearing: float = 0.08
    elastic_mm: float = 3.0
    elastic_grid_mm: float = 32.0
    usual_contrast: float = 0.5
    usual_inverted: float = 0.25
    dark_air: float = 0.7
    strip: float = 0.08
    cut: float = 0.25
    bias: float = 0.3
    blur_voxels: tuple[float, float] = (0.3, 0.9)
    thick_slices: float = 0.35
    thickness_mm: tuple[float, float] = (3.0, 7.0)
    gamma: float = 0.25
    noise: float = 0.06


def synthesize(
    case: SynthesisCase, tissues: Sequence[Tissue], settings: SynthesisSettings, seed: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Draw one image and its labels.

    Args:
        case: The label map.
        tissues: The table that `case` was made with.
        settings: How far images may differ.
        seed: Whole numbers; the same seed gives the same image.

    Returns:
        Image (1, k, j, i) of float32 between 0 and 1, and labels (k, j, i) of int64.
    """
    rng = np.random.default_rng(seed)
    noise_source = torch.Generator().manual_seed(int(rng.integers(2**62)))
    where = _voxel_indices(case, settings, rng)
    drawn, target = _gather(case.tissues, where), _gather(case.targets, where).long()
    drawn, outside = _cut_field_of_view(_strip(drawn, tissues, settings, rng), tissues, settings, rng)
    image = _paint(drawn, tissues, settings, rng, noise_source)
    image = _blur(image, [rng.uniform(*settings.blur_voxels)] * 3)
    image = image * torch.exp(_smooth_field(settings.patch_shape, 4, settings.bias * rng.uniform(), rng))
    image = _thicken(image, settings, rng)
    image = image + settings.noise * float(rng.uniform()) * _randn(image.shape, noise_source)
    image = _rescaled(image)
    image = image ** float(np.exp(rng.normal(0, settings.gamma)))
    image[outside] = 0
    target[outside] = 0
    return image[None], target


def _randn(shape: Sequence[int], source: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=source)


def _smooth_field(shape: Index, points: int | Sequence[int], scale: float, rng: np.random.Generator) -> Tensor:
    """A random field (k, j, i), smooth between `points` control points an axis."""
    grid = (points,) * 3 if isinstance(points, int) else tuple(points)
    coarse = torch.from_numpy(rng.normal(0, scale, (1, 1, *grid)).astype(np.float32))
    return functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0, 0]


def _random_affine(settings: SynthesisSettings, rng: np.random.Generator) -> np.ndarray:
    """3x3 matrix of a random rotation, scaling, shearing and, half the time, a left-right reflection."""
    matrix = np.diag(1 + rng.uniform(-settings.scaling, settings.scaling, 3))
    shear = rng.uniform(-settings.shearing, settings.shearing, (3, 3))
    np.fill_diagonal(shear, 1)
    matrix = matrix @ shear
    for axis, angle in enumerate(np.radians(rng.uniform(-1, 1, 3) * settings.rotation_degrees)):
        a, b = (n for n in range(3) if n != axis)
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix @ np.diag([1, 1, -1 if rng.uniform() < 0.5 else 1])


def _voxel_indices(case: SynthesisCase, settings: SynthesisSettings, rng: np.random.Generator) -> list[Tensor]:
    """For each image voxel the index (k, j, i) of the label-map voxel seen there, as three int64 arrays."""
    matrix = _random_affine(settings, rng) * settings.spacing_mm
    jitter = rng.uniform(-settings.jitter_mm, settings.jitter_mm, 3)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in settings.patch_shape]
    extent = np.asarray(settings.patch_shape) * settings.spacing_mm
    points = [int(n) for n in np.ceil(extent / settings.elastic_grid_mm) + 1]
    scale = settings.elastic_mm * float(rng.uniform())
    shapes = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    indices = []
    for axis in range(3):
        offset = _smooth_field(settings.patch_shape, points, scale, rng) + float(jitter[axis])
        for n in range(3):
            offset += float(matrix[axis, n]) * axes[n].reshape(shapes[n])
        indices.append((offset / case.spacing_mm[axis] + case.centre[axis]).round_().long())
    return indices


def _gather(labels: np.ndarray, indices: list[Tensor]) -> Tensor:
    """Labels at the indices; 0 outside."""
    inside = torch.ones_like(indices[0], dtype=torch.bool)
    flat = torch.zeros_like(indices[0])
    for index, size in zip(indices, labels.shape, strict=True):
        inside &= (index >= 0) & (index < size)
        flat = flat * size + index.clamp(0, size - 1)
    return torch.from_numpy(labels).reshape(-1)[flat] * inside


def _outer_table(tissues: Sequence[Tissue]) -> Tensor:
    return torch.tensor([False, *(tissue.outer for tissue in tissues)])


def _strip(drawn: Tensor, tissues: Sequence[Tissue], settings: SynthesisSettings, rng: np.random.Generator) -> Tensor:
    """Now and then an image without skull and skin."""
    if rng.uniform() >= settings.strip:
        return drawn
    return drawn.masked_fill(_outer_table(tissues)[drawn.long()], 0)


def _cut_field_of_view(
    drawn: Tensor, tissues: Sequence[Tissue], settings: SynthesisSettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Now and then an image whose face is removed, or which ends inside the head.

    Returns:
        Tissues, and which voxels lie outside the field of view.
    """
    k, j, _ = settings.patch_shape
    outside = torch.zeros(settings.patch_shape, dtype=torch.bool)
    choice = rng.uniform()
    if choice < settings.cut / 2:
        height, front = rng.uniform(0.2, 0.5), rng.uniform(0.6, 0.75)
        face = torch.zeros_like(outside)
        face[: int(height * k), int(front * j) :] = True
        return drawn.masked_fill(face & _outer_table(tissues)[drawn.long()], 0), outside
    if choice < settings.cut:
        axis, size = rng.choice(3), rng.uniform(0.05, 0.25)
        edge = int(size * settings.patch_shape[axis])
        part = slice(0, edge) if rng.uniform() < 0.5 else slice(settings.patch_shape[axis] - edge, None)
        outside[(slice(None),) * int(axis) + (part,)] = True
    return drawn, outside


def _paint(
    drawn: Tensor,
    tissues: Sequence[Tissue],
    settings: SynthesisSettings,
    rng: np.random.Generator,
    noise_source: torch.Generator,
) -> Tensor:
    """Give each tissue a random mean and texture."""
    if rng.uniform() < settings.usual_contrast:
        means = np.array([0.02, *(rng.normal(*tissue.brightness) for tissue in tissues)])
        spread = rng.uniform(0.01, 0.06, len(means))
        if rng.uniform() < settings.usual_inverted:
            means = 1 - means
    else:
        means = rng.uniform(0, 1, len(tissues) + 1)
        spread = rng.uniform(0.01, 0.12, len(means))
        if rng.uniform() < settings.dark_air:
            means[0] = 0
    spread[0] = 0.01
    index = drawn.long()
    texture = _randn(drawn.shape, noise_source)
    return (
        torch.from_numpy(means.astype(np.float32))[index] + texture * torch.from_numpy(spread.astype(np.float32))[index]
    )


def _blur(image: Tensor, widths: Sequence[float]) -> Tensor:
    """Gaussian blur (k, j, i) with a standard deviation in voxels for each axis."""
    out = image[None, None]
    for axis, width in enumerate(widths):
        if width < 0.05:
            continue
        radius = max(1, int(np.ceil(2.5 * width)))
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / width) ** 2)
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = -1
        padding = [0, 0, 0, 0, 0, 0]
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        out = functional.conv3d(functional.pad(out, padding, mode="replicate"), (kernel / kernel.sum()).reshape(shape))
    return out[0, 0]


def _thicken(image: Tensor, settings: SynthesisSettings, rng: np.random.Generator) -> Tensor:
    """Now and then an image acquired in thick slices along one axis, and resampled."""
    if rng.uniform() >= settings.thick_slices:
        return image
    axis, thickness = int(rng.choice(3)), rng.uniform(*settings.thickness_mm)
    factor = max(1.0, thickness / settings.spacing_mm)
    widths = [0.0, 0.0, 0.0]
    widths[axis] = 0.42 * factor
    coarse = list(image.shape)
    coarse[axis] = max(2, round(coarse[axis] / factor))
    sampled = functional.interpolate(_blur(image, widths)[None, None], size=coarse, mode="trilinear")
    return functional.interpolate(sampled, size=tuple(image.shape), mode="trilinear")[0, 0]


def _rescaled(image: Tensor) -> Tensor:
    """Intensities 0 to 1 between the half percentile at both ends, as `percentile` normalisation does."""
    sample = image.reshape(-1)[::7]
    low, high = torch.quantile(sample, torch.tensor([0.005, 0.995])).tolist()
    scaled: Tensor = (image - low) / max(high - low, 1e-6)
    return scaled.clamp_(0, 1)
