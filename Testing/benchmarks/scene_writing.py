"""Writing results into a real MRML scene: time of 30 labels, and memory over many runs.

python Testing/benchmarks/scene_writing.py --json Testing/benchmarks/results/scene_writing.json
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing"), str(REPOSITORY / "Testing" / "slicer")]

from host.headless import make_application
from nodes import add_volume

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, make_editor, take_back, write_label_map


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(400, 512, 512), metavar=("K", "J", "I"))
    parser.add_argument("--labels", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=100, help="small writes whose memory is watched")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {
        "shape": list(options.shape),
        "labels": options.labels,
        "new segmentation [s]": _large(options),
        "memory over runs": _memory(options.runs),
    }
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def _labels(shape, count):
    """Slabs along j, one a label, in a ball."""
    k, j, i = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    inside = k[:, None, None] ** 2 + j[None, :, None] ** 2 + i[None, None, :] ** 2 < 0.8
    stripes = (1 + np.arange(shape[1]) * count // shape[1]).astype(np.uint8)
    return np.where(inside, stripes[None, :, None], np.uint8(0))[None]


def _large(options):
    geometry = Geometry.from_spacing(options.shape, (0.8, 0.7, 0.7))
    segments = tuple(Segment(f"structure {n}", n) for n in range(1, options.labels + 1))
    label_map = LabelMap(_labels(options.shape, options.labels), geometry, segments)
    scene = make_application().scene
    volume = add_volume(scene, geometry, np.zeros(options.shape, np.int16))
    seconds = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        written = write_label_map(scene, label_map, volume)
        seconds.append(time.perf_counter() - began)
        scene.RemoveNode(written.node)
        del written  # Slicer's clearing of each shared label takes seconds, and is not ours
    return {"median": round(statistics.median(seconds), 3), "longest": round(max(seconds), 3)}


def _memory(runs):
    """Resident memory while a result is written and taken back again and again."""
    geometry = Geometry.from_spacing((64, 128, 128), (1, 1, 1))
    segments = tuple(Segment(f"structure {n}", n) for n in range(1, 11))
    label_map = LabelMap(_labels(geometry.shape, 10), geometry, segments)
    other = LabelMap(np.roll(label_map.layers, 5, axis=1), geometry, segments)
    scene = make_application().scene
    volume = add_volume(scene, geometry, np.zeros(geometry.shape, np.int16))
    target, editor = write_label_map(scene, label_map, volume).node, make_editor(scene)
    process, used = psutil.Process(), []
    for _ in range(runs):
        written = write_label_map(scene, other, volume, policy=MergePolicy.UPDATE, target=target, editor=editor)
        take_back(scene, written, editor)
        scene.RemoveNode(write_label_map(scene, label_map, volume).node)
        used.append(process.memory_info().rss / 1e6)
    return {"after 10 runs [MB]": round(used[9]), f"after {runs} runs [MB]": round(used[-1])}


if __name__ == "__main__":
    main()
