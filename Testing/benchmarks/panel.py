"""The panel under load, in the test host: how long the event loop waits, cancels and kills at random moments.

    python Testing/benchmarks/panel.py .cache/colin27/ch2.nii.gz --json Testing/benchmarks/results/panel.json

For each of --repeats runs of the bundled model on the volume: Cancel is clicked, or the worker gets SIGKILL, at a
random moment; then the scene must be as it was. At the end a run must succeed.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

from host.application import BlockProbe, start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench = Bench(options.volume)
    results = {
        "segment": bench.segment(),
        "cancel": bench.disturb(options.repeats, options.seed, bench.cancel),
        "kill": bench.disturb(options.repeats, options.seed + 1, bench.kill),
    }
    results["segment after all that"] = bench.segment()
    bench.widget.cleanup()
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


class Bench:
    """The module in the host, with one volume."""

    def __init__(self, volume):
        self.host = start()
        self.widget, _panel = self.host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
        self.panel = self.widget.panel
        self.node = self.host.application.logics["Volumes"].AddArchetypeVolume(str(volume), "head", 0)
        self.panel.ui.volumeSelector.setCurrentNode(self.node)
        self.host.process_events()

    def segment(self):
        """One run, undone again; where the event loop waited."""
        began = time.perf_counter()
        with BlockProbe() as probe:
            self.host.process_events(0.05)
            self.host.click(self.panel.ui.segmentButton)
            self.host.wait_until(lambda: not self.panel.jobs.busy, 600)
            running = len(probe.gaps_ms)  # the turn that takes the result has not ended yet
            self.host.process_events(0.3)
            gaps, shown = probe.gaps_ms[:running], probe.gaps_ms[running:]
        seconds = time.perf_counter() - began
        text = self.panel.ui.statusLabel.text
        if not text.startswith("15 segments"):
            raise RuntimeError(text)
        self.panel.undo()
        return {
            "seconds": round(seconds, 2),
            "longest wait of the event loop [ms]": round(max(gaps), 1),
            "its 99th percentile [ms]": round(float(np.percentile(gaps, 99)), 1),
            "longest wait while the result is written and shown [ms]": round(max(shown), 1),
        }

    def disturb(self, repeats, seed, how):
        """Many runs with something at a random moment; seconds until the panel is idle again."""
        rng = np.random.default_rng(seed)
        seconds, unchanged, late = [], 0, 0
        for _ in range(repeats):
            before = self._nodes()
            self.host.click(self.panel.ui.segmentButton)
            self.host.process_events(float(rng.uniform(0.0, 4.0)))
            if not self.panel.jobs.busy:
                late += 1
                self.panel.undo()
            else:
                began = time.perf_counter()
                how()
                self.host.wait_until(lambda: not self.panel.jobs.busy, 30)
                seconds.append(time.perf_counter() - began)
                unchanged += self._nodes() == before
        return {
            "disturbed": repeats - late,
            "over before": late,
            "median [s]": round(statistics.median(seconds), 3),
            "longest [s]": round(max(seconds), 3),
            "scene unchanged": unchanged,
        }

    def cancel(self):
        """Click Cancel."""
        self.panel.segmentOrCancel()

    def kill(self):
        """Kill the worker."""
        process = self.panel.jobs.processID
        if process is not None:
            os.kill(process, signal.SIGKILL)

    def _nodes(self):
        scene = self.host.application.scene
        return [scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())]


if __name__ == "__main__":
    main()
