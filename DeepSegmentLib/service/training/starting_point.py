"""What a training begins with: its network, the weights of a parent, how quickly which of them learn, its samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.models.folder import members_of
from DeepSegmentLib.service.catalogue import find_model

from .candidate import digest_of, learned_digests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.training.patches.case_source import CaseSource
    from DeepSegmentLib.training.patches.mirror_plan import MirrorPlan
    from DeepSegmentLib.training.unlabelled.patches import UnlabelledPatches

    from .case_recipe import CaseRecipe


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """What a training begins with.

    Attributes:
        network: With the weights that it begins with, as it learns.
        groups: Parameters by their rates; None for all alike.
        finished: Makes of the trained network one that can be stored as a model.
    """

    network: nn.Module
    groups: list[dict[str, Any]] | None
    finished: Callable[[nn.Module], nn.Module]


def starting_point(recipe: CaseRecipe) -> StartingPoint:
    """Make the network of a recipe, ready to learn.

    Raises:
        ModelError: The parent is not there, damaged, or another one than the recipe says.
    """
    import torch

    from DeepSegmentLib.networks.runtime.building import build

    torch.manual_seed(recipe.training.seed)
    if recipe.parent is None or recipe.tuning is None:
        return StartingPoint(build(recipe.part.stages[-1].network), None, lambda network: network)
    from DeepSegmentLib.training.fine_tuning.heads import head_axes
    from DeepSegmentLib.training.fine_tuning.low_rank import merge_low_rank
    from DeepSegmentLib.training.fine_tuning.rates import begin_tuning

    network = _from_parent(recipe)
    return StartingPoint(
        network, begin_tuning(network, recipe.tuning, head_axes(recipe.part.stages[-1].network)), merge_low_rank
    )


def _from_parent(recipe: CaseRecipe) -> nn.Module:
    from DeepSegmentLib.networks.runtime.building import module_from_weights, weights_of
    from DeepSegmentLib.training.fine_tuning.transplant import transplanted, transplanted_weights

    assert recipe.parent is not None
    folder = find_model(recipe.parent.name).path
    parent = read_spec(folder)
    if parent.weights_sha256 != recipe.parent.sha256:
        raise ModelError(
            f"{recipe.parent.name} is another model by now ({parent.version}) than the one that this training begins "
            f"from ({recipe.parent.version}); begin another training"
        )
    change = transplanted(parent, recipe.model.segments)
    network = recipe.part.stages[-1].network
    _, _, member = next(iter(members_of(folder, "cpu")))
    weights = weights_of(member.module)  # type: ignore[attr-defined]
    before = parent.parts[0].stages[0].network
    begun = transplanted_weights(
        before, network, weights, change.rows, recipe.training.seed, background=recipe.model.output == "labels"
    )
    return module_from_weights(network, begun)


def samples(recipe: CaseRecipe, folders: Sequence[Path], records: Sequence[CaseRecord]) -> CaseSource:
    """The samples of a training: of new cases, and of those that the parent knows, for it not to forget them.

    Args:
        recipe: What is trained.
        folders: Of the prepared cases.
        records: Of the same cases, in the same order.
    """
    from DeepSegmentLib.training.fine_tuning.replay import MixedOrder
    from DeepSegmentLib.training.patches.case_source import CaseSource

    stage, seed = recipe.part.stages[-1], recipe.training.seed
    known = learned_digests(recipe)
    old = [n for n, record in enumerate(records) if digest_of(record) in known]
    new = [n for n in range(len(records)) if n not in old]
    if old and new and recipe.replay == 0:
        old = []
    return CaseSource(
        [folders[n] for n in (*new, *old)],
        stage.patch_shape,
        recipe.patches,
        mirror=_mirror(recipe),
        case_at=MixedOrder(len(new), len(old), recipe.replay, seed),
        seed=seed,
    )


def unlabelled_samples(recipe: CaseRecipe, folders: Sequence[Path]) -> UnlabelledPatches:
    """The samples of volumes without labels, which come beside those of cases.

    Args:
        recipe: What is trained.
        folders: Of the prepared volumes.
    """
    from DeepSegmentLib.training.fine_tuning.replay import MixedOrder
    from DeepSegmentLib.training.patches.case_source import CaseSource
    from DeepSegmentLib.training.unlabelled.patches import UnlabelledPatches, places_only

    changes, seed = recipe.patches.augmentation, recipe.training.seed
    patches = CaseSource(
        folders,
        recipe.part.stages[-1].patch_shape,
        replace(recipe.patches, augmentation=places_only(changes)),
        mirror=_mirror(recipe),
        case_at=MixedOrder(len(folders), 0, 0.0, seed),
        seed=seed,
    )
    return UnlabelledPatches(patches, changes, seed)


def _mirror(recipe: CaseRecipe) -> MirrorPlan:
    from DeepSegmentLib.training.patches.mirror_plan import mirror_plan

    segments = {segment.name: segment for segment in recipe.model.segments}
    named = [segments[name] for name in recipe.part.segments]
    return mirror_plan(named, recipe.part.stages[-1].orientation_of("RAS"), recipe.model.output)
