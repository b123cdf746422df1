"""Whole segmentations by this library, by nnU-Net's own predictor and by MONAI's sliding window: time, memory, labels.

    python Testing/benchmarks/engine/compare.py --peer PYTHON --work FOLDER [--case NAME ...] [--repeats 3]
    python Testing/benchmarks/engine/compare.py --work FOLDER --depths
    python Testing/benchmarks/engine/compare.py --work FOLDER --linear
    python Testing/benchmarks/engine/compare.py --work FOLDER --short [--peer PYTHON]

PYTHON is that of an environment with `pip install nnunetv2 monai`; models and volumes are made in WORK and kept there.
All engines run the same weights on the same file, in turns, each time as a process of its own, with file to file
counted. `--ours NAME=OPTIONS` adds a row of this library with further options of its command. What is in the JSON is
not measured again, so that a run that was stopped goes on; `--again` does.

`--depths` takes the memory of this library by the depth of the volume, `--linear` its time by the size. `--short` only
checks in seconds that labels agree, with MONAI of this environment where no other is given.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path[:0] = [str(HERE), str(REPOSITORY)]
from cases import DEFAULT, DEPTHS, LINEAR, SHORT, Case, case_of
from engines import PEERS, Engine, chosen_engines, make
from machine import commit, machine, measured_ceilings, own_versions, peer_versions
from measure import run
from report import page

RESULTS = HERE.parent / "results" / "engine.json"
PAGE = REPOSITORY / "docs" / "benchmarks" / "engine.md"
# Sums in another order, and in float16 by nnU-Net, move some borders by a voxel.
_MOST_THAT_DIFFER = 0.005


def once(case: Case, engine: Engine, work: Path, most_bytes: int) -> dict[str, Any]:
    """One run as it is kept in the JSON."""
    make(case, work, export=not engine.is_ours)
    for path in (engine.output(case, work), engine.told(case, work)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    words, environment = engine.started(case, work)
    before = {"load": [round(each, 2) for each in os.getloadavg()], "commit": commit()}
    measured = run(words, environment, engine.told(case, work).with_suffix(".log"), most_bytes)
    found = {"engine": engine.name, "ours": engine.is_ours, **before, **asdict(measured)}
    if not measured.failure:
        steps, further = engine.seconds(case, work, measured.wall_seconds)
        found["wall_seconds"] = round(measured.wall_seconds - further.get("not_counted", 0.0), 3)
        found |= {"seconds": steps, **further}
    return found


def agreements(case: Case, engines: list[Engine], work: Path) -> list[dict[str, Any]]:
    """Of the labels that lie in the folder: the first engine with each of the others, and the peers with each other."""
    there = [engine for engine in engines if engine.output(case, work).is_file()]
    peers = [engine for engine in there if not engine.is_ours]
    pairs = [(group[0], other) for group in (there, peers) for other in group[1:]]
    distinct = {(a.name, b.name): (a, b) for a, b in pairs}
    return [
        {"engines": list(names), **agreement(a.output(case, work), b.output(case, work), case.classes)}
        for names, (a, b) in distinct.items()
    ]


def agreement(first: Path, second: Path, classes: int) -> dict[str, Any]:
    """Of two labelmaps, in a process of its own: what this one takes would count as theirs that it starts."""
    words = [sys.executable, str(HERE / "agreement.py"), str(first), str(second), str(classes)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Results:
    """The JSON, written after each run."""

    def __init__(self, path: Path | None, *, again: bool) -> None:
        self._path = path
        self.content: dict[str, Any] = {"machine": machine(), "versions": {}, "ceilings": None, "cases": {}}
        if path is not None and path.is_file():
            found = json.loads(path.read_text())
            if found["machine"]["processor"] == self.content["machine"]["processor"]:
                self.content = found | {"machine": self.content["machine"]}
            elif not again:
                raise SystemExit(f"{path} is of another machine; give --json another file, or --again to replace it")

    def case(self, case: Case, *, again: bool) -> dict[str, Any]:
        """What there is of a case."""
        if again:
            self.content["cases"].pop(case.name, None)
        empty = {"case": asdict(case), "runs": [], "agreement": []}
        found: dict[str, Any] = self.content["cases"].setdefault(case.name, empty)
        return found

    def save(self) -> None:
        """Write it, unless it goes nowhere."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".part")
            fresh.write_text(json.dumps(self.content, indent=1) + "\n")
            fresh.replace(self._path)


