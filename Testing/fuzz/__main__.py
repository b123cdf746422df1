"""The command: fuzz all doors or some, or replay a case that was kept."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from .cases import Case
from .doors import DOORS
from .results import describe, document, table
from .runner import FLIPS, REPOSITORY, Child, Tally, fuzz, replay

RESULTS = REPOSITORY / "Testing" / "benchmarks" / "results" / "fuzz.json"


def main() -> int:
    """Run, print, write; exit code 1 where anything failed."""
    options = _options()
    if options.replay:
        return _replay(options.replay)
    names = options.doors or list(DOORS)
    with ThreadPoolExecutor(options.jobs) as pool:
        tallies = list(pool.map(lambda name: _run(name, options), names))
    print(table(tallies))
    print("\n".join(describe(tallies)))
    if options.json:
        options.json.write_text(json.dumps(document(tallies, options.seed), indent=1) + "\n")
    return int(any(tally.failed for tally in tallies))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help=", ".join(DOORS))
    parser.add_argument("--cases", type=int, default=3000, help="changed cases of each door (default: 3000)")
    parser.add_argument("--flips", type=int, default=FLIPS, help=f"bits of each format (default: {FLIPS})")
    parser.add_argument("--seed", type=int, default=1, help="of the changes (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="doors at a time (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"write the result, such as {RESULTS.name}")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="open a case that was kept, and leave its files")
    options = parser.parse_args()
    unknown = set(options.doors) - set(DOORS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(DOORS)}")
    return options


def _run(name: str, options: argparse.Namespace) -> Tally:
    count = options.flips if name.startswith("flips-") else options.cases
    with closing(Child(name)) as child:
        tally = fuzz(DOORS[name], count, options.seed, child)
    sys.stderr.write(f"{name}: {dict(tally.counts)}\n")
    return tally


def _replay(path: Path) -> int:
    found = replay(path, DOORS[path.parent.name])
    folder = Path(tempfile.mkdtemp(prefix="replayed-"))
    Case.from_json(path.read_text(encoding="ascii")).write(folder)
    print(json.dumps(found, indent=1))
    print(f"its files are in {folder}")
    return int(found["outcome"] not in ("accepted", "refused"))


if __name__ == "__main__":
    sys.exit(main())
