"""What bundles and Auto3DSeg checkpoints have in common on their way to a model folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec

from .weights import renamed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.monai_specs import MonaiSpec

    from .postprocessing import Windows
    from .preprocessing import Preparation

_ACROSS = 2
"""The axis k, of which 2D images have one plane."""

_PARALLEL = "module."
_NESTED = ("state_dict", "model", "network", "model_state_dict", "net")


@dataclass(frozen=True)
class Plan:
    """Where a stage's numbers come from.

    Attributes:
        preparation: What is done before the network.
        windows: How the network is moved.
        logits_order: Of the interpolation back.
        back: What is interpolated: "logits" or "probabilities".
    """

    preparation: Preparation
    windows: Windows
    logits_order: int
    back: Literal["logits", "probabilities"]


def stage_of(plan: Plan, network: MonaiSpec, patch: Sequence[int]) -> StageSpec:
    """The stage, on the axes (i, j, k) of MONAI's arrays.

    Args:
        plan: What is known.
        network: Its spec.
        patch: Extent of a patch along the axes that the network sees.

    Raises:
        ModelError: The patch does not fit the network, or some number is out of range.
    """
    prepared, plane_axis = plan.preparation, plan.windows.plane_axis
    axes = _axes(_ACROSS if network.dimensions == 2 and plane_axis is None else plane_axis)
    shape = tuple(patch) if network.dimensions == 3 else (1, *patch)
    if len(patch) != network.dimensions:
        raise ModelError(f"a patch of {tuple(patch)} voxels does not fit a network of {network.dimensions} dimensions")
    fixed = getattr(network, "fixed_shape", None)
    if fixed is not None and tuple(patch) != fixed:
        raise ModelError(f"the network takes patches of {fixed} voxels only, but gets {tuple(patch)}")
    try:
        return StageSpec(
            patch_shape=shape,  # type: ignore[arg-type]
            network=network,
            normalizations=(prepared.intensity,) * network.in_channels,
            spacing_mm=_in_order(prepared.spacing_mm, axes),
            spacing_tolerance=prepared.tolerance,
            orientation=prepared.orientation,
            axes=axes,
            crop="none" if prepared.crop_above is None else "above",
            crop_above=prepared.crop_above or 0.0,
            crop_margin=prepared.crop_margin,
            normalize="after" if prepared.resampled_first else "before",
            resampling=_resampling(plan),
            tiling=plan.windows.tiling,
        )
    except InvalidInputError as error:
        raise ModelError(str(error)) from error


def _axes(plane_axis: int | None) -> tuple[int, int, int]:
    """Which axis of (k, j, i) each axis of the network is: MONAI's have NIfTI's order (i, j, k).

    Of 2D networks the one across the planes comes first.
    """
    order = (0, 1, 2) if plane_axis is None else (plane_axis, *(axis for axis in (0, 1, 2) if axis != plane_axis))
    first, second, third = (2 - axis for axis in order)
    return first, second, third


def _in_order(spacing: tuple[float, float, float] | None, axes: tuple[int, int, int]) -> Any:
    return None if spacing is None else tuple(spacing[2 - axis] for axis in axes)


def _resampling(plan: Plan) -> Resampling:
    prepared = plan.preparation
    return Resampling(
        volume_order=prepared.order,
        logits_order=plan.logits_order if prepared.spacing_mm is not None else 1,
        back=plan.back if plan.logits_order else "logits",
        antialias=False,
        keep_extent=prepared.keep_extent,
        keep_first=not prepared.keep_extent,
    )


def measured(network: MonaiSpec, patch: Sequence[int]) -> MonaiSpec:
    """The spec with what a patch costs.

    Raises:
        ModelError: The network cannot be built, or does not take such a patch.
    """
    import torch

    from DeepSegmentLib.networks import runtime
    from DeepSegmentLib.networks.architectures.measuring import measure_costs

    extent = getattr(network, "fixed_shape", None) or runtime.padded_extent(patch, network.divisor)
    try:
        with torch.device("meta"):
            module = runtime.build(network)
        return replace(network, costs=measure_costs(module, network.in_channels, extent))
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the network cannot be built for a patch of {tuple(patch)} voxels: {said}") from error


def state_of(path: Path, checkpoint: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
    """The state dict in a checkpoint, which may be the checkpoint itself.

    Args:
        path: For messages.
        checkpoint: What the file holds.
        key: Where the state dict is looked for first.

    Raises:
        ModelError: There is none.
    """
    for name in (key, *_NESTED):
        if isinstance(checkpoint.get(name), dict):
            return dict(checkpoint[name])
    if any(isinstance(value, (dict, str, list)) for value in checkpoint.values()):
        raise ModelError(f"{path} holds no weights under any of {', '.join(_NESTED)}; it holds {_keys(checkpoint)}")
    return checkpoint


def weights_for(network: MonaiSpec, state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of a state dict of MONAI's, by our names.

    Raises:
        ModelError: A value is no array of numbers.
    """
    from DeepSegmentLib.files.models.checkpoints import state_arrays

    return state_arrays(renamed(network, {name.removeprefix(_PARALLEL): each for name, each in state.items()}))


def in_order(weights: Mapping[str, NDArray[Any]], order: Sequence[int]) -> dict[str, NDArray[Any]]:
    """The same with the output channels in another order.

    Raises:
        ModelError: The network has no last convolution of its own, whose outputs are these channels alone.
    """
    if "head.weight" not in weights:
        raise ModelError("regions that are flattened in another order are not supported for this network")
    return {name: array[list(order)] if name.startswith("head.") else array for name, array in weights.items()}


def _keys(checkpoint: Mapping[str, Any]) -> str:
    return ", ".join(str(key)[:40] for key in list(checkpoint)[:8]) or "nothing"


def written(folder: Path, spec: ModelSpec, weights: dict[str, NDArray[Any]], *, card: str, licence: str) -> ModelSpec:
    """Write a model folder of one network."""
    from DeepSegmentLib.files.models.folder import write_model

    return write_model(folder, spec, iter([weights]), card=card, license_text=licence)
