"""Whole MONAI bundles and Auto3DSeg models with small networks of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from foreign_models import monai_networks

INFERENCE = monai_networks.configuration(
    inferer={"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 4, "overlap": 0.5}
)
_SEGRESNET = {
    "init_filters": 8, "blocks_down": [1, 1, 1], "norm": "INSTANCE", "in_channels": 1, "out_channels": 3, "dsdepth": 2,
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "bundle_root": "/models/small",
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


def write_bundle(folder: Path) -> Path:
    """A bundle."""
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    network = UNet(**{key: value for key, value in monai_networks.UNET.items() if key != "_target_"})
    return monai_networks.write_bundle(folder / "small_organs", INFERENCE, state=network.state_dict())


def write_auto3dseg(folder: Path, **changes: Any) -> Path:
    """A model of SlicerMONAIAuto3DSeg; changes are of its configuration."""
    from monai.networks.nets import SegResNetDS

    model = folder / "small-organs-v1.0.2"
    model.mkdir(parents=True)
    torch.manual_seed(0)
    network = SegResNetDS(**_SEGRESNET)
    content = {"epoch": 3, "best_metric": 0.5, "state_dict": network.state_dict(), "config": CONFIG | changes}
    torch.save(content, model / "model.pt")
    (model / "labels.csv").write_text("LabelValue,Name\n1,Spleen\n2,Liver\n")
    return model
