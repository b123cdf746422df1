"""Bundles as in MONAI's model zoo, checkpoints as SlicerMONAIAuto3DSeg has them, with small random networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import SegResNetDS, UNet

_UNET = {
    "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [4, 6, 8], "strides": [2, 2],
    "num_res_units": 1, "norm": "batch",
}  # fmt: skip
_SEGRESNET = {
    "init_filters": 8, "blocks_down": [1, 1, 1], "norm": "INSTANCE", "in_channels": 1, "out_channels": 3, "dsdepth": 2,
}  # fmt: skip

INFERENCE: dict[str, Any] = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "image_key": "image",
    "output_dir": "$@bundle_root + '/eval'",
    "dataset_dir": "/workspace/data",
    "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": {"_target_": "UNet", **_UNET},
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
            {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
            {"_target_": "ScaleIntensityRanged", "keys": "@image_key", "a_min": -57, "a_max": 164, "b_min": 0,
             "b_max": 1, "clip": True},
            {"_target_": "EnsureTyped", "keys": "@image_key"},
        ],
    },
    "dataset": {
        "_target_": "Dataset",
        "data": "$[{'image': i} for i in @datalist]",
        "transform": "@preprocessing",
    },
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": False},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 4, "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "@image_key",
             "nearest_interp": False, "to_tensor": True},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
    "handlers": [
        {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'",
         "load_dict": {"model": "@network"}},
        {"_target_": "StatsHandler", "iteration_log": False},
    ],
    "evaluator": {
        "_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader",
        "network": "@network", "inferer": "@inferer", "postprocessing": "@postprocessing",
        "val_handlers": "@handlers", "amp": True,
    },
    "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)"],
    "run": ["$@evaluator.run()"],
}  # fmt: skip

METADATA: dict[str, Any] = {
    "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
    "version": "0.1.2",
    "changelog": {"0.1.2": "first"},
    "monai_version": "1.4.0",
    "pytorch_version": "2.4.0",
    "numpy_version": "1.24.4",
    "name": "Small organs",
    "task": "Two structures in CT",
    "description": "A small model for tests",
    "authors": "nobody",
    "copyright": "none",
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image", "format": "hounsfield", "modality": "CT", "num_channels": 1,
                "spatial_shape": [16, 16, 16], "dtype": "float32", "value_range": [0, 1], "is_patch_data": True,
                "channel_def": {"0": "image"},
            }
        },
        "outputs": {
            "pred": {
                "type": "image", "format": "segmentation", "num_channels": 3, "spatial_shape": [16, 16, 16],
                "dtype": "float32", "value_range": [0, 1], "is_patch_data": True,
                "channel_def": {"0": "background", "1": "spleen", "2": "liver"},
            }
        },
    },
}  # fmt: skip

CONFIG: dict[str, Any] = {
    "bundle_root": "/work/small",
    "modality": "CT",
    "class_names": ["spleen", "liver"],
    "network": {"_target_": "SegResNetDS", **_SEGRESNET},
    "roi_size": [16, 16, 16],
    "resample_resolution": [1.5, 1.5, 2.0],
    "normalize_mode": "range",
    "intensity_bounds": [-200.0, 400.0],
    "crop_foreground": True,
    "orientation_ras": True,
    "sigmoid": False,
    "extra_modalities": {},
}


def write_bundle(folder: Path, **changes: Any) -> Path:
    """A bundle; changes are of `inference.json`."""
    bundle = folder / "small_organs"
    for name, document in (("metadata.json", METADATA), ("inference.json", INFERENCE | changes)):
        (bundle / "configs").mkdir(parents=True, exist_ok=True)
        (bundle / "configs" / name).write_text(json.dumps(document))
    (bundle / "models").mkdir()
    torch.manual_seed(0)
    torch.save(UNet(**_UNET).state_dict(), bundle / "models" / "model.pt")
    return bundle


def write_auto3dseg(folder: Path, **changes: Any) -> Path:
    """A model of SlicerMONAIAuto3DSeg; changes are of its configuration."""
    model = folder / "small-organs-v1.0.2"
    model.mkdir(parents=True)
    torch.manual_seed(0)
    network = SegResNetDS(**_SEGRESNET)
    content = {"epoch": 3, "best_metric": 0.5, "state_dict": network.state_dict(), "config": CONFIG | changes}
    torch.save(content, model / "model.pt")
    (model / "labels.csv").write_text("LabelValue,Name\n1,Spleen\n2,Liver\n")
    return model
