"""Our models as nnU-Net folders, run by nnU-Net's own predictor: the same labels and probabilities.

    python Testing/benchmarks/models/nnunet_export.py --peer PYTHON

PYTHON is that of an environment with `pip install nnunetv2`. Random weights, an oblique volume of thick slices,
mirroring on. nnU-Net sums logits up in float16; here it is made to sum them in float32, with its own weights of tiles,
so that nothing hides behind that. Writes Testing/benchmarks/results/nnunet_export.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DeepSegmentLib.data import Geometry, Segment, Volume
from DeepSegmentLib.files.models.exporters.nnunet import export_nnunet
from DeepSegmentLib.files.models.folder import load_model, write_model
from DeepSegmentLib.files.volumes import read_volume, write_volume
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec, Tiling, WeightsFile
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.segmentation.predict import predict

RESULTS = Path(__file__).parents[1] / "results" / "nnunet_export.json"
NAMES = ("one", "two")

PEER = """
import sys, torch
from nnunetv2.inference import predict_from_raw_data as module
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
trained, image, output, folds = sys.argv[1:]
torch.set_num_threads(2)
importance = module.compute_gaussian
module.compute_gaussian = lambda *args, **options: importance(*args, **options).float()
module.compute_gaussian.cache_clear = importance.cache_clear
torch.half = torch.float32
predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
predictor.initialize_from_trained_model_folder(trained, range(int(folds)))
predictor.predict_from_files_sequential([[image]], [output], save_probabilities=True)
"""

PLAIN = UNetSpec(1, 3, (8, 16, 24), ((3, 3, 3),) * 3, ((1, 1, 1), (2, 2, 2), (2, 2, 2)), (2, 2, 2), (2, 2))
STAGE = StageSpec(
    (16, 32, 24), PLAIN, (Normalization("zscore"),), spacing_mm=(2.5, 0.9, 0.9), orientation=None, crop="nonzero",
    resampling=Resampling(3, 1, antialias=False, keep_extent=True, thick_axis_from=3.0),
    tiling=Tiling(0.5, "spread", "truncated_gaussian"), mirror_axes=(0, 1, 2),
)  # fmt: skip
MODELS: dict[str, tuple[StageSpec, str]] = {
    "plain": (STAGE, "labels"),
    "residual, other axes, RAS, window": (
        replace(
            STAGE,
            network=replace(
                PLAIN, encoder="residual", encoder_blocks=(1, 2, 2), decoder_blocks=(1, 1), norm_epsilon=1e-4,
                leak=0.05, kernel_sizes=((1, 3, 3), (3, 3, 3), (3, 3, 3)), strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
                stem_features=6, bottleneck_features=(4, 8, 8),
            ),
            axes=(1, 0, 2),
            orientation="RAS",
            normalizations=(Normalization("window", low=-150, high=250, mean=20, std=60),),
            mirror_axes=(1,),
        ),
        "labels",
    ),
    "planes, batch norm": (
        replace(
            STAGE,
            network=UNetSpec(
                1, 3, (8, 16), ((3, 3), (3, 3)), ((1, 1), (2, 2)), (2, 2), (2,), norm="batch",
            ),
            patch_shape=(1, 32, 32),
            spacing_mm=(None, 0.8, 0.8),
            mirror_axes=(1, 2),
        ),
        "labels",
    ),
    "regions, two folds": (
        replace(
            STAGE,
            network=replace(PLAIN, out_channels=2),
            weights=(WeightsFile("weights.safetensors"), WeightsFile("weights-2.safetensors")),
        ),
        "regions",
    ),
}  # fmt: skip


def main() -> None:
    """Export, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="Python of an environment with nnunetv2")
    parser.add_argument("--only", default=tuple(MODELS), nargs="+", choices=MODELS)
    peer, only = parser.parse_args().peer, parser.parse_args().only
    with tempfile.TemporaryDirectory() as work:
        image = Path(work) / "case_0000.nii.gz"
        write_volume(_volume(), image)
        rows = []
        for n, name in enumerate(only):
            rows.append(_compare(Path(work) / str(n), name, image, peer))
            print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")


def _volume() -> Volume:
    """Smooth noise in CT numbers with a rim of zeros, oblique, slices of 3.3 mm."""
    noise = np.random.default_rng(5).normal(size=(5, 9, 8))
    voxels = np.zeros((16, 50, 44), np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(noise)[None, None], size=(12, 40, 36), mode="trilinear")
    voxels[2:14, 4:44, 3:39] = 120 * smooth[0, 0].numpy()
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (turn @ np.diag([-0.8, -0.8, 3.3]))[:, ::-1]
    affine[:3, 3] = (30, -20, 10)
    return Volume(np.rint(voxels)[None].astype(np.int16), Geometry(voxels.shape, affine))


def _compare(work: Path, name: str, image: Path, peer: str) -> dict[str, Any]:
    stage, output = MODELS[name]
    spec = _written(stage, output, work / "ours")
    trained = export_nnunet(work / "ours", work / "theirs")
    folders = {key: str(work) for key in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    command = [peer, "-c", PEER, str(trained), str(image), str(work / "theirs.out"), str(len(stage.weights))]
    done = subprocess.run(command, check=False, env=os.environ | folders, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: nnU-Net failed\n{done.stderr[-3000:]}")
    settings = PredictSettings(mirror=True, probabilities=NAMES)
    prediction = predict(read_volume(image), spec, load_model(work / "ours", "cpu").networks, settings=settings)
    expected = read_volume(work / "theirs.out.nii.gz").voxels[0]
    got = _flattened(prediction.label_map, spec)
    probabilities = np.load(work / "theirs.out.npz")["probabilities"][-len(NAMES) :]
    maps = [prediction.probabilities[each] for each in NAMES]
    turned = [each.oriented(stage.orientation or each.geometry.orientation).voxels[0] for each in maps]
    apart = [np.abs(ours - theirs).max() for ours, theirs in zip(turned, probabilities, strict=True)]
    return {
        "model": name,
        "voxels": int(expected.size),
        "foreground": round(float((expected > 0).mean()), 3),
        "voxels_that_differ": int((got != expected).sum()),
        "largest_difference_of_probabilities": float(f"{max(apart):.2g}"),
    }


def _written(stage: StageSpec, output: str, folder: Path) -> ModelSpec:
    """A model with random weights, whose classes all occur."""
    spec = ModelSpec(
        name="export-check", version="1", description="Random weights.", license="CC0-1.0",
        channels=(Channel("CT", "CT"),), segments=tuple(Segment(name, n + 1) for n, name in enumerate(NAMES)),
        parts=(Part(NAMES, (stage,)),), output=output,
    )  # fmt: skip
    return write_model(folder, spec, iter([_random(stage.network, n) for n in range(len(stage.weights))]), card="")


def _random(network: Any, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    torch.manual_seed(seed)
    state = UNet(network).state_dict()
    for name, tensor in state.items():
        if name.endswith("head.weight"):
            tensor.mul_(4)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return {name: tensor.numpy() for name, tensor in state.items()}


def _flattened(labels: Any, spec: ModelSpec) -> np.ndarray[Any, Any]:
    """One layer: later regions over earlier ones."""
    flat = np.zeros(labels.geometry.shape, np.uint16)
    for segment in labels.segments:
        flat[labels.mask(segment)] = segment.value
    return flat


if __name__ == "__main__":
    main()
