"""One volume by MONAI's sliding window, in an environment that has MONAI, with the seconds of its steps.

    PEER_PYTHON .../peer_monai.py --trained FOLDER --volume FILE --output FILE --seconds FILE

The network is that of a trained folder of nnU-Net. Before and after the window is what MONAI's users write: intensities
scaled and resampled, logits brought back to the grid of the file, labels by argmax. Logits of all classes on that grid,
as `Invertd` makes them, would not fit in memory: here they are brought back class by class, and the best is kept.

Then the labels are made a second time, by argmax on the network's grid and the nearest voxel. That is faster and
coarser; it is told of, and not counted.
"""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import argparse
import json
import pydoc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.inferers import sliding_window_inference
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

SECONDS: dict[str, float] = {"start": time.perf_counter() - BEGUN}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Add the seconds of a block to those of a step."""
    begun = time.perf_counter()
    yield
    SECONDS[name] = SECONDS.get(name, 0.0) + time.perf_counter() - begun


def network_of(trained: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network as nnU-Net builds it, and its configuration."""
    plans = json.loads((trained / "plans.json").read_text())
    labels = json.loads((trained / "dataset.json").read_text())["labels"]
    (configuration,) = plans["configurations"].values()
    architecture = configuration["architecture"]
    options = dict(architecture["arch_kwargs"])
    for name in architecture["_kw_requires_import"]:
        options[name] = None if options[name] is None else pydoc.locate(options[name])
    kind: Any = pydoc.locate(architecture["network_class_name"])
    network = kind(input_channels=1, num_classes=len(labels), deep_supervision=False, **options)
    checkpoint = torch.load(trained / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=True)
    network.load_state_dict(checkpoint["network_weights"])
    return network.eval(), configuration


def prepared(image: sitk.Image, spacing: list[float]) -> torch.Tensor:
    """The volume (1, 1, k, j, i) of mean 0 and deviation 1 on the network's grid."""
    voxels = torch.from_numpy(sitk.GetArrayFromImage(image).astype(np.float32))
    scaled = (voxels - voxels.mean()) / voxels.std()
    size = [round(n * own / new) for n, own, new in zip(voxels.shape, image.GetSpacing()[::-1], spacing, strict=True)]
    return interpolate(scaled[None, None], size=size, mode="trilinear")


def weights_of_tile(patch: list[int]) -> torch.Tensor:
    """How a tile's voxels count: as in nnU-Net, so that labels can be compared; MONAI's own lie half a voxel beside."""
    weights = np.zeros(patch)
    weights[tuple(n // 2 for n in patch)] = 1
    weights = gaussian_filter(weights, [n / 8 for n in patch], mode="constant", cval=0)
    weights /= weights.max()
    weights[weights == 0] = weights[weights > 0].min()
    return torch.from_numpy(weights.astype(np.float32))


def logits_of(network: torch.nn.Module, volume: torch.Tensor, patch: list[int]) -> torch.Tensor:
    """Logits (1, classes, k, j, i) on the network's grid."""

    def run(tile: torch.Tensor) -> torch.Tensor:
        with step("network"):
            return network(tile)

    with step("window"):
        weights = weights_of_tile(patch)
        logits: Any = sliding_window_inference(volume, patch, 1, run, overlap=0.5, roi_weight_map=weights)
    SECONDS["blending"] = SECONDS.pop("window") - SECONDS["network"]
    return logits


def best_classes(logits: torch.Tensor, size: tuple[int, ...]) -> np.ndarray:
    """Labels on the grid of the file: logits brought back class by class."""
    best, labels = torch.full(size, -torch.inf), torch.zeros(size, dtype=torch.uint8)
    for n in range(logits.shape[1]):
        scores = interpolate(logits[:, n : n + 1], size=size, mode="trilinear")[0, 0]
        labels[scores > best] = n
        torch.maximum(best, scores, out=best)
    return labels.numpy()


def nearest_classes(logits: torch.Tensor, size: tuple[int, ...]) -> np.ndarray:
    """Labels on the grid of the file: those of the network's grid, brought back as the nearest voxel."""
    labels = logits.argmax(1, keepdim=True).to(torch.uint8)
    return interpolate(labels, size=size, mode="nearest-exact")[0, 0].numpy()


def write(labels: np.ndarray, image: sitk.Image, path: Path) -> None:
    """Write labels on the grid of the image."""
    result = sitk.GetImageFromArray(labels)
    result.CopyInformation(image)
    sitk.WriteImage(result, str(path), useCompression=True)


@torch.inference_mode()
def main() -> None:
    """Segment and tell the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--trained", "--volume", "--output", "--seconds"):
        parser.add_argument(option, type=Path, required=True)
    options = parser.parse_args()
    with step("model"):
        network, configuration = network_of(options.trained)
    with step("read"):
        image = sitk.ReadImage(str(options.volume))
    size = image.GetSize()[::-1]
    with step("prepare"):
        volume = prepared(image, configuration["spacing"])
    logits = logits_of(network, volume, configuration["patch_size"])
    with step("resample and argmax"):
        labels = best_classes(logits, size)
    with step("write"):
        write(labels, image, options.output)
    second = time.perf_counter()
    labels = nearest_classes(logits, size)
    nearest = time.perf_counter() - second
    write(labels, image, options.output.with_name("nearest-" + options.output.name))
    told = {"seconds": {name: round(seconds, 3) for name, seconds in SECONDS.items()}}
    told |= {"argmax_on_network_grid": round(nearest, 3), "not_counted": round(time.perf_counter() - second, 3)}
    options.seconds.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
