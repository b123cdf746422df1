"""MONAI's networks beside our specs of them, and bundles like those of its model zoo, for tests and benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from DeepSegmentLib.networks.monai_specs import (
    Activation,
    BasicUNetSpec,
    DynUNetSpec,
    MonaiSpec,
    MonaiUNetSpec,
    Norm,
    SegResNetDSSpec,
    SegResNetSpec,
    SwinUNETRSpec,
    UNETRSpec,
)

CUBE, SQUARE = (3, 3, 3), (3, 3)


@dataclass(frozen=True)
class Pair:
    """A network of MONAI and ours.

    Attributes:
        name: Of the case.
        target: Of MONAI, in `monai.networks.nets`.
        arguments: It is made with.
        spec: Ours.
        shape: Of a batch.
    """

    name: str
    target: str
    arguments: dict[str, Any]
    spec: MonaiSpec
    shape: tuple[int, ...]

    def theirs(self, seed: int = 0) -> nn.Module:
        """MONAI's network with random weights and random statistics."""
        from monai.networks import nets

        torch.manual_seed(seed)
        network: nn.Module = getattr(nets, self.target)(**self.arguments).eval()
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        for name, weight in network.named_parameters():
            if name.endswith("relative_position_bias_table") or (weight.ndim == 1 and "bias" in name):
                nn.init.normal_(weight, std=0.2)
        return network


def _dyn(residual: bool) -> dict[str, Any]:
    kernels, strides = (3, 3, (1, 3, 3), 3), (1, 2, (1, 2, 2), 2)
    return {
        "spatial_dims": 3, "in_channels": 2, "out_channels": 3, "kernel_size": kernels, "strides": strides,
        "upsample_kernel_size": strides[1:], "filters": (4, 6, 8, 10), "res_block": residual, "norm_name": "instance",
        "deep_supervision": True, "deep_supr_num": 2, "trans_bias": residual,
    }  # fmt: skip


def _dyn_spec(residual: bool) -> DynUNetSpec:
    kernels, strides = (CUBE, CUBE, (1, 3, 3), CUBE), ((1, 1, 1), (2, 2, 2), (1, 2, 2), (2, 2, 2))
    return DynUNetSpec(2, 3, 3, (4, 6, 8, 10), kernels, strides, residual, norm=Norm(), up_bias=residual)


def _ds(resolution: tuple[float, ...] | None, **more: Any) -> dict[str, Any]:
    return {
        "spatial_dims": 3, "init_filters": 8, "in_channels": 1, "out_channels": 4, "blocks_down": (1, 2, 2, 2),
        "dsdepth": 3, "resolution": resolution,
    } | more  # fmt: skip


THICK = ((2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2))
"""Strides for slices five times as thick as wide."""


