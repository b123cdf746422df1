"""The volume and the model of a case, made by this library: fixed random weights, a last layer that means something.

    python Testing/benchmarks/engine/make.py --case NAME --work FOLDER

With random weights alone the classes would be tied nearly everywhere, and labels differ by rounding. So the last layer
is fitted to the organs of a phantom, by the features that the random layers give there. A network that is named
"trained" learns these then, for some minutes: what rounding does to trained weights is what users will see.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[3])]
from cases import SPACING_MM, Case, case_of
from phantom import labels_of, voxels_of

from DeepSegmentLib.data import Geometry, Segment, Volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.back_ends.machine import has_bfloat16
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec, Tiling
from DeepSegmentLib.networks.unet_spec import UNetSpec

_SEED = 1
_LARGEST_LOGIT = 30.0
_RIDGE = 1e-3
_STEPS, _LEARNING_RATE, _NOISE = 150, 5e-4, 0.02
"""Of the training: steps, their size, noise that is added to what is seen."""
# Features and blocks of nnU-Net's default plans and of its preset "ResEnc M".
_WIDE = (32, 64, 128, 256, 320, 320)
_SHAPES: dict[str, dict[str, Any]] = {
    "plain": {"features": _WIDE, "encoder_blocks": (2,) * 6, "decoder_blocks": (2,) * 5},
    "trained": {"features": _WIDE, "encoder_blocks": (2,) * 6, "decoder_blocks": (2,) * 5},
    "residual": {
        "features": _WIDE, "encoder_blocks": (1, 3, 4, 6, 6, 6), "decoder_blocks": (1,) * 5, "encoder": "residual",
    },
    "pointwise": {"features": (32, 32), "encoder_blocks": (1, 1), "decoder_blocks": (1,), "kernel": 1},
    "tiny": {"features": (8, 16, 32), "encoder_blocks": (1,) * 3, "decoder_blocks": (1,) * 2},
}  # fmt: skip


def make_volume(case: Case, work: Path) -> None:
    """The file of a case's volume, where it is missing."""
    path = case.volume_file(work)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        geometry = Geometry.from_spacing(case.size[::-1], case.spacing_mm[::-1])
        write_volume(Volume(voxels_of(case.size[::-1])[None], geometry), path)


def make_model(case: Case, work: Path) -> None:
    """The model folder of a case, where it is missing."""
    folder = case.model_folder(work)
    if not folder.is_dir():
        network = _network(case)
        image, labels = _learned_from(case)
        _fit_head(network, image, labels, case.classes)
        if case.network == "trained":
            _train(network, image, labels, case.patch)
        folder.parent.mkdir(parents=True, exist_ok=True)
        save_model(folder, _spec(case), network, card="")


def _network_spec(case: Case) -> UNetSpec:
    shape = dict(_SHAPES[case.network])
    stages, edge = len(shape["features"]), shape.pop("kernel", 3)
    strides = ((1, 1, 1), *[(2, 2, 2)] * (stages - 1))
    return UNetSpec(1, case.classes, kernel_sizes=((edge,) * 3,) * stages, strides=strides, **shape)


def _network(case: Case) -> UNet:
    torch.manual_seed(_SEED)
    return UNet(_network_spec(case)).eval()


def _spec(case: Case) -> ModelSpec:
    names = tuple(f"organ {n}" for n in range(1, case.classes))
    stage = StageSpec(
        (case.patch,) * 3, _network_spec(case), (Normalization("zscore"),), spacing_mm=(SPACING_MM,) * 3,
        orientation=None, crop="nonzero", tiling=Tiling(0.5, "spread", "truncated_gaussian"),
        resampling=Resampling(1, 1, antialias=False, keep_extent=True, thick_axis_from=3.0),
    )  # fmt: skip
    return ModelSpec(
        name=f"engine-{case.model}", version="1", description="Made weights, to compare engines.", license="CC0-1.0",
        channels=(Channel("CT", "CT"),), segments=tuple(Segment(name, n + 1) for n, name in enumerate(names)),
        parts=(Part(names, (stage,)),),
    )  # fmt: skip


def _learned_from(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """A phantom of up to 128 voxels an edge as networks see it, and its labels (k, j, i)."""
    edge = 32 if case.network == "tiny" else 128
    voxels = voxels_of((edge * 3 // 2,) * 3).astype(np.float32)
    scaled = torch.from_numpy((voxels - voxels.mean()) / voxels.std())
    image = functional.interpolate(scaled[None, None], size=(edge,) * 3, mode="trilinear")[0, 0]
    return image, torch.from_numpy(labels_of((edge,) * 3, case.classes))


@torch.inference_mode()
def _fit_head(network: UNet, image: torch.Tensor, labels: torch.Tensor, classes: int) -> None:
    """Linear discriminants of the classes as the last layer, by one pass over the phantom."""
    features = network.features(image[None, None])[0].flatten(1).double()
    weights, bias = _discriminants(features, labels.flatten(), classes)
    # Of some size that sums of float16 can hold, as nnU-Net makes them.
    largest = (weights @ features[:, ::97] + bias[:, None]).abs().max()
    last = network.last_layer()
    last.weight.copy_((_LARGEST_LOGIT / largest * weights).float().reshape(last.weight.shape))
    last.bias.copy_((_LARGEST_LOGIT / largest * bias).float())


def _train(network: UNet, image: torch.Tensor, labels: torch.Tensor, edge: int) -> None:
    """Cross-entropy on patches of the phantom, in bfloat16 where the processor has it."""
    chance = torch.Generator().manual_seed(_SEED)
    network.train().to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_STEPS, pct_start=0.1)
    for step in range(_STEPS):
        first = torch.randint(len(image) - edge + 1, (3,), generator=chance).tolist()
        patch = tuple(slice(n, n + edge) for n in first)
        noisy = image[patch] + _NOISE * torch.randn((edge,) * 3, generator=chance)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            logits = network(noisy[None, None])
        loss = functional.cross_entropy(logits.float(), labels[patch][None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == _STEPS - 1:
            print(f"step {step + 1} of {_STEPS}: loss {loss.item():.3f}", flush=True)
    network.to(memory_format=torch.contiguous_format).eval()


def _discriminants(features: torch.Tensor, labels: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (classes, channels) and bias: Gaussian classes of one covariance, all as frequent."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    means = torch.zeros(classes, len(features), dtype=features.dtype).index_add_(0, labels, features.T)
    means /= counts[:, None]
    apart = features - means[labels].T
    covariance = apart @ apart.T / len(labels)
    ridge = _RIDGE * covariance.diagonal().mean() * torch.eye(len(features), dtype=features.dtype)
    weights = torch.linalg.solve(covariance + ridge, means.T).T
    centre = (weights.mean(0), (weights * means).sum(1).mean() / 2)  # the same for all: only differences count
    return weights - centre[0], centre[1] - (weights * means).sum(1) / 2


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    make_volume(case_of(options.case), options.work)
    make_model(case_of(options.case), options.work)


if __name__ == "__main__":
    main()
