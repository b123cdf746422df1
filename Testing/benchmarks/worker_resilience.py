"""Cancels and kills at random moments of a run: how long the answer takes, whether the next job works, what is left.

    python Testing/benchmarks/worker_resilience.py .cache/colin27/ch2.nii.gz
        --json Testing/benchmarks/results/worker_resilience.json

A job of the bundled model on the volume is begun --repeats times and cancelled, and as many times its process gets
SIGKILL, at moments drawn evenly from the length of an undisturbed run, the start of the process included. After each, a
small job must work; at the end the whole run must give the same labels as before, and nothing may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import time
from pathlib import Path

import numpy as np

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.hosts.worker.jobs_and_events import Died, Finished, MeasureJob, SegmentJob, Stopped

POLL_S = 0.05  # as often as the panel asks


def main() -> None:
    """Run everything and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench = Bench(SegmentJob(read_volume(options.volume)))
    results = {"machine": f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}"}
    results |= bench.measure(options.repeats, np.random.default_rng(options.seed))
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


class Bench:
    """A client whose calls are timed, and one job."""

    def __init__(self, job: SegmentJob) -> None:
        self.job = job
        self.client = WorkerClient()
        self.calls: list[float] = []
        self.events: list[object] = []
        geometry = Geometry.from_spacing((4, 5, 6), (1, 1, 1))
        labels = LabelMap(np.ones((1, 4, 5, 6), np.uint8), geometry, (Segment("all", 1),))
        self.small = MeasureJob(Volume(np.zeros((1, 4, 5, 6), np.float32), geometry), labels)

    def measure(self, repeats: int, rng: np.random.Generator) -> dict[str, object]:
        """Two undisturbed runs, the disturbed ones, another undisturbed one."""
        cold, _ = self.run(self.job)
        warm, before = self.run(self.job)
        results = {
            "run": {"first [s]": round(cold, 2), "warm [s]": round(warm, 2)},
            "cancel": self.disturb(self.client.cancel, Stopped, rng.uniform(0, warm, repeats)),
            "kill": self.disturb(self.kill, Died, rng.uniform(0, warm, repeats)),
        }
        _, after = self.run(self.job)
        same = np.array_equal(before.label_map.layers, after.label_map.layers)
        self.client.close()
        return results | {
            "same labels as before": bool(same),
            "longest call of the client [ms]": round(1000 * max(self.calls), 1),
            "left": left_behind(),
        }

    def disturb(self, how: object, expected: type, moments: np.ndarray) -> dict[str, object]:
        """Do something at these moments of a run; seconds until the job's end is told."""
        answers, late, kept, done = [], 0, 0, 0
        for moment in moments:
            worker = self.client.process_id
            self.begin(self.job)
            self.wait(moment)
            begun = time.perf_counter()
            if self.client.busy:
                how()
                self.wait()
                done += isinstance(self.events[-1], Finished)
                answers += [time.perf_counter() - begun] * isinstance(self.events[-1], expected)
                kept += self.client.process_id == worker and worker is not None
            else:
                late += 1
            self.run(self.small)
        return {
            "repeats": len(moments),
            "run was over before": late,
            f"answered with {expected.__name__}": len(answers),
            "done all the same, by another process": done,
            "process kept": kept,
            "median answer [s]": round(statistics.median(answers), 3),
            "90th percentile [s]": round(float(np.percentile(answers, 90)), 3),
            "longest [s]": round(max(answers), 3),
            "next job worked": len(moments),
        }

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer gives it."""
        os.kill(self.client.process_id, signal.SIGKILL)

    def run(self, job: object) -> tuple[float, object]:
        """A job that must work: its seconds and its result."""
        begun = time.perf_counter()
        self.begin(job)
        self.wait()
        end = self.events[-1]
        if not isinstance(end, Finished):
            raise TypeError(f"{type(job).__name__} ended with {end}")
        return time.perf_counter() - begun, end.result

    def begin(self, job: object) -> None:
        """Submit a job."""
        self.events = []
        self.timed(self.client.submit, job)

    def wait(self, seconds: float = float("inf")) -> None:
        """Ask for news until the job ends or the time is over."""
        until = time.perf_counter() + seconds
        while self.client.busy and time.perf_counter() < until:
            self.events += self.timed(self.client.poll)
            time.sleep(min(POLL_S, max(0.0, until - time.perf_counter())) if self.client.busy else 0)

    def timed(self, call: object, *arguments: object) -> object:
        """Call, and note how long the owner was held up."""
        begun = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.calls.append(time.perf_counter() - begun)


def left_behind() -> list[str]:
    """Files and processes of this benchmark that are still there."""
    folders = [str(path) for root in ("/dev/shm", "/tmp") for path in Path(root).glob(f"deepsegment-*-{os.getpid()}-*")]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return folders + (children.read_text().split() if children.exists() else [])


if __name__ == "__main__":
    main()
