"""How well corrections work, measured with a robot user.

    python Testing/benchmarks/correction/compare_methods.py --colin27 .cache/colin27 --shared DATA --json FILE

Every method answers the prompts of the same robot on the same cases, ten in a row, clicks and scribbles. Reported are
Dice and normalized surface Dice (2 mm) after 0, 1, 3, 5 and 10 prompts, how many prompts it takes to a Dice of 0.90 and
0.95, the harm (changed voxels that became wrong), the share of prompts that made the mask worse, changes outside the
domain, seconds, and the differences to our engine with a paired bootstrap over cases.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cases import Case, all_cases
from methods import BASELINES, ENGINE, answer
from robot import Robot

from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import LabelMap, Point, Segment, Volume
from DeepSegmentLib.evaluation.metrics import compare_masks, dice

PROMPTS = 10
SHOWN = (0, 1, 3, 5, 10)
GOALS = (0.90, 0.95)
RESAMPLES = 4000


@dataclass
class Run:
    """One method on one case.

    Attributes:
        case: Its name.
        kind: Where the case comes from.
        dices: Before the first and after each prompt; the last goes on when nothing is left to correct.
        nsd: By number of prompts.
        changed: Voxels changed by each prompt.
        harmed: How many of these became wrong.
        outside: How many lay outside the edit radius or on the wrong side.
        seconds: Time of each prompt.
        radius_voxels: Edit radius of each prompt.
    """

    case: str
    kind: str
    dices: list[float]
    nsd: dict[int, float]
    changed: list[int] = field(default_factory=list)
    harmed: list[int] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    radius_voxels: list[float] = field(default_factory=list)


def run(method: str, case: Case, robot: Robot, number: int) -> Run:
    """Let the robot correct a case with a method."""
    mask, earlier = case.start.copy(), []
    spacing = case.geometry.spacing_mm
    done = Run(case.name, case.kind, [dice(case.truth, mask)], {0: _nsd(case, mask)})
    for n in range(1, PROMPTS + 1):
        asked = robot.prompt(case, mask, np.random.default_rng([number, n]))
        if asked is not None:
            begun = time.perf_counter()
            correction = answer(method, case, mask, asked, earlier)
            done.seconds.append(time.perf_counter() - begun)
            part, changed = correction.box.to_slices(), correction.changed
            done.changed.append(int(changed.sum()))
            done.harmed.append(int((changed & (correction.after != case.truth[part])).sum()))
            done.outside.append(_outside(case, mask, asked, correction))
            done.radius_voxels.append(asked[1] / min(spacing))
            mask[part] = correction.after
            earlier.append(asked[0])
        done.dices.append(dice(case.truth, mask))
        if n in SHOWN:
            done.nsd[n] = _nsd(case, mask)
    return done


def _nsd(case: Case, mask: np.ndarray) -> float:
    return float(compare_masks(case.truth, mask, case.geometry.spacing_mm, 2.0).nsd)


def _outside(case: Case, mask: np.ndarray, asked: tuple, correction) -> int:
    """Changed voxels that the contract forbids, by their distance to what was drawn.

    A stroke consists of whole voxels: their centers may be half a diagonal away from the line.
    """
    prompt, radius_mm = asked
    changed = np.argwhere(correction.changed) + correction.box.start
    if not len(changed):
        return 0
    drawn = prompt.point_ras[None] if isinstance(prompt, Point) else prompt.points_ras
    slack = 1e-6 if isinstance(prompt, Point) else float(np.linalg.norm(case.geometry.spacing_mm)) / 2
    allowed = distance_to_line(case.geometry.index_to_ras(changed), drawn) <= radius_mm * (1 + 1e-5) + slack
    return int((~allowed | (mask[tuple(changed.T)] == prompt.positive)).sum())


def distance_to_line(places: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance of places (n, 3) to the nearest of the straight pieces between corners (m, 3)."""
    best = np.linalg.norm(places - corners[0], axis=1)
    for a, b in itertools.pairwise(corners):
        along = b - a
        part = np.clip((places - a) @ along / max(float(along @ along), 1e-12), 0, 1)
        best = np.minimum(best, np.linalg.norm(places - a - part[:, None] * along, axis=1))
    return best


def undo_is_exact(case: Case, robot: Robot, number: int) -> bool:
    """Whether taking back ten corrections of a session gives the start back, and doing them again their result."""
    labels = LabelMap(case.start[None].astype(np.uint8), case.geometry, (Segment("segment", 1),))
    session = CorrectionSession(Volume(case.image[None], case.geometry), labels)
    for n in range(1, PROMPTS + 1):
        asked = robot.prompt(case, session.labels.layers[0] == 1, np.random.default_rng([number, n]))
        if asked is not None:
            session.apply(asked[0], CorrectionSettings(radius_mm=asked[1]))
    end = session.labels.layers
    while session.undo() is not None:
        pass
    same = np.array_equal(session.labels.layers, labels.layers)
    while session.redo() is not None:
        pass
    return same and np.array_equal(session.labels.layers, end)


