"""Accuracy of a model on Colin27, plain and after the file is changed in ways that must not matter.

    python Testing/benchmarks/colin27.py FOLDER [--model brain-mr] [--json FILE]

FOLDER holds ch2.nii.gz, ch2bet.nii.gz and aal.nii.gz (Debian package mricron-data; `make colin27` puts them into
.cache/colin27). The brain is the union of all segments, compared with ch2bet > 0 (largest component, closed by a ball
of 3 mm, holes filled). Fine structures are compared with the regions of the AAL atlas, which is drawn more generously
than anatomy: its numbers compare versions of a model with each other, not with a perfect score.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.evaluation.metrics import dice
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_volume, write_volume
from DeepSegmentLib.imaging.resampling import resample, resample_labels
from DeepSegmentLib.service.segment import SegmentRequest, segment_file

# Values of the AAL atlas (Tzourio-Mazoyer et al., NeuroImage 2002), left and right.
AAL = {
    "Thalamus": (77, 78),
    "Caudate nucleus": (71, 72),
    "Putamen": (73, 74),
    "Globus pallidus": (75, 76),
    "Hippocampus": (37, 38),
    "Amygdala": (41, 42),
    "Cerebellum": tuple(range(91, 117)),
}
CEREBELLUM = ("Cerebellar cortex", "Cerebellar white matter")


def variants(volume: Volume) -> dict[str, Volume]:
    """The same head as other files would hold it."""
    geometry = volume.geometry
    inverted = Volume(volume.voxels.max() - volume.voxels, geometry)
    return {
        "plain": volume,
        "flipped": volume.oriented("LPI"),
        "rotated 90 degrees": volume.oriented("PRS"),
        "oblique 19 degrees": resample(volume, turned(geometry, 19)),
        "1x1x4 mm": resample(volume, geometry.resampled((4, 1, 1))),
        "inverted": inverted,
    }


def turned(geometry: Geometry, degrees: float) -> Geometry:
    """The grid turned about its middle, about the axis (1, 1, 1)."""
    x, y, z = np.ones(3) / np.sqrt(3)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    rotation = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
    middle = geometry.index_to_ras((np.array(geometry.shape) - 1) / 2)
    affine = np.eye(4)
    affine[:3, :3] = rotation @ geometry.affine[:3, :3]
    affine[:3, 3] = middle + rotation @ (geometry.affine[:3, 3] - middle)
    return Geometry(geometry.shape, affine)


def brain_reference(bet: Volume) -> np.ndarray:
    """ch2bet > 0: largest component, closed, holes filled."""
    components, _ = ndimage.label(bet.voxels[0] > 0)
    largest = components == np.bincount(components.ravel())[1:].argmax() + 1
    grid = np.mgrid[-3:4, -3:4, -3:4]
    closed = ndimage.binary_closing(np.pad(largest, 5), (grid**2).sum(0) <= 9)[5:-5, 5:-5, 5:-5]
    return ndimage.binary_fill_holes(closed)


def scores(found: LabelMap, brain: np.ndarray, atlas: np.ndarray) -> dict[str, float]:
    """Dice of the brain and of each fine structure."""
    names = {segment.name for segment in found.segments}
    result = {"Brain": dice(brain, found.layers[0] > 0)}
    for name, values in AAL.items():
        parts = [part for part in (CEREBELLUM if name == "Cerebellum" else (name,)) if part in names]
        if parts:
            mask = np.any([found.mask(found.segment(part)) for part in parts], axis=0)
            result[name] = dice(np.isin(atlas, values), mask)
    return result


def main() -> None:
    """Run every variant through the front door: file in, file out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="brain-mr")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = read_volume(options.folder / "ch2.nii.gz")
    brain = brain_reference(read_volume(options.folder / "ch2bet.nii.gz"))
    atlas = read_volume(options.folder / "aal.nii.gz").voxels[0]
    results = {}
    for name, volume in variants(head).items():
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "head.nii.gz"), Path(folder, "head.seg.nrrd")
            write_volume(volume, source)
            start = time.perf_counter()
            segment_file(SegmentRequest(source, target, model=options.model))
            seconds = time.perf_counter() - start
            found = resample_labels(read_labelmap(target), head.geometry)
        results[name] = scores(found, brain, atlas) | {"seconds": seconds}
        line = "  ".join(f"{key} {value:.3f}" for key, value in results[name].items())
        print(f"{name:20s} {line}", flush=True)
    if options.json:
        document = {"model": options.model, "machine": platform.processor() or platform.machine(), "results": results}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
