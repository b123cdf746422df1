"""The training sample of an iteration: a patch of a prepared case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.training.cases.prepare_case import MOST_ROWS
from DeepSegmentLib.training.cases.stored_case import load

from .augmentation_settings import AugmentationSettings
from .choose_centre import choose_centre
from .cut_patch import cut_patch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import Index
    from DeepSegmentLib.training.cases.prepared_case import PreparedCase

    from .mirror_plan import MirrorPlan
    from .patch import Patch


@dataclass(frozen=True)
class PatchSettings:
    """Which patches of the cases are learned from.

    Attributes:
        foreground: Share of patches that are laid round a voxel of a segment; all segments equally often.
        augmentation: How patches are changed.
    """

    foreground: float = 1 / 3
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)


class CaseSource:
    """The sample of an iteration; the same for the same iteration, in whichever process it is made.

    Args:
        folders: Of the prepared cases, see `stored_case`.
        patch_shape: Extent (k, j, i) in voxels.
        settings: Which patches.
        mirror: What mirroring does to the classes.
        case_at: Which case an iteration learns from: a number below that of the folders.
        seed: Of all that is drawn.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        patch_shape: Index,
        settings: PatchSettings,
        *,
        mirror: MirrorPlan,
        case_at: Callable[[int], int],
        seed: int,
    ) -> None:
        self._folders, self._patch_shape, self._settings = tuple(folders), patch_shape, settings
        self._mirror, self._case_at, self._seed = mirror, case_at, seed
        self._loaded: dict[int, PreparedCase] = {}

    def __getstate__(self) -> dict[str, object]:
        """Other processes open the cases for themselves."""
        return {**self.__dict__, "_loaded": {}}

    def __call__(self, iteration: int) -> Patch:
        """One patch, augmented."""
        rng = np.random.default_rng((self._seed, 2, iteration))
        case = self._case(self._case_at(iteration))
        centre = choose_centre(case, self._patch_shape, rng, foreground=self._settings.foreground)
        return cut_patch(
            case,
            centre,
            self._patch_shape,
            settings=self._settings.augmentation,
            mirror=self._mirror,
            rows=MOST_ROWS,
            rng=rng,
        )

    def _case(self, n: int) -> PreparedCase:
        if n not in self._loaded:
            self._loaded[n] = load(self._folders[n])
        return self._loaded[n]
