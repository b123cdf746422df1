"""Small nnU-Net v2 model folders with random weights, as its trainer leaves them; networks by its own package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

PLAIN = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
RESIDUAL = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
CHECKPOINT = "checkpoint_final.pth"

_RESAMPLING = {
    f"resampling_fn_{what}{end}": value
    for what, order, is_seg in (("data", 3, False), ("seg", 1, True), ("probabilities", 1, False))
    for end, value in (
        ("", "resample_data_or_seg_to_shape"),
        ("_kwargs", {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}),
    )
}


@dataclass(frozen=True)
class Nets:
    """What to make.

    Attributes:
        configurations: Each becomes a trained-model folder, in the order of a cascade.
        folds: Of each.
        labels: Of dataset.json, without background.
        regions: Order of the regions' values, for labels that are regions.
        channels: Names of the inputs.
        network: Class name.
        dataset: Folder and dataset name.
        features: Of each stage of the network.
    """

    configurations: Sequence[str] = ("3d_fullres",)
    folds: Sequence[int | str] = (0,)
    labels: dict[str, Any] = field(default_factory=lambda: {"left": 1, "right": 2})
    regions: tuple[int, ...] = ()
    channels: tuple[str, ...] = ("CT",)
    network: str = PLAIN
    dataset: str = "Dataset901_Small"
    features: tuple[int, ...] = (4, 6)

    @property
    def outputs(self) -> int:
        """Channels of the network's output."""
        return len(self.labels) if self.regions else len(self.labels) + 1


def nnunet_results(folder: Path, nets: Nets) -> Path:
    """A dataset's results, with a trained-model folder for each configuration."""
    place = folder / nets.dataset
    for configuration in nets.configurations:
        trained = place / f"nnUNetTrainer__nnUNetPlans__{configuration}"
        trained.mkdir(parents=True)
        (trained / "plans.json").write_text(json.dumps(_plans(nets)))
        (trained / "dataset.json").write_text(json.dumps(_dataset(nets)))
        for fold in nets.folds:
            (trained / f"fold_{fold}").mkdir()
            torch.save(_checkpoint(nets, configuration, fold), trained / f"fold_{fold}" / CHECKPOINT)
    return place


def trained_model(folder: Path, nets: Nets) -> Path:
    """The trained-model folder of the one configuration."""
    place = nnunet_results(folder, nets)
    return place / f"nnUNetTrainer__nnUNetPlans__{nets.configurations[0]}"


def _dataset(nets: Nets) -> dict[str, Any]:
    regions = {"regions_class_order": list(nets.regions)} if nets.regions else {}
    return {
        "channel_names": {str(n): name for n, name in enumerate(nets.channels)},
        "labels": {"background": 0, **nets.labels},
        "numTraining": 3,
        "file_ending": ".nii.gz",
        **regions,
    }


def _plans(nets: Nets) -> dict[str, Any]:
    statistics = {"max": 900.0, "mean": 60.0, "median": 60.0, "min": -900.0, "std": 250.0}
    percentiles = {"percentile_00_5": -500.0, "percentile_99_5": 600.0}
    return {
        "dataset_name": nets.dataset,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [20, 20, 20],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": _configurations(nets),
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(n): statistics | percentiles for n in range(len(nets.channels))
        },
    }


def _configurations(nets: Nets) -> dict[str, Any]:
    full = _configuration(nets, 3, [16, 16, 16], [1.0, 1.0, 1.0])
    made: dict[str, Any] = {
        "2d": _configuration(nets, 2, [16, 16], [1.0, 1.0]),
        "3d_fullres": full,
        "3d_lowres": full | {"spacing": [1.5, 1.5, 1.5], "next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
    return made


def _configuration(nets: Nets, dimensions: int, patch: list[int], spacing: list[float]) -> dict[str, Any]:
    n = len(nets.channels)
    return {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": [20.0] * dimensions,
        "spacing": spacing,
        "normalization_schemes": [
            "CTNormalization" if name == "CT" else "ZScoreNormalization" for name in nets.channels
        ],
        "use_mask_for_norm": [False] * n,
        **_RESAMPLING,
        "architecture": {
            "network_class_name": nets.network,
            "arch_kwargs": _arguments(nets, dimensions),
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }


def _arguments(nets: Nets, dimensions: int) -> dict[str, Any]:
    stages = len(nets.features)
    encoder = "n_conv_per_stage" if nets.network == PLAIN else "n_blocks_per_stage"
    return {
        "n_stages": stages,
        "features_per_stage": list(nets.features),
        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "kernel_sizes": [[3] * dimensions] * stages,
        "strides": [[1] * dimensions, *[[2] * dimensions] * (stages - 1)],
        encoder: [1] * stages,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _checkpoint(nets: Nets, configuration: str, fold: int | str) -> dict[str, Any]:
    """As nnU-Net's trainer saves it, with NumPy's numbers in the log."""
    log = {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(-0.25)], "epoch_start_timestamps": [1.5]}
    plans = _plans(nets)
    return {
        "network_weights": _network(nets, configuration, fold).state_dict(),
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": log,
        "_best_ema": np.float64(0.5),
        "current_epoch": 1,
        "init_args": {
            "plans": plans,
            "configuration": configuration,
            "fold": fold,
            "dataset_json": _dataset(nets),
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1) if configuration == "2d" else (0, 1, 2),
    }


def _network(nets: Nets, configuration: str, fold: int | str) -> torch.nn.Module:
    from dynamic_network_architectures.architectures import unet

    torch.manual_seed(fold if isinstance(fold, int) else 9)
    dimensions = 2 if configuration == "2d" else 3
    arguments = _arguments(nets, dimensions)
    arguments["conv_op"] = torch.nn.Conv2d if dimensions == 2 else torch.nn.Conv3d
    arguments["norm_op"] = torch.nn.InstanceNorm2d if dimensions == 2 else torch.nn.InstanceNorm3d
    arguments["nonlin"] = torch.nn.LeakyReLU
    earlier = len(nets.labels) if configuration == "3d_cascade_fullres" else 0
    network: torch.nn.Module = getattr(unet, nets.network.rpartition(".")[2])(
        input_channels=len(nets.channels) + earlier, num_classes=nets.outputs, deep_supervision=True, **arguments
    )
    return network