def pairs() -> list[Pair]:
    """Each network in several shapes, 2D and 3D where MONAI has both."""
    unet = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": (8, 16, 32), "strides": (2, 2)}
    odd = {
        "spatial_dims": 3, "in_channels": 2, "out_channels": 4, "channels": (8, 16, 16),
        "strides": ((1, 2, 2), (2, 1, 2)), "num_res_units": 3, "kernel_size": (1, 3, 3), "up_kernel_size": 5,
        "adn_ordering": "AN", "bias": False, "act": "relu",
    }  # fmt: skip
    basic = {"in_channels": 1, "out_channels": 3, "features": (4, 6, 8, 10, 12, 5)}
    return [
        Pair(
            "UNet 3D, residual units", "UNet", unet | {"num_res_units": 2, "norm": "batch"},
            MonaiUNetSpec(1, 2, 3, (8, 16, 32), ((2, 2, 2),) * 2, CUBE, CUBE, 2, norm=Norm("batch", affine=True)),
            (1, 1, 16, 24, 16),
        ),
        Pair(
            "UNet 2D, plain", "UNet", unet | {"spatial_dims": 2, "channels": (8, 16, 32, 40), "strides": (2, 2, 2)},
            MonaiUNetSpec(1, 2, 2, (8, 16, 32, 40), ((2, 2),) * 3, SQUARE, SQUARE), (2, 1, 16, 24),
        ),
        Pair(
            "UNet 3D, anisotropic", "UNet", odd,
            MonaiUNetSpec(
                2, 4, 3, (8, 16, 16), ((1, 2, 2), (2, 1, 2)), (1, 3, 3), (5, 5, 5), 3, Activation("relu"), bias=False,
                activate_first=True,
            ),
            (2, 2, 8, 16, 24),
        ),
        Pair(
            "BasicUNet 3D", "BasicUNet", basic | {"spatial_dims": 3},
            BasicUNetSpec(1, 3, 3, (4, 6, 8, 10, 12, 5)), (1, 1, 32, 32, 48),
        ),
        Pair(
            "BasicUNet 2D, interpolating", "BasicUNet",
            basic | {"spatial_dims": 2, "upsample": "nontrainable", "act": "prelu"},
            BasicUNetSpec(1, 3, 2, (4, 6, 8, 10, 12, 5), Activation("prelu"), upsample="linear"), (1, 1, 32, 64),
        ),
        Pair("DynUNet 3D, plain", "DynUNet", _dyn(residual=False), _dyn_spec(residual=False), (1, 2, 16, 16, 32)),
        Pair("DynUNet 3D, residual", "DynUNet", _dyn(residual=True), _dyn_spec(residual=True), (1, 2, 16, 16, 32)),
        Pair(
            "DynUNet 2D", "DynUNet",
            {"spatial_dims": 2, "in_channels": 2, "out_channels": 3, "kernel_size": (3, 5, 3), "strides": (1, 2, 4),
             "upsample_kernel_size": (2, 4), "filters": (4, 6, 8)},
            DynUNetSpec(2, 3, 2, (4, 6, 8), (SQUARE, (5, 5), SQUARE), ((1, 1), (2, 2), (4, 4))), (1, 2, 16, 32),
        ),
        Pair(
            "SegResNet 3D", "SegResNet", {"in_channels": 4, "out_channels": 3, "init_filters": 8, "dropout_prob": 0.2},
            SegResNetSpec(4, 3), (1, 4, 16, 24, 16),
        ),
        Pair(
            "SegResNet 2D, deconv", "SegResNet",
            {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "init_filters": 8, "act": "prelu", "norm": "batch",
             "upsample_mode": "deconv", "blocks_down": (1, 1, 2), "blocks_up": (2, 1)},
            SegResNetSpec(
                4, 3, 2, 8, (1, 1, 2), (2, 1), Activation("prelu"), Norm("batch", affine=True), "deconv"
            ),
            (1, 4, 16, 24),
        ),
        Pair(
            "SegResNetDS 3D", "SegResNetDS", _ds(None), SegResNetDSSpec(1, 4, ((2, 2, 2),) * 4, 8, (1, 2, 2, 2)),
            (1, 1, 16, 24, 16),
        ),
        Pair(
            "SegResNetDS 3D, thick slices", "SegResNetDS", _ds((1, 1, 5), norm=("INSTANCE", {"affine": True})),
            SegResNetDSSpec(1, 4, THICK, 8, (1, 2, 2, 2), norm=Norm("instance", affine=True)), (1, 1, 16, 24, 16),
        ),
        Pair(
            "SegResNetDS 3D, interpolating", "SegResNetDS", _ds((0.8, 0.7, 2.5), upsample_mode="nontrainable"),
            SegResNetDSSpec(1, 4, ((2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)), 8, (1, 2, 2, 2), upsample="linear"),
            (1, 1, 16, 24, 16),
        ),
        Pair(
            "SwinUNETR 3D", "SwinUNETR", {"in_channels": 1, "out_channels": 3, "feature_size": 12},
            SwinUNETRSpec(1, 3, 3, 12), (1, 1, 64, 64, 64),
        ),
        Pair(
            "SwinUNETR 2D", "SwinUNETR",
            {"in_channels": 1, "out_channels": 3, "feature_size": 12, "spatial_dims": 2, "depths": (2, 2, 2, 1)},
            SwinUNETRSpec(1, 3, 2, 12, (2, 2, 2, 1), window=(7, 7)), (2, 1, 64, 160),
        ),
        Pair(
            "SwinUNETR-V2 3D", "SwinUNETR",
            {"in_channels": 1, "out_channels": 3, "feature_size": 12, "use_v2": True, "downsample": "mergingv2",
             "window_size": (4, 5, 6), "depths": (2, 2, 1, 1), "qkv_bias": False, "patch_norm": True},
            SwinUNETRSpec(
                1, 3, 3, 12, (2, 2, 1, 1), window=(4, 5, 6), qkv_bias=False, patch_norm=True, merging="v2",
                convolutions=True,
            ),
            (1, 1, 64, 64, 64),
        ),
        Pair(
            "UNETR 3D", "UNETR",
            {"in_channels": 2, "out_channels": 3, "img_size": (32, 48, 32), "feature_size": 4, "hidden_size": 24,
             "mlp_dim": 48, "num_heads": 4},
            UNETRSpec(2, 3, (32, 48, 32), 4, 24, 48, 4), (2, 2, 32, 48, 32),
        ),
        Pair(
            "UNETR 3D, perceptron", "UNETR",
            {"in_channels": 2, "out_channels": 3, "img_size": 32, "feature_size": 4, "hidden_size": 24, "mlp_dim": 48,
             "num_heads": 4, "proj_type": "perceptron", "res_block": False, "qkv_bias": True},
            UNETRSpec(2, 3, (32, 32, 32), 4, 24, 48, 4, "perceptron", residual=False, qkv_bias=True),
            (1, 2, 32, 32, 32),
        ),
        Pair(
            "UNETR 2D", "UNETR",
            {"in_channels": 1, "out_channels": 3, "img_size": (32, 48), "feature_size": 4, "hidden_size": 24,
             "mlp_dim": 48, "num_heads": 4, "conv_block": False, "spatial_dims": 2},
            UNETRSpec(1, 3, (32, 48), 4, 24, 48, 4, convolve=False), (2, 1, 32, 48),
        ),
    ]  # fmt: skip


