"""Feed children with cases, watch their time, keep what failed."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from .cases import Case
from .door import Door

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = REPOSITORY / ".cache" / "fuzz"
SECONDS = 20.0
"""What a case may take."""

GOOD = ("accepted", "refused")
_START_SECONDS = 180.0
_MOST_KEPT = 40  # failing cases that are kept of each door
_MOST_KEPT_BYTES = 20 << 20


@dataclass
class Tally:
    """What came of the cases of a door.

    Attributes:
        door: Its name.
        counts: Cases by outcome: accepted, refused, or crash, traceback, time, memory, left behind, outside, other
            voxels.
        intact: Outcomes of the intact cases.
        slowest: Seconds and note of the slowest case that was answered.
        largest: Megabytes of resident memory above the intact cases, and note of the case.
        failures: Place, outcome and error of what failed.
    """

    door: str
    counts: Counter[str] = field(default_factory=Counter)
    intact: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")
    failures: list[dict[str, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many cases came to no good end."""
        return sum(count for outcome, count in self.counts.items() if outcome not in GOOD)


class Child:
    """A process that opens the cases of some doors, started again when it has died."""

    def __init__(self, *doors: str) -> None:
        """Start it."""
        self._doors, self._process = doors, None
        self.start()

    def start(self) -> None:
        """Start a fresh process and wait until it has opened the intact cases."""
        self._scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._errors = (self._scratch / "stderr").open("w+b")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(REPOSITORY / "Testing"), str(REPOSITORY))),
            "TMPDIR": str(self._scratch),
            "DEEPSEGMENT_MODELS": str(self._scratch / "models"),
            "XDG_DATA_HOME": str(self._scratch / "data"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.child", *self._doors],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        self.hello = self._answer(_START_SECONDS)
        if "intact" not in self.hello:
            raise RuntimeError(f"the intact cases are not opened: {self.hello}")

    def open(self, door: str, case: Case) -> dict[str, Any]:
        """What came of a case; a child that died or hung is replaced."""
        try:
            self._process.stdin.write(f"{door} {case.to_json()}\n".encode("ascii"))
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._answer(SECONDS)
        if answer["outcome"] in ("crash", "time"):
            self.close()
            self.start()
        return answer

    def close(self) -> None:
        """End the process and remove what it left."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _answer(self, seconds: float) -> dict[str, Any]:
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            return {"outcome": "time", "error": f"no answer in {seconds:.0f} s"}
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return {"outcome": "crash", "error": f"{name}: {self._last_words()}"}

    def _last_words(self) -> str:
        self._errors.seek(0)
        return " | ".join(self._errors.read().decode("utf-8", "replace").split("\n")[:12])[:800]


FLIPS = 5000
"""Bits that are turned over in each format by default."""


def cases_of(door: Door, count: int, seed: int) -> Iterator[Case]:
    """The hostile cases, and then as many changed ones; the same for the same seed."""
    yield from door.hostile()
    seeds = door.seeds()
    for n in range(count):
        yield door.mutate(Random(f"{seed} {door.name} {n}"), seeds)


def fuzz(door: Door, count: int, seed: int, child: Child, *, kept: Path = KEPT) -> Tally:
    """Open all cases of a door in a child that serves it, and count what came of them."""
    tally = Tally(door.name)
    shutil.rmtree(kept / door.name, ignore_errors=True)
    tally.intact.update(found["outcome"] for found in child.hello["intact"][door.name])
    for n, case in enumerate(cases_of(door, count, seed)):
        found = child.open(door.name, case)
        _note(tally, case, found, child.hello["base_mb"])
        if found["outcome"] not in GOOD:
            _keep(tally, case, found, kept / door.name / f"{n}-{found['outcome'].replace(' ', '-')}.case")
    return tally


def _note(tally: Tally, case: Case, found: dict[str, Any], base_mb: int) -> None:
    tally.counts[found["outcome"]] += 1
    tally.slowest = max(tally.slowest, (found.get("seconds", 0.0), case.note))
    tally.largest = max(tally.largest, (found.get("peak_mb", 0) - base_mb, case.note))


def _keep(tally: Tally, case: Case, found: dict[str, Any], path: Path) -> None:
    text = case.to_json()
    place = ""
    if len(tally.failures) < _MOST_KEPT and len(text) < _MOST_KEPT_BYTES:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="ascii")
        place = str(path)
    tally.failures.append({"case": place, "note": case.note, "outcome": found["outcome"], "error": found["error"]})


def replay(path: Path, door: Door) -> dict[str, Any]:
    """What comes of a case that was kept."""
    with closing(Child(door.name)) as child:
        return child.open(door.name, Case.from_json(path.read_text(encoding="ascii")))