def is_done(runs: list[dict[str, Any]], engine: Engine, turn: int) -> bool:
    """Whether an engine has had its turn, or failed before."""
    own = [each for each in runs if each["engine"] == engine.name]
    return len(own) > turn or any(each["failure"] for each in own)


def compare(case: Case, engines: list[Engine], options: argparse.Namespace, results: Results) -> None:
    """All runs of a case that are missing, in turns."""
    kept = results.case(case, again=options.again)
    fresh = False
    for turn in range(options.repeats):
        for engine in engines:
            if not is_done(kept["runs"], engine, turn):
                kept["runs"].append(once(case, engine, options.work, options.most_bytes))
                fresh = True
                results.save()
                print(case.name, json.dumps(kept["runs"][-1]), flush=True)
    if fresh:
        kept["agreement"] = agreements(case, engines, options.work)
        print(case.name, json.dumps(kept["agreement"]), flush=True)
        results.save()


def failures(results: Results, names: list[str]) -> list[str]:
    """What of the short check is not as it shall be."""
    found = []
    for name in names:
        kept = results.content["cases"][name]
        found += [f"{name}: {each['engine']}: {each['failure']}" for each in kept["runs"] if each["failure"]]
        for each in kept["agreement"]:
            if each["differ"] > _MOST_THAT_DIFFER or each["classes_there"] < kept["case"]["classes"]:
                found.append(f"{name}: labels do not agree: {each}")
    return found


def parsed() -> argparse.Namespace:
    """The options, with what follows from each other filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="Python of an environment with nnunetv2 and monai")
    parser.add_argument("--work", type=Path, required=True, help="folder for models, volumes and labels")
    parser.add_argument("--case", nargs="+", metavar="NAME", help=f"such as {DEFAULT[1]} (default: all of the page)")
    parser.add_argument("--engines", nargs="+", choices=("ours", *PEERS), help="default: ours nnunet monai")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=OPTIONS", help="a further row of ours")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="measure also what the JSON has")
    parser.add_argument("--most-memory", type=float, metavar="GIB", help="end what takes more (default: 95 %% of free)")
    parser.add_argument("--json", type=Path, help=f"default: {RESULTS.relative_to(REPOSITORY)}; none for --short")
    parser.add_argument("--markdown", type=Path, help=f"default: {PAGE.relative_to(REPOSITORY)}; likewise")
    modes = parser.add_mutually_exclusive_group()
    for mode, told in (
        ("--depths", "memory by depth"),
        ("--linear", "time by size"),
        ("--short", "only check that labels agree"),
    ):
        modes.add_argument(mode, action="store_true", help=told)
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.most_bytes = int((options.most_memory or 0) * 2**30) or int(0.95 * psutil.virtual_memory().available)
    if options.short:
        options.case, options.repeats = options.case or [SHORT], 1
        options.engines = options.engines or ["ours", *(["nnunet"] if options.peer else []), "monai"]
        options.peer = options.peer or sys.executable
    elif options.json is None:
        options.json = RESULTS
    if not options.short and options.markdown is None and options.json == RESULTS:
        options.markdown = PAGE
    alone = ["ours"] if options.depths or options.linear else ["ours", "nnunet", "monai"]
    options.engines = options.engines or alone
    options.case = options.case or [*(DEPTHS if options.depths else LINEAR if options.linear else DEFAULT)]
    return options


def main() -> None:
    """Compare, write, and where it is only checked, say what is wrong."""
    options = parsed()
    engines = chosen_engines(options.engines, options.ours, options.peer)
    results = Results(options.json, again=options.again)
    results.content["versions"]["ours"] = own_versions()
    if any(not engine.is_ours for engine in engines):
        results.content["versions"]["peers"] = peer_versions(options.peer)
    if not options.short and (options.again or not results.content["ceilings"]):
        results.content["ceilings"] = measured_ceilings()
        print(json.dumps(results.content["ceilings"]), flush=True)
    for name in options.case:
        compare(case_of(name), engines, options, results)
    if options.markdown is not None:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(page(results.content), encoding="utf-8")
    if options.short and (found := failures(results, options.case)):
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
