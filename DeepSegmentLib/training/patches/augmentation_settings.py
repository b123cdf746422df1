"""How far patches are changed before a network sees them: how often, and between which limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Range = tuple[float, float]

_LIMITS: Mapping[str, Range] = MappingProxyType(
    {
        "scaling_range": (0.25, 4.0),
        "elastic_range": (0.0, 0.25),
        "brightness_range": (0.0, 10.0),
        "contrast_range": (0.0, 10.0),
        "gamma_range": (0.1, 10.0),
        "noise_range": (0.0, 10.0),
        "blur_voxels": (0.0, 20.0),
        "resolution_range": (0.05, 1.0),
        "thickness_voxels": (1.0, 20.0),
        "bias_range": (0.0, 3.0),
        "rotation_degrees": (0.0, 180.0),
        "in_plane_degrees": (0.0, 180.0),
        "elastic_distance": (2.0, 1000.0),
    }
)
"""Between what each figure must lie; all others are shares, 0 to 1."""


@dataclass(frozen=True)
class AugmentationSettings:
    """How patches are changed. Pairs are ranges of uniform draws; those around 1 go below and above it equally often.

    The defaults are nnU-Net's. Its elastic deformation is off; thick slices, bias field and random contrast it has not.

    Attributes:
        rotation: Share of patches that are turned.
        rotation_degrees: About each axis, to both sides.
        in_plane_degrees: Likewise, of patches that are thin along an axis and are turned about that only. Where
            segments have sides it is `rotation_degrees`: turned further, left would look like right.
        scaling: Share of patches that show more or less than usual.
        scaling_range: How many times as much, along each axis.
        elastic: Share of patches that are deformed.
        elastic_distance: Between control points, in voxels of the finest axis.
        elastic_range: Standard deviation of the displacement, as a part of that distance; less where tissue would fold
            over.
        mirror: Share of patches that are mirrored, for each axis along which it is sound.
        noise: Share of channels with Gaussian noise; each channel draws for itself here and below.
        noise_range: Its standard deviation, as a part of that of the channel's intensities.
        blur: Share of channels that are blurred.
        blur_voxels: Standard deviation of the Gaussian, drawn for each axis.
        brightness: Share of channels that are multiplied.
        brightness_range: By what.
        contrast: Share of channels whose distance from their mean is multiplied; the range of intensities stays.
        contrast_range: By what.
        low_resolution: Share of channels that are sampled coarser along all axes but thin ones, and back.
        resolution_range: How many times as many voxels an axis has then.
        thick_slices: Share of channels that are averaged over slices along one axis, and brought back.
        thickness_voxels: How thick these slices are.
        gamma: Share of channels that are raised to a power, on the scale of their range.
        gamma_inverted: Share of channels where this is done with dark and bright exchanged.
        gamma_range: To which power.
        bias_field: Share of channels whose distance from their darkest intensity is multiplied by a smooth field, like
            that of a coil in MR.
        bias_range: Standard deviation of its logarithm.
        synthesis: Share of patches whose intensities are replaced by random ones for each structure.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021; `nnUNetTrainer.get_training_transforms` of nnunetv2 2.8, where a
        change of half of the channels of a share of the patches is, here, one of half that share.
        Billot et al., SynthSeg, Medical Image Analysis 2023 (random contrast, bias field).
    """

    rotation: float = 0.2
    rotation_degrees: float = 30.0
    in_plane_degrees: float = 180.0
    scaling: float = 0.2
    scaling_range: Range = (0.7, 1.4)
    elastic: float = 0.0
    elastic_distance: float = 16.0
    elastic_range: Range = (0.0, 0.15)
    mirror: float = 0.5
    noise: float = 0.1
    noise_range: Range = (0.0, 0.1)
    blur: float = 0.1
    blur_voxels: Range = (0.5, 1.0)
    brightness: float = 0.15
    brightness_range: Range = (0.75, 1.25)
    contrast: float = 0.15
    contrast_range: Range = (0.75, 1.25)
    low_resolution: float = 0.125
    resolution_range: Range = (0.5, 1.0)
    thick_slices: float = 0.0
    thickness_voxels: Range = (2.0, 5.0)
    gamma: float = 0.3
    gamma_inverted: float = 0.1
    gamma_range: Range = (0.7, 1.5)
    bias_field: float = 0.0
    bias_range: Range = (0.0, 0.3)
    synthesis: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            low, high = _LIMITS.get(field.name, (0.0, 1.0))
            if not all(math.isfinite(number) and low <= number <= high for number in numbers):
                raise InvalidInputError(f"{field.name} must be from {low:g} to {high:g}, got {value}")
            if list(numbers) != sorted(numbers):
                raise InvalidInputError(f"{field.name} must begin with its lower end, got {value}")


NO_AUGMENTATION = AugmentationSettings(
    rotation=0, scaling=0, mirror=0, noise=0, blur=0, brightness=0, contrast=0, low_resolution=0, gamma=0,
    gamma_inverted=0,
)  # fmt: skip

PRESETS: Mapping[str, AugmentationSettings] = MappingProxyType(
    {
        "none": NO_AUGMENTATION,
        "light": AugmentationSettings(
            rotation=0.2, rotation_degrees=10, in_plane_degrees=15, scaling=0.2, scaling_range=(0.9, 1.1), mirror=0,
            noise_range=(0.0, 0.05), blur=0.05, blur_voxels=(0.3, 0.7), brightness_range=(0.9, 1.1),
            contrast_range=(0.9, 1.1), low_resolution=0, gamma=0.15, gamma_inverted=0, gamma_range=(0.85, 1.2),
        ),
        "default": AugmentationSettings(),
    }
)  # fmt: skip
"""By their names: nothing is changed; small changes, for a model that knows its task already; nnU-Net's."""


def augmentation_preset(name: str) -> AugmentationSettings:
    """The settings of this name.

    Raises:
        InvalidInputError: There are none; the message names those that there are.
    """
    if name not in PRESETS:
        raise InvalidInputError(f"no augmentation is called {name!r}; take one of: {', '.join(PRESETS)}")
    return PRESETS[name]
