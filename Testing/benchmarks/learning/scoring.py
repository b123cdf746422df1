"""How well held-out cases are segmented: only structures that the reference has, whoever made the labels."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from commands import Shell

from DeepSegmentLib.data import Segment
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, write_labelmap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from splits import DataSet

Scores = dict[str, dict[str, dict[str, float]]]
"""Of each structure and case its scores: "dice", "nsd" at 2 mm, and "hausdorff95_mm", infinite for a missed one."""

TOLERANCE_MM = 2.0
RESAMPLES = 2000
_SHOWN = ("dice", "nsd", "hausdorff95_mm")
_MISSED = float("inf")


def write_references(data_set: DataSet, data: Path, cases: Sequence[str], folder: Path) -> Path:
    """The references of cases, with the names of the structures that were drawn, and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        name_labels(data_set.label(data, case), data_set.values, folder / f"{case}.nii.gz", only_there=True)
    return folder


def name_labels(source: Path, values: Mapping[int, str], target: Path, *, only_there: bool = False) -> None:
    """Give label values of a file their names."""
    label_map = read_labelmap(source)
    there = {segment.value for segment in label_map.segments}
    named = tuple(Segment(name, value) for value, name in values.items() if value in there or not only_there)
    write_labelmap(replace(label_map, segments=named), target)


def scored(shell: Shell, references: Path, predictions: Path, name: str) -> Scores:
    """The scores of a folder of predictions by `deepsegment evaluate`."""
    report = shell.work / "scores" / f"{name.replace(' ', '-')}.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    words = ("evaluate", references, predictions, "--tolerance", TOLERANCE_MM, "--report", report, "--replace")
    shell.deepsegment(*words, "--quiet", name=f"evaluate {name}")
    return drawn_scores(json.loads(report.read_text()))


def drawn_scores(document: Mapping[str, Any]) -> Scores:
    """What `deepsegment evaluate` found of structures that the reference has; of others nobody knows what is right."""
    found: Scores = {}
    for case in document["cases"]:
        for segment in case["segments"]:
            if segment["side"] == "prediction" or not segment["reference_ml"]:
                continue
            # What strict JSON cannot hold is None: an infinite distance, of a structure that was missed.
            scores = {key: _MISSED if segment[key] is None else float(segment[key]) for key in _SHOWN}
            found.setdefault(segment["name"], {})[case["case"]] = scores
    return found


def plain_scores(scores: Scores) -> dict[str, Any]:
    """As JSON can hold them: an infinite distance as None."""
    return {
        name: {
            case: {key: None if value == _MISSED else value for key, value in each.items()} for case, each in of.items()
        }
        for name, of in scores.items()
    }


def from_plain(document: Mapping[str, Any]) -> Scores:
    """The way back from `plain_scores`."""
    return {
        name: {
            case: {key: _MISSED if value is None else float(value) for key, value in each.items()}
            for case, each in of.items()
        }
        for name, of in document.items()
    }


def summary(scores: Scores) -> dict[str, dict[str, float | None]]:
    """For each structure, and for their mean under "all", how many cases, mean Dice and surface Dice, median HD95.

    Under "all" structures count alike, however many cases have them; HD95 is None where more than half are missed.
    """
    found = {}
    for name, cases in scores.items():
        distance = median(each["hausdorff95_mm"] for each in cases.values())
        found[name] = {
            "cases": len(cases),
            "missed": sum(not each["dice"] for each in cases.values()),
            "dice": round(fmean(each["dice"] for each in cases.values()), 4),
            "nsd": round(fmean(each["nsd"] for each in cases.values()), 4),
            "hausdorff95_mm": None if distance == _MISSED else round(distance, 2),
        }
    if found:
        dices = [float(each["dice"]) for each in found.values()]
        surfaces = [float(each["nsd"]) for each in found.values()]
        missed = sum(int(each["missed"]) for each in found.values())
        cases = len({case for of in scores.values() for case in of})
        found["all"] = {
            "cases": cases,
            "missed": missed,
            "dice": round(fmean(dices), 4),
            "nsd": round(fmean(surfaces), 4),
            "hausdorff95_mm": None,
        }
    return found


def difference(before: Scores, after: Scores, seed: int = 0) -> dict[str, Any]:
    """Mean Dice of `after` less that of `before`, structures alike; its 95 % interval by percentile bootstrap of cases.

    Raises:
        ValueError: They are not of the same structures and cases.
    """
    if {name: set(of) for name, of in before.items()} != {name: set(of) for name, of in after.items()}:
        raise ValueError("scores of other structures or cases cannot be compared pair by pair")
    gaps = {name: {case: after[name][case]["dice"] - of[case]["dice"] for case in of} for name, of in before.items()}
    cases = sorted({case for of in gaps.values() for case in of})
    draw = random.Random(seed)
    means = sorted(_mean_gap(gaps, draw.choices(cases, k=len(cases))) for _ in range(RESAMPLES))
    low, high = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
    return {
        "mean": round(_mean_gap(gaps, cases), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "by structure": {name: round(fmean(of.values()), 4) for name, of in gaps.items()},
    }


def _mean_gap(gaps: Mapping[str, Mapping[str, float]], cases: Sequence[str]) -> float:
    """Over structures, of the means over drawn cases; a structure that no drawn case has is left out."""
    means = []
    for of in gaps.values():
        drawn = [of[case] for case in cases if case in of]
        if drawn:
            means.append(fmean(drawn))
    return fmean(means)


def got_worse(before: Scores, after: Scores, least: float = 0.02) -> list[dict[str, Any]]:
    """All structures of cases whose Dice fell by at least so much, the worst first."""
    rows = [
        {"case": case, "structure": name, "before": each["dice"], "after": after[name][case]["dice"]}
        for name, of in before.items()
        for case, each in of.items()
        if each["dice"] - after[name][case]["dice"] >= least
    ]
    return sorted(rows, key=lambda row: (row["after"] - row["before"], row["case"], row["structure"]))
