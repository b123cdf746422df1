"""SIGKILLs at random moments of a batch with hostile files: what is done, what is done twice, what is left.

    python Testing/benchmarks/batch_resilience.py --json Testing/benchmarks/results/batch_resilience.json

A folder of twelve, three of them hostile (a pipe, a file that is cut off, an NRRD header whose type has 5,000
letters), is segmented by the command with a tiny model of random weights. Each of --repeats times a fresh batch is
begun, and at a moment drawn evenly from the last four fifths of an undisturbed run (Python starts in the first) SIGKILL
goes to the command, to the process that works the cases, or to both. The command is then called again with
--skip-existing until no good case fails. Counted are good cases that are not complete at the end, complete results that
were written again, files that are left, and processes that outlive the command.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from batch_examples import (
    HOSTILE,
    Command,
    child_of,
    complete_results,
    kill,
    leftovers,
    wait_for_end,
    write_cases,
    write_model,
)

SHAPE = (22, 24, 26)
MOST_CALLS = 4


def main() -> None:
    """Run everything and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options.repeats, np.random.default_rng(options.seed))
    machine = f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    print(json.dumps({"machine": machine} | results, indent=2))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine} | results, indent=2) + "\n")


def measure(folder: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """An undisturbed run, and the disturbed ones."""
    names = write_cases(folder / "in", shape=SHAPE)
    command = Command(folder / "in", folder / "out", write_model(folder))
    begun = time.perf_counter()
    code, lines = command.run()
    seconds = time.perf_counter() - begun
    failed = {name: any(name in line and "failed" in line for line in lines.splitlines()) for name in HOSTILE}
    counts: Counter[str] = Counter()
    for whom in rng.permutation(np.resize(["parent", "child", "both"], repeats)):
        hit = False
        while not hit:  # one that came too late is drawn again
            shutil.rmtree(command.target)
            hit, counted = disturb(command, names, str(whom), rng.uniform(0.2 * seconds, seconds))
            counts += counted
        print(dict(counts), file=sys.stderr, flush=True)
    return {
        "undisturbed run": {"seconds": round(seconds, 1), "exit code": code, "hostile cases that failed": failed},
        "repeats": repeats,
        "good cases a repeat": len(names),
        **{key: counts[key] for key in COUNTED},
    }


COUNTED = (
    "SIGKILL to parent",
    "SIGKILL to child",
    "SIGKILL to both",
    "came too late",
    "complete when it came",
    "calls after it",
    "good cases not complete at the end",
    "complete results written again",
    "files left at the end",
    "workers that outlived the command",
)


def disturb(command: Command, names: list[str], whom: str, moment: float) -> tuple[bool, Counter[str]]:
    """One kill, if it comes in time, and the calls until every good case is complete."""
    with command.start() as process:
        time.sleep(moment)
        child = child_of(process)
        hit = kill(process, whom)
        if whom == "child":
            process.stdout.read()
    outlived = not wait_for_end(child)
    before = complete_results(command.target, names) if command.target.exists() else {}
    calls, unfinished = 0, True
    while unfinished and calls < MOST_CALLS:
        calls += 1
        command.run()
        after = complete_results(command.target, names)
        unfinished = len(after) < len(names)
    return hit, Counter(
        {
            f"SIGKILL to {whom}": hit,
            "came too late": not hit,
            "complete when it came": len(before),
            "calls after it": calls,
            "good cases not complete at the end": len(names) - len(after),
            "complete results written again": sum(after.get(name) != state for name, state in before.items()),
            "files left at the end": len(leftovers(command.target)),
            "workers that outlived the command": outlived,
        }
    )


if __name__ == "__main__":
    main()
