"""Our model as a trained folder of nnU-Net v2, which its own predictor runs.

    DatasetNNN_Name/nnUNetTrainer__nnUNetPlans__3d_fullres/{dataset.json, plans.json, fold_0/checkpoint_final.pth}

Only models of which nnU-Net does everything just so are written: others are refused with the reason. Clean-ups are left
out; nnU-Net keeps those in a pickle of functions.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError, MissingPackageError
from DeepSegmentLib.files.models.folder import new_folder, open_member, read_spec
from DeepSegmentLib.files.models.importers.nnunet.weight_names import all_names, foreign_name
from DeepSegmentLib.files.models.weights import read_weights
from DeepSegmentLib.networks.unet_spec import UNetSpec

from .nnunet_plans import configuration_name, plans_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.model_spec import ModelSpec, Part
    from DeepSegmentLib.networks.stage_spec import StageSpec, WeightsFile

TRAINER = "nnUNetTrainer"
_DATASET_NUMBER = 999


def export_nnunet(source: Path, folder: Path) -> Path:
    """Write a model folder of ours as a trained folder of nnU-Net.

    Args:
        source: A model folder.
        folder: Where the trained folder goes, as nnUNet_results has them; made anew.

    Returns:
        The trained folder, for `nnUNetPredictor.initialize_from_trained_model_folder`.

    Raises:
        InvalidInputError: The folder exists, or nnU-Net does something of the model otherwise.
        ModelError: The model cannot be read.
        MissingPackageError: torch is not installed.
    """
    spec = read_spec(source)
    part, stage = _only_stage(spec)
    name = f"Dataset{_DATASET_NUMBER}_{re.sub(r'[^A-Za-z0-9]+', '', spec.name) or 'Model'}"
    plans, dataset = plans_of(stage, name), _dataset_of(spec, part)
    place = f"{name}/{TRAINER}__nnUNetPlans__{configuration_name(stage)}"
    with new_folder(folder) as fresh:
        trained = fresh / place
        trained.mkdir(parents=True)
        for file, document in (("plans.json", plans), ("dataset.json", dataset)):
            (trained / file).write_text(json.dumps(document, indent=4) + "\n", encoding="utf-8", newline="\n")
        for fold, weights in enumerate(stage.weights):
            arguments = {
                "plans": plans, "configuration": configuration_name(stage), "fold": fold, "dataset_json": dataset,
            }  # fmt: skip
            _write_fold(trained / f"fold_{fold}", stage, _weights(source, weights), arguments)
    return folder / place


def _only_stage(spec: ModelSpec) -> tuple[Part, StageSpec]:
    if len(spec.stages) != 1:
        raise InvalidInputError(
            f"this model cannot become an nnU-Net folder: it has {len(spec.stages)} stages and parts, such a folder one"
        )
    return spec.parts[0], spec.stages[0]


def _dataset_of(spec: ModelSpec, part: Part) -> dict[str, Any]:
    """The content of `dataset.json`."""
    document: dict[str, Any] = {
        "channel_names": {str(n): channel.name for n, channel in enumerate(spec.channels)},
        "labels": {"background": 0, **{name: n + 1 for n, name in enumerate(part.segments)}},
        "numTraining": 0,
        "file_ending": ".nii.gz",
        "description": spec.description,
        "licence": spec.license,
        "reference": spec.citation,
    }
    reserved = {"background", "ignore"} & {*part.segments}
    if reserved:
        raise InvalidInputError(f"nnU-Net reserves the name {reserved.pop()!r}; rename the segment")
    if spec.output == "regions":
        values = {segment.name: segment.value for segment in spec.segments}
        order = [values[name] for name in part.segments]
        # A region holds its own label and those that are drawn over it; what counts is that it is a list of several.
        regions = {name: order[n:] if len(order[n:]) > 1 else order[n:] * 2 for n, name in enumerate(part.segments)}
        document |= {"labels": {"background": 0, **regions}, "regions_class_order": order}
    return document


def _weights(source: Path, weights: WeightsFile) -> dict[str, NDArray[Any]]:
    with open_member(source, weights.file) as file:
        return read_weights(source / weights.file, file, weights.sha256)


def _write_fold(
    folder: Path, stage: StageSpec, weights: Mapping[str, NDArray[Any]], arguments: Mapping[str, Any]
) -> None:
    """A checkpoint with what nnU-Net's predictor reads of it."""
    torch = _torch()
    planes = 3 - stage.network.dimensions
    mirror = tuple(axis - planes for axis in stage.mirror_axes if axis >= planes)
    checkpoint = {
        "network_weights": _state(torch, weights, stage),
        "trainer_name": TRAINER,
        "init_args": arguments,
        "inference_allowed_mirroring_axes": mirror or None,
        "current_epoch": 0,
    }
    folder.mkdir()
    torch.save(checkpoint, folder / "checkpoint_final.pth")


def _state(torch: ModuleType, weights: Mapping[str, NDArray[Any]], stage: StageSpec) -> dict[str, Any]:
    """The weights under all names that nnU-Net asks for."""
    spec = stage.network
    assert isinstance(spec, UNetSpec)
    state = {}
    for name, array in weights.items():
        tensor = torch.from_numpy(array.astype("float32") if array.dtype.kind == "f" else array.copy())
        state.update(dict.fromkeys(all_names(foreign_name(name, spec)), tensor))
    return state


def _torch() -> ModuleType:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingPackageError("writing a checkpoint needs PyTorch; install it: pip install torch") from error
    return torch
