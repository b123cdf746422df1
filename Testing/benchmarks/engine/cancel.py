"""Stops at random moments of a run: how long until it ended, and what is left in memory and on disk.

    python Testing/benchmarks/engine/make.py --case plain-192-40 --work FOLDER
    python Testing/benchmarks/engine/cancel.py --case plain-192-40 --work FOLDER
        --json Testing/benchmarks/results/cancel.json

Three doors, each stopped --repeats times at moments drawn evenly from the length of an undisturbed run: the command by
Ctrl-C and by SIGTERM in turn, from its first moment on; the worker by the owner's cancel; the function `segment` by a
callback that raises, and by Ctrl-C, in turn. --precision float32 is torch or OpenVINO, whichever is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "Testing" / "benchmarks" / "engine"), str(ROOT)]
from cases import case_of

from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.hosts.torch_environment import prepare_for_torch
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.hosts.worker.jobs_and_events import Finished, SegmentJob, Stopped
from DeepSegmentLib.segmentation.outputs import PredictSettings

POLL_S = 0.05  # as often as the panel asks
FREED_S = 1.0  # how long after the end memory is looked at


def main() -> None:
    """Run everything and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="plain-192-40")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--doors", nargs="+", default=["command", "worker", "function"])
    parser.add_argument("--precision", default="checked")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prepare_for_torch()
    results: dict[str, Any] = {
        "machine": f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "case": options.case,
        "precision": options.precision,
    }
    doors = {"command": Command, "worker": Worker, "function": Function}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder  # the choice of what computes is made anew
        for name in options.doors:
            door = doors[name](options)
            try:
                results[name] = measured(door, options.repeats, np.random.default_rng(options.seed))
            finally:
                door.close()
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measured(door: Any, repeats: int, rng: np.random.Generator) -> dict[str, Any]:
    """An undisturbed run after a first one, and the disturbed ones."""
    first, usual = door.run(), door.run()
    answers: dict[str, list[float]] = {}
    slow, late = [], 0
    for n, moment in enumerate(sorted(rng.uniform(0, usual, repeats))):
        way = door.ways[n % len(door.ways)]
        seconds = door.stopped(way, float(moment))
        if seconds is None:
            late += 1
            continue
        answers.setdefault(way, []).append(seconds)
        if seconds > 1:
            slow.append(f"{way} at {moment:.2f} s: {seconds:.2f} s, {door.at}")
    return {
        "run": {"first [s]": round(first, 2), "after that [s]": round(usual, 2)},
        "stopped by": {
            way: {
                "times": len(each),
                "median [s]": round(statistics.median(each), 3),
                "longest [s]": round(max(each), 3),
            }
            for way, each in answers.items()
        },
        "longer than 1 s": slow,
        "was over before": late,
        "left": door.left(),
    }


class Command:
    """`deepsegment segment`, a process for each run."""

    ways = ("SIGINT", "SIGTERM")

    def __init__(self, options: argparse.Namespace) -> None:
        case = case_of(options.case)
        self.folder = tempfile.TemporaryDirectory()
        self.target = Path(self.folder.name) / "out.seg.nrrd"
        inputs = [
            str(case.volume_file(options.work)),
            str(self.target),
            "--model",
            str(case.model_folder(options.work)),
        ]
        rest = ["--device", "cpu", "--precision", options.precision, "--quiet", "--replace"]
        self.call = [sys.executable, "-m", "DeepSegmentLib.hosts.command.main", "segment", *inputs, *rest]
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.files: set[str] = set()
        self.codes: dict[int, int] = {}
        self.at = ""

    def run(self) -> float:
        """Seconds of an undisturbed run."""
        begun = time.perf_counter()
        subprocess.run(self.call, check=True, env=self.environment)
        self.target.unlink()
        return time.perf_counter() - begun

    def stopped(self, way: str, moment: float) -> float | None:
        """Seconds from the signal to the end of the process; None where it was over before."""
        with subprocess.Popen(self.call, env=self.environment, stderr=subprocess.PIPE) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
                return None
            begun = time.perf_counter()
            process.send_signal(getattr(signal, way))
            code = process.wait()
            seconds = time.perf_counter() - begun
            self.at = (process.stderr.read() if process.stderr else b"").decode().strip()[:200]
        self.codes[code] = self.codes.get(code, 0) + 1
        self.files |= {path.name for path in self.target.parent.iterdir()}
        return seconds

    def left(self) -> dict[str, Any]:
        """Files that are there though no run ended, and how often processes ended with which code."""
        return {"files": sorted(self.files), "exit codes": self.codes}

    def close(self) -> None:
        """Remove what was written."""
        self.folder.cleanup()


