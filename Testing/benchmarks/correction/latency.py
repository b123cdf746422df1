"""How long corrections take in the test host: from the mouse event to the preview, and to the changed labelmap.

    python Testing/benchmarks/correction/latency.py --json Testing/benchmarks/results/correction_latency.json

The Segment Editor is open with the effect DeepSegment: Fix; the mouse moves and clicks over a real slice view at the
surface of a random organ. All organs share one labelmap as large as the volume. What is owed to the editor's undo is
paid later, when the change is on show; that time is given, too.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

import host.application
import slicer
from host.widgets.mouse import Mouse, place_of

from DeepSegmentLib.correction.correct import correct
from DeepSegmentLib.data import Geometry, Segment
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_segments, new_segmentation
from DeepSegmentLib.hosts.mrml.segmentations.segments import Origin

SHAPES = ((128, 128, 128), (160, 256, 256), (400, 512, 512))
RADII = (5, 10, 15, 20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=25, help="corrections for each size and radius")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many of the sizes, the smallest first")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cases = [measure(shape, options.repeats) for shape in SHAPES[: options.shapes]]
    results = {"machine": platform.processor() or platform.machine(), "cases": cases}
    print(json.dumps(results, indent=1))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(shape, repeats):
    """Latencies in one size of volume."""
    running = host.application.start()
    running.clear()
    widget, panel = running.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    running.complete_startup()
    bench = Bench(running, shape)
    found = {f"R {radius} voxels": bench.radius(radius, repeats) for radius in RADII}
    widget.cleanup()
    panel.setMRMLScene(None)
    panel.delete()
    return {"shape": shape, **found}


class Bench:
    """The editor on a phantom of eight organs."""

    def __init__(self, running, shape):
        self._host, self._rng = running, np.random.default_rng(0)
        self._grid = Geometry.from_spacing(shape, (1, 1, 1))
        size = min(shape)
        self._radius = size // 6
        corners = np.array(list(np.ndindex(2, 2, 2)))
        self._centers = (np.asarray(shape) // 4 + corners * np.asarray(shape) // 2).tolist()
        voxels, labels = self._phantom(shape)
        volume = slicer.util.addVolumeFromArray(voxels, ijkToRAS=self._grid.affine[:, [2, 1, 0, 3]])
        node = new_segmentation(slicer.mrmlScene, volume, "organs")
        add_segments(node, labels, self._grid, [Segment(f"organ {n}", n) for n in range(1, 9)], Origin())
        self._node = node
        self._editor = running.open_segment_editor(node, volume)
        self._editor.setActiveEffectByName("DeepSegment Fix")
        self._effect = self._editor.activeEffect().self()
        self._view = running.open_views()["Red"]
        self._mouse = Mouse(running, self._view)

    def _phantom(self, shape):
        voxels = self._rng.integers(-12, 13, shape, dtype=np.int16)
        labels = np.zeros(shape, np.uint8)
        for value, center in enumerate(self._centers, start=1):
            part = tuple(slice(c - self._radius - 1, c + self._radius + 2) for c in center)
            ball = self._ball(part, center)
            voxels[part][ball] += 40 + 10 * value
            labels[part][ball] = value
        return voxels, labels

    def _ball(self, part, center):
        k, j, i = np.ogrid[part]
        return (k - center[0]) ** 2 + (j - center[1]) ** 2 + (i - center[2]) ** 2 <= self._radius**2

    def radius(self, voxels, repeats):
        """Latencies at one edit radius."""
        self._effect.options.setRadius(float(voxels))
        times = [self._correction(voxels) for _ in range(repeats)]
        names = ("preview", "release", "the cut alone", "undo state, later")
        return {name: summary([one[n] for one in times]) for n, name in enumerate(names)}

    def _correction(self, radius):
        """Seconds of a preview, of the release, of the cut in it, and of what follows later; at a random surface."""
        value = int(self._rng.integers(8))
        self._editor.setCurrentSegmentID(f"organ {value + 1}")
        direction = self._rng.normal(size=3)
        reach = self._radius + float(self._rng.uniform(-0.4, 0.4)) * radius
        inside = reach < self._radius
        index = np.round(self._centers[value] + reach * direction / np.linalg.norm(direction)).astype(int)
        ras = self._grid.index_to_ras(index)
        self._view.node.JumpSliceByCentering(*ras)
        self._mouse.hold(control=inside)
        self._mouse.move(*place_of(self._view.node, ras))
        self._host.process_events()
        pointer = self._effect.pointer
        pointer._timer.stop()
        preview = timed(pointer._rested)
        target, prompt = pointer.target(), pointer._prompt()
        cut = timed(lambda: correct(target.canvas(overwrite=False), prompt, self._effect.options.settings))
        self._mouse.press()
        release = timed(lambda: self._view.interactor.InvokeEvent("LeftButtonReleaseEvent"))
        self._host.raise_errors()
        later = timed(pointer._corrector().settle)
        self._mouse.hold()
        return preview, release, cut, later


def timed(action):
    """Seconds on the clock, and of the processor: they differ where other programs run."""
    began = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def summary(times):
    """Percentiles in ms."""
    return {
        f"p{q} [{unit}]": round(1000 * float(np.percentile([one[n] for one in times], q)), 1)
        for n, unit in enumerate(("ms", "ms of processor"))
        for q in (50, 90, 99)
    }


if __name__ == "__main__":
    main()
