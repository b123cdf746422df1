"""A command as a process of its own: how long it took, and the memory of it and of all processes that it started."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EVERY_SECONDS = 0.1
_SHOWN = 200


@dataclass(frozen=True)
class Measured:
    """What a process took.

    Attributes:
        wall_seconds: From its start to its end.
        cpu_seconds: Of all processors, of it and of those it waited for.
        others_seconds: Of all processors in that time, of all other processes.
        peak_bytes: Of all its processes together, at most: resident memory that is a process's own, and once the
            largest part that is shared. Looked at ten times a second; proportional shares would take too long to ask.
        maxrss_bytes: Largest resident memory of any one of its processes, as the system keeps it.
        processes: At most, at once.
        failure: Why it did not end well, as the last line that it printed says; empty where it did.
    """

    wall_seconds: float
    cpu_seconds: float
    others_seconds: float
    peak_bytes: int
    maxrss_bytes: int
    processes: int
    failure: str


def run(command: Sequence[str], environment: Mapping[str, str], log: Path, most_bytes: int) -> Measured:
    """Run a command to its end, or until it takes more memory than it may.

    Args:
        command: Program and arguments.
        environment: All of it.
        log: File for what the command prints.
        most_bytes: At which it is ended, so that the machine does not come to a stop.
    """
    peak, processes, failure = 0, 0, ""
    with log.open("wb") as printed:
        begun, busy = time.perf_counter(), _busy_seconds()
        child = subprocess.Popen(command, env=dict(environment), stdout=printed, stderr=subprocess.STDOUT)
        tree = psutil.Process(child.pid)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            now, count = _memory(tree)
            peak, processes = max(peak, now), max(processes, count)
            if now > most_bytes and not failure:
                failure = f"out of memory: took {now / 2**30:.1f} GiB, and there were {most_bytes / 2**30:.1f}"
                _end(tree)
            time.sleep(_EVERY_SECONDS)
        wall, busy = time.perf_counter() - begun, _busy_seconds() - busy
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode and not failure:
        lines = log.read_text(errors="replace").strip().splitlines() or [""]
        failure = f"exit code {child.returncode}: {lines[-1][:_SHOWN]}"
    own = usage.ru_utime + usage.ru_stime
    return Measured(
        round(wall, 3), round(own, 3), round(max(0.0, busy - own), 3), max(peak, usage.ru_maxrss << 10),
        usage.ru_maxrss << 10, processes, failure,
    )  # fmt: skip


def _busy_seconds() -> float:
    """Of all processors, since the machine started; time that a host took away is busy, too."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))


def _memory(tree: psutil.Process) -> tuple[int, int]:
    """Memory of a process and its descendants, and how many there are."""
    own, shared, count = 0, 0, 0
    for process in _all(tree):
        try:
            memory = process.memory_info()
        except psutil.Error:
            continue
        own += memory.rss - memory.shared
        shared = max(shared, memory.shared)
        count += 1
    return own + shared, count


def _all(tree: psutil.Process) -> list[psutil.Process]:
    try:
        return [tree, *tree.children(recursive=True)]
    except psutil.Error:
        return []


def _end(tree: psutil.Process) -> None:
    for process in reversed(_all(tree)):
        try:
            process.kill()
        except psutil.Error:
            continue
