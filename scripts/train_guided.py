"""Train the network that guides corrections.

    python scripts/train_guided.py LABEL_MAPS --checkpoint STATE.pt --iterations 20000 --output FOLDER
    python scripts/train_guided.py LABEL_MAPS --checkpoint STATE.pt --iterations 40000 --resume

LABEL_MAPS is a folder of label maps to cut structures from (the published one was trained with those of SynthSeg);
intensities are drawn from chance. `--segmented IMAGE LABELS` adds structures of a real volume, a quarter of all. The
state is written every hundred steps; `--resume` goes on from it, also with more iterations. `--output` writes the model
folder when the last iteration is done.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, read_volume
from DeepSegmentLib.imaging.resampling import resample
from DeepSegmentLib.networks.unet import UNet
from DeepSegmentLib.service.guiding import save_guide
from DeepSegmentLib.training.fit import TrainSettings, fit
from DeepSegmentLib.training.guided import GuidedSource, guide_network, guided_loss
from DeepSegmentLib.training.scenes import cut_scene, draw_scene

if TYPE_CHECKING:
    from numpy.random import Generator

    from DeepSegmentLib.data import LabelMap, Volume
    from DeepSegmentLib.training.fit import StepFinished
    from DeepSegmentLib.training.scenes import Scene

SEGMENTED_SHARE = 0.25
"""Part of the scenes that come from segmented volumes, where there are any."""


class Scenes:
    """Where scenes come from: a function of a random generator that can be sent to another process."""

    def __init__(self, label_maps: list[np.ndarray], segmented: list[tuple[Volume, LabelMap]]) -> None:
        self._label_maps, self._segmented = label_maps, segmented

    def __call__(self, rng: Generator) -> Scene:
        """A new scene."""
        if self._segmented and rng.random() < SEGMENTED_SHARE:
            return cut_scene(*self._segmented[rng.integers(len(self._segmented))], rng)
        return draw_scene(self._label_maps, rng)


def read_label_maps(folder: Path) -> list[np.ndarray]:
    """All label maps of a folder, without the empty space around them."""
    paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(VOLUME_SUFFIXES))
    layers = [read_labelmap(path).layers[0] for path in paths]
    return [
        np.ascontiguousarray(layer[ndimage.find_objects((layer > 0).astype(np.uint8))[0]], dtype=np.int16)
        for layer in layers
    ]


def read_segmented(image: Path, labels: Path) -> tuple[Volume, LabelMap]:
    """A volume on the grid of its labels."""
    label_map, volume = read_labelmap(labels), read_volume(image)
    aligned = volume if volume.geometry.is_close(label_map.geometry) else resample(volume, label_map.geometry)
    return aligned, label_map


class Report:
    """Prints the mean loss of every 50 steps, and how long they took."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._begun = time.monotonic()

    def __call__(self, step: StepFinished) -> None:
        """Count a step."""
        self._losses.append(step.loss)
        if step.iteration % 50 == 0:
            seconds = (time.monotonic() - self._begun) / len(self._losses)
            print(f"step {step.iteration}: loss {np.mean(self._losses):.4f}, {seconds:.2f} s a step", flush=True)
            self._losses, self._begun = [], time.monotonic()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("label_maps", type=Path, help="folder of label maps")
    parser.add_argument("--segmented", nargs=2, type=Path, action="append", default=[], metavar=("IMAGE", "LABELS"))
    parser.add_argument("--checkpoint", type=Path, default=Path(".cache/guided.pt"))
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--output", type=Path, help="model folder to write")
    options = parser.parse_args()
    if options.checkpoint.exists() and not options.resume:
        parser.error(f"{options.checkpoint} exists; give --resume to go on from it, or another --checkpoint")
    options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scenes = Scenes(read_label_maps(options.label_maps), [read_segmented(*pair) for pair in options.segmented])
    schedule = TrainSettings(iterations=options.iterations, batch_size=8, learning_rate=2e-3)
    network = UNet(guide_network())
    trained = fit(network, GuidedSource(scenes, 0), schedule, options.checkpoint, Report(), loss=guided_loss)
    if options.output:
        save_guide(options.output, trained, {"steps": str(options.iterations), "label maps": options.label_maps.name})
    return 0


if __name__ == "__main__":
    sys.exit(main())
