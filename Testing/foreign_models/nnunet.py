"""Trained folders as nnU-Net v2 writes them, with random weights in networks of dynamic-network-architectures."""

from __future__ import annotations

import json
from collections import OrderedDict
from contextlib import contextmanager
from pydoc import locate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from DeepSegmentLib.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DATASET = "Dataset998_Test"

SPLINE = {
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
}
"""As nnU-Net's own planners write them."""

CT = {
    "max": 3071.0, "mean": 70.5, "median": 68.0, "min": -1024.0, "percentile_00_5": -958.0, "percentile_99_5": 270.0,
    "std": 137.9,
}  # fmt: skip


def architecture(dimensions: int = 3, *, residual: bool = False, **changes: Any) -> dict[str, Any]:
    """A small network as plans describe it; changes are of its arguments."""
    stages = 3
    kwargs = {
        "n_stages": stages,
        "features_per_stage": [4, 6, 8],
        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "kernel_sizes": [[3] * dimensions] * stages,
        "strides": [[1] * dimensions] + [[2] * dimensions] * (stages - 1),
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 2, 2] if residual else [2, 2, 2],
        "n_conv_per_stage_decoder": [1, 2],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": kwargs | changes,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(dimensions: int = 3, *, channels: int = 1, **changes: Any) -> dict[str, Any]:
    """A configuration of plans."""
    return {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 24, 20][-dimensions:],
        "median_image_size_in_voxels": [20.0, 30.0, 25.0][-dimensions:],
        "spacing": [2.5, 0.8, 0.8][-dimensions:],
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        **SPLINE,
        "architecture": architecture(dimensions),
        "batch_dice": False,
    } | changes


def plans_of(configurations: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The content of `plans.json`."""
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [2.5, 0.8, 0.8],
        "original_median_shape_after_transp": [20, 30, 25],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": dict(configurations),
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(n): CT for n in range(9)},
    } | changes


def dataset_of(**changes: Any) -> dict[str, Any]:
    """The content of `dataset.json`."""
    return {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": 12,
        "file_ending": ".nii.gz",
    } | changes


def foreign_network(described: Mapping[str, Any], in_channels: int, out_channels: int, seed: int = 0) -> Any:
    """The network that plans describe, with random weights and running statistics."""
    kwargs = dict(described["arch_kwargs"])
    for key in described["_kw_requires_import"]:
        if kwargs.get(key) is not None:
            kwargs[key] = locate(kwargs[key])
    made: Any = locate(described["network_class_name"])
    network = made(input_channels=in_channels, num_classes=out_channels, deep_supervision=True, **kwargs)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.4)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    network.decoder.deep_supervision = False
    return network.eval()


def checkpoint_of(network: Any, name: str, **changes: Any) -> dict[str, Any]:
    """What nnU-Net's trainer saves: numbers of NumPy, the arguments, the optimizer's state beside the weights."""
    weights = network.state_dict()
    return {
        "network_weights": weights,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.7)], "epoch_end_timestamps": [np.float64(1.0)]},
        "_best_ema": np.float64(0.7),
        "current_epoch": 5,
        "init_args": {"plans": {"plans_name": "nnUNetPlans"}, "configuration": name, "fold": 0, "dataset_json": {}},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    } | changes


def write_trained(
    root: Path,
    name: str = "3d_fullres",
    *,
    plans: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    folds: Sequence[str] = ("0",),
    **changes: Any,
) -> Path:
    """A trained folder below nnUNet_results.

    Args:
        root: nnUNet_results.
        name: The configuration.
        plans: Content of `plans.json`.
        dataset: Content of `dataset.json`.
        folds: Each gets weights of its own.
        changes: Of the checkpoints.

    Returns:
        The trained folder.
    """
    plans = plans or plans_of({name: configuration()})
    dataset = dataset or dataset_of()
    folder = root / DATASET / f"nnUNetTrainer__nnUNetPlans__{name}"
    changes = {"inference_allowed_mirroring_axes": tuple(range(len(resolved(plans, name)["patch_size"])))} | changes
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for n, fold in enumerate(folds):
        (folder / f"fold_{fold}").mkdir()
        network = foreign_network(resolved(plans, name)["architecture"], *channels_of(plans, dataset, name), seed=n)
        torch.save(checkpoint_of(network, name, **changes), folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def resolved(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it inherits."""
    own = dict(plans["configurations"][name])
    return resolved(plans, own["inherits_from"]) | own if "inherits_from" in own else own


def channels_of(plans: Mapping[str, Any], dataset: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Channels of a network's input and output."""
    labels = {key: value for key, value in dataset["labels"].items() if key not in ("background", "ignore")}
    regions = any(isinstance(value, list) and len(value) > 1 for value in labels.values())
    earlier = len(labels) if "previous_stage" in resolved(plans, name) else 0
    return len(dataset["channel_names"]) + earlier, len(labels) + (not regions)


def as_compiled(weights: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """The weights of a network that torch.compile and training on several GPUs wrapped."""
    return OrderedDict((f"module._orig_mod.{name}", tensor) for name, tensor in weights.items())


@contextmanager
def refused_by_name(name: str) -> Iterator[None]:
    """Lets a refusal pass that names the file."""
    try:
        yield
    except ModelError as error:
        if name not in str(error):
            raise