def summary(runs: list[Run]) -> dict[str, object]:
    """The figures of one method."""
    dices = np.array([run.dices for run in runs])
    changed = sum(sum(run.changed) for run in runs)
    steps = np.diff(dices, axis=1)
    acted = np.array([[n < len(run.changed) for n in range(PROMPTS)] for run in runs])
    first = {goal: [_first(run.dices, goal) for run in runs] for goal in GOALS}
    seconds = np.concatenate([run.seconds for run in runs])
    return {
        "cases": len(runs),
        "Dice": {n: round(float(dices[:, n].mean()), 4) for n in SHOWN},
        "NSD at 2 mm": {n: round(float(np.mean([run.nsd[n] for run in runs])), 4) for n in SHOWN},
        "Dice after 5 by kind": {
            kind: round(float(dices[[run.kind == kind for run in runs], 5].mean()), 4)
            for kind in sorted({run.kind for run in runs})
        },
        "error left after 5 (median)": round(float(np.median((1 - dices[:, 5]) / (1 - dices[:, 0]))), 3),
        "prompts to goal (10 if missed)": {
            goal: round(float(np.mean([min(n, PROMPTS) for n in ns])), 2) for goal, ns in first.items()
        },
        "goal missed": {goal: sum(n > PROMPTS for n in ns) for goal, ns in first.items()},
        "harm": round(sum(sum(run.harmed) for run in runs) / max(1, changed), 4),
        "worse prompts": round(float((steps < 0)[acted].mean()), 4) if acted.any() else 0.0,
        "voxels changed outside the domain": sum(sum(run.outside) for run in runs),
        "milliseconds p50, p90, p99": [round(1e3 * float(np.percentile(seconds, p)), 1) for p in (50, 90, 99)],
    }


def _first(dices: list[float], goal: float) -> int:
    return next((n for n, value in enumerate(dices) if value >= goal), PROMPTS + 1)


def latency(runs: list[Run]) -> dict[str, list[float]]:
    """Milliseconds (p50, p90, p99) by edit radius in voxels."""
    radius = np.concatenate([run.radius_voxels for run in runs])
    seconds = np.concatenate([run.seconds for run in runs])
    table = {}
    for low, high in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 40)):
        chosen = seconds[(radius >= low) & (radius < high)]
        if len(chosen):
            table[f"{low}-{high}"] = [round(1e3 * float(np.percentile(chosen, p)), 1) for p in (50, 90, 99)]
    return table


def difference(ours: list[Run], theirs: list[Run]) -> list[float]:
    """Mean difference of Dice after 5 prompts and its 95 % interval, by a paired bootstrap over cases."""
    gaps = np.array([a.dices[5] - b.dices[5] for a, b in zip(ours, theirs, strict=True)])
    picks = np.random.default_rng(0).integers(len(gaps), size=(RESAMPLES, len(gaps)))
    low, high = np.percentile(gaps[picks].mean(axis=1), (2.5, 97.5))
    return [round(float(x), 4) for x in (gaps.mean(), low, high)]


def _job(method: str, case: Case, robot: Robot, number: int) -> Run:
    return run(method, case, robot, number)


def evaluate(methods: list[str], cases: list[Case], robot: Robot, processes: int) -> dict[str, list[Run]]:
    """All methods on all cases."""
    with ProcessPoolExecutor(processes) as pool:
        futures = {m: [pool.submit(_job, m, case, robot, n) for n, case in enumerate(cases)] for m in methods}
        return {method: [future.result() for future in row] for method, row in futures.items()}


def report(by_method: dict[str, list[Run]]) -> dict[str, object]:
    """Figures of all methods, and ours against theirs."""
    found: dict[str, object] = {method: summary(runs) for method, runs in by_method.items()}
    if "correct" in by_method:
        found["Dice after 5, ours less theirs: mean and 95 % interval"] = {
            method: difference(by_method["correct"], runs) for method, runs in by_method.items() if method != "correct"
        }
        found["milliseconds p50, p90, p99 by edit radius in voxels"] = {
            name: latency(by_method[name]) for name in ENGINE if name in by_method
        }
    return found


def show(kind: str, by_method: dict[str, list[Run]]) -> None:
    """A table for the terminal."""
    print(f"\n{kind:14} " + " ".join(f"D{n:<5}" for n in SHOWN) + " NSD5   harm   worse  out  p50 p90 ms")
    for method, runs in by_method.items():
        s = summary(runs)
        print(
            f"{method:14} " + " ".join(f"{s['Dice'][n]:.4f}" for n in SHOWN)
            + f" {s['NSD at 2 mm'][5]:.4f} {s['harm']:.4f} {s['worse prompts']:.4f} "
            f"{s['voxels changed outside the domain']:4d} {s['milliseconds p50, p90, p99'][:2]} "
            f"{s['Dice after 5 by kind']}"
        )  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("tune", "test"), default="test")
    parser.add_argument("--colin27", type=Path, help="folder of ch2.nii.gz and aal.nii.gz")
    parser.add_argument("--shared", type=Path, help="folder of ct/ and ct_dicom/")
    parser.add_argument("--methods", nargs="*", default=[*BASELINES, *ENGINE])
    parser.add_argument("--kinds", nargs="*", default=["click", "scribble"])
    parser.add_argument("--processes", type=int, default=1, help="more than one makes the times useless")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cases = list(all_cases(options.split, options.colin27, options.shared))
    figures: dict[str, object] = {
        "machine": f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "split": options.split,
        "processes": options.processes,
        "cases": {case.name: round(dice(case.truth, case.start), 4) for case in cases},
    }
    for kind in options.kinds:
        robot = Robot(kind)
        by_method = evaluate(options.methods, cases, robot, options.processes)
        show(kind, by_method)
        figures[kind] = report(by_method)
    exact = [undo_is_exact(case, Robot(), n) for n, case in enumerate(cases)]
    figures["undo and redo exact"] = f"{sum(exact)} of {len(exact)} sessions"
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
