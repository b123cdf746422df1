"""The plans of an nnU-Net model as stages of ours. Torch-free.

References:
    nnU-Net 2.8 `PlansManager`, documentation/explanation_plans_files.md; Isensee et al., Nat Methods 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.stage_spec import StageSpec, Tiling, WeightsFile

from .channels import normalizations_of
from .grids import axes_of, orientation_of, patch_of, resampling_of, spacing_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.files.models.importers.foreign_json import Entries

    from .architectures import Architecture

_DEEPEST_INHERITANCE = 20
_PREPROCESSORS = ("DefaultPreprocessor",)
_LABEL_MANAGERS = ("LabelManager",)
_NO_MIRRORING = ("NoMirroring", "NoDA")
_MIRROR_01 = ("onlyMirror01",)


def configuration_of(plans: Entries, name: str) -> Entries:
    """A configuration with what it inherits.

    Raises:
        ModelError: There is none of the name, or it inherits in a circle.
    """
    configurations = plans.within("configurations")
    merged: dict[str, object] = {}
    parent: str | None = name
    for _ in range(_DEEPEST_INHERITANCE):
        if parent is None:
            return type(plans)(plans.path, merged, f"configurations.{name}")
        own = configurations.within(parent)
        merged = {**own.values, **merged}
        parent = own.text("inherits_from") if "inherits_from" in own else None
    return configurations.refuse(name, f"inherits from {parent!r} in a circle, or too deep")


def earlier_configuration(configuration: Entries) -> str:
    """The configuration whose labels are a cascade's further channels; empty where there is none."""
    return configuration.text("previous_stage", "")


def stage_of(
    plans: Entries,
    configuration: Entries,
    architecture: Architecture,
    *,
    channels: int,
    mirror_axes: Sequence[int],
    weights: Sequence[str],
) -> StageSpec:
    """A stage of our model.

    Args:
        plans: Of the model.
        configuration: With what it inherits.
        architecture: Its network.
        channels: Of the volume.
        mirror_axes: Of the network's own axes.
        weights: Names of the weights files, one a fold.

    Raises:
        ModelError: Something in it cannot be followed; the message names it.
    """
    _check_classes(plans, configuration)
    patch = patch_of(configuration)
    try:
        return StageSpec(
            patch_shape=patch,
            network=architecture.spec,
            normalizations=normalizations_of(configuration, plans, channels),
            weights=tuple(WeightsFile(name) for name in weights),
            spacing_mm=spacing_of(configuration),
            orientation=orientation_of(plans),
            axes=axes_of(plans),
            crop="nonzero",
            normalize="before",
            resampling=resampling_of(configuration, from_earlier_stage=bool(earlier_configuration(configuration))),
            tiling=Tiling(overlap=0.5, last_tile="spread", importance="truncated_gaussian"),
            mirror_axes=tuple(sorted(axis + 3 - len(configuration.listed("patch_size")) for axis in mirror_axes)),
        )
    except InvalidInputError as error:
        configuration.refuse("patch_size", f"and its other entries make no stage of a model: {error}")


def _check_classes(plans: Entries, configuration: Entries) -> None:
    """Refuse plans whose volumes or labels are treated by a class of somebody's own."""
    for entries, key, known in (
        (configuration, "preprocessor_name", _PREPROCESSORS),
        (plans, "label_manager", _LABEL_MANAGERS),
    ):
        name = entries.text(key, known[0])
        if name not in known:
            entries.refuse(key, f"is {name!r}, and nobody here knows what it does; known: {', '.join(known)}")


def mirror_axes_of_trainer(trainer: str, dimensions: int) -> tuple[int, ...]:
    """Along which axes of the network mirroring is sound, for checkpoints that do not tell.

    The trainers of nnU-Net say it in their names.
    """
    if any(word in trainer for word in _NO_MIRRORING):
        return ()
    if any(word in trainer for word in _MIRROR_01):
        return (0,) if dimensions == 2 else (0, 1)
    return tuple(range(dimensions))
