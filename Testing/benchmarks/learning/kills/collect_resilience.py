"""Does collecting survive SIGKILL at any moment? Prints a JSON report; --json writes it.

    python Testing/benchmarks/learning/kills/collect_resilience.py --repeats 30

`deepsegment project add --images --labels` is killed at a random one of its file operations, or up to 20 ms after it,
and then called again until it ends. Counted are faults of the project after the kill and at the end (cases that cannot
be read, labels that are not those of the volume, segments without an entry), cases that were there and are gone, cases
that are missing or doubled at the end, and files that are left.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from killed_command import finish, report_of_kills
from project_kills import faults, leftovers, start, write_pairs

from DeepSegmentLib.service.projects.project import case_records, set_status

CASES = 3
COUNTED = (
    "killed",
    "cases there when it came",
    "faults after it",
    "cases gone after going on",
    "cases missing at the end",
    "cases doubled at the end",
    "faults at the end",
    "files left at the end",
)


def measure(folder: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """An undisturbed run, and the killed ones."""
    write_pairs(folder, CASES)
    operations = int(finish(start(folder / "whole", folder)).split()[-1])
    counts: Counter[str] = Counter()
    for n in range(repeats):
        delay_s = float(rng.choice([0.0, rng.uniform(0, 0.02)]))
        counts += disturb(folder, folder / f"p{n}", int(rng.integers(1, operations + 1)), delay_s)
    return {
        "repeats": repeats,
        "cases a repeat": CASES,
        "file operations": operations,
        **{key: counts[key] for key in COUNTED},
    }


def disturb(pairs: Path, project: Path, kill_at: int, delay_s: float) -> Counter[str]:
    """One kill, and the call that goes on."""
    process = start(project, pairs, kill_at=kill_at, delay_s=delay_s)
    finish(process)
    there = (project / "project.json").exists()
    before = {record.volume_digest for record in case_records(project)} if there else set()
    after_kill = len(faults(project))
    finish(start(project, pairs))
    records = case_records(project)
    set_status(project, [records[0].name], "approved")  # a writer, and so a sweep, even where nothing was missing
    digests = {record.volume_digest for record in records}
    return Counter(
        {
            "killed": process.returncode != 0,
            "cases there when it came": len(before),
            "faults after it": after_kill,
            "cases gone after going on": len(before - digests),
            "cases missing at the end": CASES - len(digests),
            "cases doubled at the end": len(records) - len(digests),
            "faults at the end": len(faults(project)),
            "files left at the end": len(leftovers(project)),
        }
    )


if __name__ == "__main__":
    report_of_kills(__doc__, measure)
