"""Checkpoints of nnU-Net: what they tell of their training, and their weights as our U-Net takes them.

The only part of the importer that needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.checkpoints import read_checkpoint, state_arrays

from .weight_names import foreign_name, plain_name, stands_twice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.unet_spec import UNetSpec

    from .architectures import Architecture

_MOST_SHOWN = 5
_WEIGHTS = "network_weights"
_COUNTER = "num_batches_tracked"
_NORM = ".norm."
_REMEDY = "plans.json and the checkpoint are of different trainings, or the trainer changed the network; get both again"


@dataclass(frozen=True)
class Training:
    """What a checkpoint tells of its training.

    Attributes:
        trainer: Class name; empty where it is not told.
        configuration: Likewise.
        mirror_axes: Along which axes of the network mirroring is sound; None where it is not told.
        batch_norm: Whether the network has batch norm.
        epoch: How many epochs were trained; None where it is not told.
    """

    trainer: str
    configuration: str
    mirror_axes: tuple[int, ...] | None
    batch_norm: bool
    epoch: int | None


def read_training(path: Path) -> Training:
    """What a checkpoint tells of its training; its weights stay on the disk.

    Raises:
        ModelError: It cannot be read, or is none of nnU-Net.
    """
    checkpoint = read_checkpoint(path)
    names = _state(path, checkpoint)
    arguments = checkpoint.get("init_args")
    configuration = arguments.get("configuration") if isinstance(arguments, dict) else None
    trainer, epoch = checkpoint.get("trainer_name"), checkpoint.get("current_epoch")
    return Training(
        trainer=trainer if isinstance(trainer, str) else "",
        configuration=configuration if isinstance(configuration, str) else "",
        mirror_axes=_mirror_axes(path, checkpoint),
        batch_norm=any(name.endswith(".running_mean") for name in names),
        epoch=epoch if type(epoch) is int else None,
    )


def _mirror_axes(path: Path, checkpoint: Mapping[str, Any]) -> tuple[int, ...] | None:
    key = "inference_allowed_mirroring_axes"
    if key not in checkpoint:
        return None
    axes = checkpoint[key] or ()
    if not isinstance(axes, (tuple, list)) or not all(type(axis) is int and 0 <= axis < 3 for axis in axes):
        raise ModelError(f"{path}: {key!r} must be axes from 0 to 2, got {axes!r:.100}; get the checkpoint again")
    return tuple(sorted({*axes}))


def _state(path: Path, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    state = checkpoint.get(_WEIGHTS)
    if not isinstance(state, dict) or not state:
        there = ", ".join(map(str, list(checkpoint)[:_MOST_SHOWN])) or "nothing"
        raise ModelError(f"{path} is no checkpoint of nnU-Net: it has no {_WEIGHTS!r}, but {there}")
    return {plain_name(str(name)): value for name, value in state.items()}


def read_weights(path: Path, architecture: Architecture) -> dict[str, NDArray[Any]]:
    """The weights of a fold, by the names of our U-Net.

    Raises:
        ModelError: They do not fit the network that the plans describe; the message names file and weight.
    """
    state = _state(path, read_checkpoint(path))
    expected = _expected_shapes(architecture.spec)
    places = {name: foreign_name(name, architecture.spec) for name in expected}
    _check_complete(path, architecture, state, list(places.values()))
    try:
        arrays = state_arrays({place: state[place] for place in places.values() if place in state})
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    weights = {}
    for name, place in places.items():
        weights[name] = arrays[place] if place in arrays else _without_effect(place, expected[name])
        if weights[name].shape != expected[name]:
            raise ModelError(
                f"{path}: weight {place!r} has the shape {weights[name].shape}, but {expected[name]} by plans.json; "
                f"{_REMEDY}"
            )
    return weights


def _expected_shapes(spec: UNetSpec) -> dict[str, tuple[int, ...]]:
    import torch

    from DeepSegmentLib.networks.architectures.unet import UNet

    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in UNet(spec).state_dict().items()}


def _check_complete(path: Path, architecture: Architecture, state: Mapping[str, Any], places: Sequence[str]) -> None:
    last_head = f"decoder.seg_layers.{len(architecture.spec.decoder_blocks) - 1}."
    missing = [
        place
        for place in places
        if place not in state and (place.startswith(last_head) or not _may_be_absent(place, architecture))
    ]
    known = {*places}
    strangers = [name for name in state if name not in known and not stands_twice(name)]
    for what, names in (("lacks", missing), ("has", strangers)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{path} {what} the weight {names[0][:200]!r}{more}, against plans.json; {_REMEDY}")


def _may_be_absent(place: str, architecture: Architecture) -> bool:
    """Whether a network of the plans has no such weight, or uses it in training only."""
    if place.startswith("decoder.seg_layers.") or place.endswith(_COUNTER):
        return True
    if _NORM in place:
        return not architecture.affine and place.endswith((".weight", ".bias"))
    return place.endswith(".bias") and not architecture.conv_bias


def _without_effect(place: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Convolutions without bias have one of 0 here, norms without weights have 1 and 0."""
    if place.endswith(_COUNTER):
        return np.zeros(shape, np.int64)
    return np.full(shape, float(_NORM in place and place.endswith(".weight")), np.float32)