class Worker:
    """The panel's worker, kept from run to run while it stops by itself."""

    ways = ("cancel",)

    def __init__(self, options: argparse.Namespace) -> None:
        case = case_of(options.case)
        self.volume = read_volume(case.volume_file(options.work))
        self.options, self.model = options, str(case.model_folder(options.work))
        self.client, self.overlap, self.kept = WorkerClient(), 0.5, [0, 0]
        self.grown: list[int] = []
        self.idle = 0
        self.at = ""

    def _job(self) -> SegmentJob:
        self.overlap += 1e-6  # another question than the one before, whose answer is kept
        settings = PredictSettings(overlap=self.overlap)
        precision = self.options.precision
        return SegmentJob(self.volume, self.model, device="cpu", settings=settings, precision=precision)

    def run(self) -> float:
        """Seconds of an undisturbed run."""
        begun = time.perf_counter()
        self.client.submit(self._job())
        if not isinstance(end := self._wait(), Finished):
            raise TypeError(f"the job ended with {end}")
        self.idle = resident_bytes(self.client.process_id)
        return time.perf_counter() - begun

    def stopped(self, way: str, moment: float) -> float | None:
        """Seconds from the wish to the answer; None where it was over before."""
        self.client.submit(self._job())
        worker = self.client.process_id
        self.at = str(self._wait(moment))
        if not self.client.busy:
            return None
        begun = time.perf_counter()
        getattr(self.client, way)()
        if not isinstance(end := self._wait(), Stopped):
            raise TypeError(f"the job ended with {end}")
        seconds = time.perf_counter() - begun
        self.kept[self.client.process_id == worker] += 1
        if self.client.process_id == worker:
            time.sleep(FREED_S)
            self.grown.append(resident_bytes(worker) - self.idle)
        else:
            self.run()  # a warm one for the next
        return seconds

    def _wait(self, seconds: float = float("inf")) -> object:
        """The last event until the job ends or the time is over."""
        until, event = time.perf_counter() + seconds, None
        while self.client.busy and time.perf_counter() < until:
            event = [event, *self.client.poll()][-1]
            time.sleep(POLL_S if self.client.busy else 0)
        return event

    def left(self) -> dict[str, Any]:
        """How often the process stayed, with its model, and how much more memory it then had than after a whole run."""
        return {
            "process kept": self.kept[True],
            "process killed": self.kept[False],
            "more memory than after a whole run [MB]": in_mb(self.grown),
        }

    def close(self) -> None:
        """End it."""
        self.client.close()


class Function:
    """`DeepSegmentLib.segment` in this process."""

    ways = ("callback", "Ctrl-C")

    def __init__(self, options: argparse.Namespace) -> None:
        from DeepSegmentLib.hosts.library.models import load_model

        case = case_of(options.case)
        self.volume = case.volume_file(options.work)
        self.model = load_model(case.model_folder(options.work), device="cpu", precision=options.precision)
        self.idle = 0
        self.grown: list[int] = []
        self.at = ""

    def run(self, progress: Any = None) -> float:
        """Seconds of a run."""
        from DeepSegmentLib.hosts.library.segment import segment

        begun = time.perf_counter()
        segment(self.volume, self.model, progress=progress)
        seconds = time.perf_counter() - begun
        gc.collect()
        self.idle = resident_bytes(os.getpid())
        return seconds

    def stopped(self, way: str, moment: float) -> float | None:
        """Seconds from the wish to the exception; None where it was over before."""
        wish: list[float] = []

        def stop() -> None:
            wish.append(time.perf_counter())
            if way == "Ctrl-C":
                os.kill(os.getpid(), signal.SIGINT)

        def progress(event: object) -> None:
            self.at = str(event)
            if wish and way == "callback":
                raise Cancelled("stopped")

        timer = threading.Timer(moment, stop)
        timer.start()
        seconds = None
        try:
            self.run(progress)
        except (Cancelled, KeyboardInterrupt):
            seconds = time.perf_counter() - wish[0]
        timer.cancel()
        timer.join()
        if seconds is not None:
            time.sleep(FREED_S)
            gc.collect()
            self.grown.append(resident_bytes(os.getpid()) - self.idle)
        return seconds

    def left(self) -> dict[str, Any]:
        """How much more memory the process had than after a whole run."""
        return {"more memory than after a whole run [MB]": in_mb(self.grown)}

    def close(self) -> None:
        """Nothing is to be done."""


def resident_bytes(process: int | None) -> int:
    """What a process has in memory; 0 where that cannot be read."""
    try:
        words = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE")


def in_mb(sizes: list[int]) -> dict[str, int]:
    """Median and largest."""
    if not sizes:
        return {}
    return {"median": round(statistics.median(sizes) / 1e6), "largest": round(max(sizes) / 1e6)}


if __name__ == "__main__":
    main()