IMAGE = {"keys": "image"}
BEFORE: list[dict[str, Any]] = [
    {"_target_": "LoadImaged", **IMAGE},
    {"_target_": "EnsureChannelFirstd", **IMAGE},
    {"_target_": "Orientationd", **IMAGE, "axcodes": "RAS"},
    {"_target_": "Spacingd", **IMAGE, "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
    {"_target_": "ScaleIntensityRanged", **IMAGE, "a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1, "clip": True},
    {"_target_": "EnsureTyped", **IMAGE},
]
AFTER: list[dict[str, Any]] = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
    },
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
]
UNET = {
    "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [4, 8, 16],
    "strides": [2, 2], "num_res_units": 1, "norm": "batch",
}  # fmt: skip
METADATA = {
    "version": "0.5.1",
    "monai_version": "1.3.0",
    "name": "Two structures",
    "description": "Finds  two\nstructures.",
    "references": ["A paper. 2020.", "Another. 2021."],
    "network_data_format": {
        "inputs": {"image": {"modality": "CT", "channel_def": {"0": "image"}, "spatial_shape": [32, 32, 32]}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "liver", "2": "spleen"}}},
    },
}


def configuration(**changes: Any) -> dict[str, Any]:
    """An inference.json like those of the zoo; `changes` replace what stands at its top."""
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": "/nowhere",
        "output_dir": "$@bundle_root + '/eval'",
        "output_dtype": "$numpy.float32",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": UNET,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": BEFORE},
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "sw_batch_size": 4, "overlap": 0.5},
        "postprocessing": {"_target_": "Compose", "transforms": AFTER},
        "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
        "evaluator": {"_target_": "SupervisedEvaluator", "network": "@network", "inferer": "@inferer"},
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "initialize": ["$monai.utils.set_determinism(seed=123)", "$@checkpointloader(@evaluator)"],
        "run": ["$@evaluator.run()"],
    } | changes


def write_bundle(
    folder: Path,
    document: dict[str, Any] | None = None,
    *,
    metadata: dict[str, Any] | None = None,
    state: Any = None,
    save: Callable[[Any, Path], None] = torch.save,
) -> Path:
    """A bundle's folder; its weights are an empty dictionary where none are given."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA if metadata is None else metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(configuration() if document is None else document))
    save({} if state is None else state, folder / "models" / "model.pt")
    return folder
