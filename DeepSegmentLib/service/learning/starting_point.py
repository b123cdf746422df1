"""What a training begins with: its network, the weights of a parent, how quickly which of them learn, its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .candidate import digest_of, learned_digests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch
    from torch import nn

    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.training.patches.case_source import CaseSource

    from .case_recipe import CaseRecipe


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """What a training begins with.

    Attributes:
        recipe: What is trained.
        network: With the weights that it begins with, as it learns.
        groups: Parameters by their rates; None for all alike.
        finished: Makes of the trained network one that can be stored as a model.
        device: Where it runs, such as "cpu".
        precision: Of its layers.
    """

    recipe: CaseRecipe
    network: nn.Module
    groups: list[dict[str, Any]] | None
    finished: Callable[[nn.Module], nn.Module]
    device: str
    precision: torch.dtype

    def source(self, folders: Sequence[Path], records: Sequence[CaseRecord]) -> CaseSource:
        """The samples of the training: of new cases, and of those that the parent knows, for it not to forget them."""
        from DeepSegmentLib.training.fine_tuning.replay import mixed_order
        from DeepSegmentLib.training.patches.case_source import CaseSource
        from DeepSegmentLib.training.patches.mirror_plan import mirror_plan

        recipe, stage = self.recipe, self.recipe.part.stages[-1]
        known = learned_digests(recipe)
        old = [n for n, record in enumerate(records) if digest_of(record) in known]
        new = [n for n in range(len(records)) if n not in old]
        order = mixed_order(len(new), len(old), recipe.replay if new else 1.0, recipe.training.seed)
        segments = {segment.name: segment for segment in recipe.model.segments}
        mirror = mirror_plan(
            [segments[name] for name in recipe.part.segments], stage.orientation_of("RAS"), recipe.model.output
        )
        ordered = [folders[n] for n in (*new, *old)]
        return CaseSource(
            ordered, stage.patch_shape, recipe.patches, mirror=mirror, case_at=order, seed=recipe.training.seed
        )
