"""Samples with a patch of a volume without labels: as the teacher sees it, and as the student does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from DeepSegmentLib.training.patches.augmentation_settings import NO_AUGMENTATION
from DeepSegmentLib.training.patches.intensity_changes import change_intensities

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from DeepSegmentLib.training.patches.augmentation_settings import AugmentationSettings
    from DeepSegmentLib.training.patches.patch import Patch


class UnlabelledPatch(NamedTuple):
    """One sample of a volume that nobody drew in; a batch of them has one more axis in front.

    Attributes:
        changed: Intensities (channel, k, j, i) as the student sees them, float32.
        plain: As the teacher sees them, at the same places.
        inside: Which voxels are of the volume, not beyond it (k, j, i), bool.
    """

    changed: Tensor
    plain: Tensor
    inside: Tensor


def places_only(settings: AugmentationSettings) -> AugmentationSettings:
    """Settings that turn, scale, deform and mirror as these do, and leave intensities as they are."""
    return replace(
        NO_AUGMENTATION,
        rotation=settings.rotation,
        rotation_degrees=settings.rotation_degrees,
        in_plane_degrees=settings.in_plane_degrees,
        scaling=settings.scaling,
        scaling_range=settings.scaling_range,
        elastic=settings.elastic,
        elastic_distance=settings.elastic_distance,
        elastic_range=settings.elastic_range,
        mirror=settings.mirror,
    )


@dataclass(frozen=True, eq=False)
class UnlabelledPatches:
    """The patch of an iteration; the same for the same iteration, in whichever process it is made.

    Attributes:
        patches: Of prepared volumes, with settings that `places_only` gives.
        settings: How the student's intensities are changed.
        seed: Of all that is drawn.
    """

    patches: Callable[[int], Patch]
    settings: AugmentationSettings
    seed: int

    def __call__(self, iteration: int) -> UnlabelledPatch:
        """One patch, seen twice."""
        plain, _, regions, _ = self.patches(iteration)
        rng = np.random.default_rng((self.seed, 7, iteration))
        return UnlabelledPatch(change_intensities(plain, self.settings, rng), plain, regions == 0)


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Samples of cases, each with one of volumes without labels behind it.

    Attributes:
        cases: Of which the truth is known.
        unlabelled: The others.
    """

    cases: Callable[[int], Patch]
    unlabelled: Callable[[int], UnlabelledPatch]

    def __call__(self, iteration: int) -> tuple[Tensor, ...]:
        """The tensors of both."""
        return (*self.cases(iteration), *self.unlabelled(iteration))
