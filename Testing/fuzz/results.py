"""What came of a run, for people and for the record."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .runner import Tally

_COLUMNS = ("accepted", "refused", "crash", "traceback", "time", "memory", "left behind", "outside", "other voxels")
_PACKAGES = ("numpy", "pydicom", "pylibjpeg", "pyjpegls", "SimpleITK", "safetensors", "torch")


def table(tallies: Sequence[Tally]) -> str:
    """One line a door."""
    head = f"{'door':14s} {'cases':>6s} " + " ".join(f"{name:>12s}" for name in _COLUMNS) + "  slowest s  above MB"
    return "\n".join([head, *(_row(tally) for tally in tallies), _row(_sum(tallies))])


def _row(tally: Tally) -> str:
    counts = " ".join(f"{tally.counts[name]:12d}" for name in _COLUMNS)
    return f"{tally.door:14s} {tally.counts.total():6d} {counts} {tally.slowest[0]:10.2f} {tally.largest[0]:9d}"


def _sum(tallies: Sequence[Tally]) -> Tally:
    total = Tally("all", slowest=max(t.slowest for t in tallies), largest=max(t.largest for t in tallies))
    for tally in tallies:
        total.counts.update(tally.counts)
    return total


def describe(tallies: Sequence[Tally]) -> Iterator[str]:
    """The slowest and the largest of each door, and each kind of failure once."""
    for tally in tallies:
        refused = {name: count for name, count in tally.intact.items() if name != "accepted"}
        if refused:
            yield f"{tally.door}: intact cases that were not accepted: {refused}"
        if tally.slowest[0] > 2:
            yield f"{tally.door}: slowest {tally.slowest[0]:.1f} s: {tally.slowest[1]}"
        if tally.largest[0] > 200:
            yield f"{tally.door}: largest {tally.largest[0]} MB: {tally.largest[1]}"
        yield from (f"  {line}" for line in kinds(tally))


def kinds(tally: Tally) -> Iterator[str]:
    """Each kind of failure once, with how often it came and a case to replay."""
    seen: dict[str, list[dict[str, str]]] = {}
    for failure in tally.failures:
        kind = _kind(failure)
        seen.setdefault(f"{failure['outcome']} {kind}", []).append(failure)
    for found in seen.values():
        kept = next((failure["case"] for failure in found if failure["case"]), "")
        first = found[0]
        yield f"{tally.door}: {len(found)} x {first['outcome']}: {first['note']}: {first['error']}\n    {kept}"


def _kind(failure: dict[str, str]) -> str:
    """What failures of one cause have in common: the lines they went through, or their first words."""
    if failure["outcome"] in ("traceback", "memory"):
        return failure["error"].rpartition("(")[2]
    return "" if failure["outcome"] in ("other voxels", "time") else failure["error"][:60]


def document(tallies: Sequence[Tally], seed: int) -> dict[str, Any]:
    """The record of a run."""
    return {
        "made_by": "make fuzz",
        "seed": seed,
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "doors": [_entry(tally) for tally in tallies],
        "failed": sum(tally.failed for tally in tallies),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _entry(tally: Tally) -> dict[str, Any]:
    return {
        "door": tally.door,
        "cases": tally.counts.total(),
        **{name.replace(" ", "_"): tally.counts[name] for name in _COLUMNS},
        "slowest_s": tally.slowest[0],
        "most_mb_above_intact": tally.largest[0],
    }
