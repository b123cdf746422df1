"""The results as a page of Markdown."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from cases import DEPTHS, LINEAR

GIB = 2**30
_COMMAND = "python Testing/benchmarks/engine/compare.py --peer nnunet/bin/python --work engine"
_INTRODUCTION = f"""# Engines compared

Whole segmentations, from a `.nii.gz` to a `.nii.gz` of labels on the same grid, on the CPU: by this library's command,
by nnU-Net's own predictor (`nnUNetv2_predict` with `-npp 0 -nps 0 --disable_tta`, so that one volume does not wait for
further processes to start), and by MONAI's `sliding_window_inference` between the lines that its users write.

All run the same weights: random ones, the last layer fitted to the organs of a made CT, so that classes are not tied.
"plain" is nnU-Net's default U-Net (31 M weights), "trained" the same after some minutes of training on that CT (what
rounding does to labels depends on the weights, and so does the arithmetic that is taken), "residual" nnU-Net's preset
ResEnc M (102 M). Tiles overlap by half and are blended by a Gaussian, nothing is mirrored; the networks' grid has
voxels of 1.5 mm, volumes and logits are brought to it and back linearly, by the method of each engine. MONAI's logits
are brought back class by class, of which the best is kept; all of them on the grid of the file, as its `Invertd`
makes them, would take tens of gigabytes.

Seconds are medians, in brackets the range; the engines take turns, each run is a process of its own, and its start is
counted. This library had run each model before: its first run on a machine compares back ends and takes longer.
Memory is that of all processes of a run at its peak: what each has for itself, and once the largest part that is
shared.

Made by
`{_COMMAND}`,
`nnunet` an environment with PyPI's nnunetv2 and monai; with `--depths` and `--linear` likewise. What follows
"DeepSegment," is an `--ours NAME=OPTIONS`, such as `--ours "bfloat16=--precision bfloat16"`; without OpenVINO is the
same command by the Python of an environment that lacks it, with
`--engines ours --ours "without OpenVINO=--precision checked"`.
"""


def page(content: dict[str, Any]) -> str:
    """All tables that there are figures for."""
    cases = content["cases"]
    shown = {name: kept for name, kept in cases.items() if kept["runs"] and name not in (*DEPTHS, *LINEAR)}
    parts = [_INTRODUCTION]
    if not any(kept["runs"] for kept in cases.values()):
        return "\n".join([*parts, "Nothing has been measured yet.", ""])
    parts += [_machine(content), *([_times(shown), _steps(shown), _labels(shown)] if shown else [])]
    parts += [_depths(cases), _linear(cases)]
    return "\n".join(part for part in parts if part)


def medians(runs: list[dict[str, Any]], engine: str, key: str = "wall_seconds") -> list[float]:
    """Median, least and most of a figure of an engine's runs; empty where it failed."""
    values = [each[key] for each in runs if each["engine"] == engine and not each["failure"] and key in each]
    return [statistics.median(values), min(values), max(values)] if values else []


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def _names(runs: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(each["engine"] for each in runs))


def _machine(content: dict[str, Any]) -> str:
    told, runs = content["machine"], [run for kept in content["cases"].values() for run in kept["runs"]]
    loads, commits = [run["load"][0] for run in runs], sorted({run["commit"] for run in runs})
    others = max(run["others_seconds"] / run["wall_seconds"] / told["processors"] for run in runs)
    lines = [
        f"Measured on {told['processor']}, {told['processors']} processors ({', '.join(told['flags'])}), "
        f"{told['memory_bytes'] / GIB:.0f} GiB, {told['system']}; commit {', '.join(commits)}; load "
        f"of the machine before runs {min(loads):.1f} to {max(loads):.1f}, "
        f"and at most {100 * others:.0f} % of the processors' time of a run went to other work.\n"
    ]
    for words, key in (("This library's environment", "ours"), ("The others'", "peers")):
        found = content["versions"].get(key)
        if found:
            lines.append(f"{words}: {', '.join(f'{name} {number}' for name, number in found.items())}.\n")
    if content["ceilings"]:
        rates = [f"{name} {rate:.0f}" for name, rate in content["ceilings"].items() if name != "load"]
        lines.append(
            "What torch reaches there at best, in thousand million operations a second (matrices 4096 x 4096, a "
            f"convolution of 128 to 128 channels on 48 x 48 x 48 voxels, channels last): {', '.join(rates)}. On a "
            "virtual machine others may use the same units: these rates, and all seconds, come and go then.\n"
        )
    return "\n".join(lines)


def _times(cases: dict[str, Any]) -> str:
    rows = []
    for name, kept in cases.items():
        runs, own = kept["runs"], _own(kept["runs"])
        for engine in _names(runs):
            seconds, memory = medians(runs, engine), medians(runs, engine, "peak_bytes")
            if not seconds:
                cells = [name, engine, _failed(runs, engine), "", "", ""]
            else:
                cells = [
                    name, engine, f"{seconds[0]:.1f} ({seconds[1]:.1f} to {seconds[2]:.1f})",
                    _ratio(seconds, medians(runs, own)), f"{memory[0] / GIB:.2f}",
                    _ratio(memory, medians(runs, own, "peak_bytes")),
                ]  # fmt: skip
            rows.append(cells)
    head = ["case", "engine", "seconds", "times ours", "memory, GiB", "times ours"]
    words = (
        "A case is named network, volume, classes, patch; where no patch is named, it has 96 voxels an edge for the\n"
        "volume 192, and 128 for others.\n"
    )
    return f"## Time and memory\n\n{words}\n{_table(head, rows)}\n{_volumes(cases)}"


def _volumes(cases: dict[str, Any]) -> str:
    told = {}
    for kept in cases.values():
        size = " x ".join(str(n) for n in kept["case"]["size"])
        told[kept["case"]["volume"]] = f"{size} voxels of {' x '.join(f'{n:g}' for n in kept['case']['spacing_mm'])} mm"
    return f"Volumes: {'; '.join(f'{name}: {words}' for name, words in told.items())}.\n"


def _own(runs: list[dict[str, Any]]) -> str:
    return next((each["engine"] for each in runs if each["ours"]), "")


def _ratio(values: list[float], own: list[float]) -> str:
    return f"{values[0] / own[0]:.2f}" if own else ""


def _failed(runs: list[dict[str, Any]], engine: str) -> str:
    failure = next(each["failure"] for each in runs if each["engine"] == engine and each["failure"])
    return failure if failure.startswith("out of memory") else "failed"


def _steps(cases: dict[str, Any]) -> str:
    rows = []
    for name, kept in cases.items():
        for engine in _names(kept["runs"]):
            done = [run for run in kept["runs"] if run["engine"] == engine and not run["failure"]]
            if not done:
                continue
            words = {
                step: statistics.median([run["seconds"].get(step, 0.0) for run in done]) for step in done[0]["seconds"]
            }
            told = ", ".join(f"{step} {seconds:.1f}" for step, seconds in words.items())
            nearest = medians(done, engine, "argmax_on_network_grid")
            if nearest:
                told += f" (argmax on the network's grid and the nearest voxel instead: {nearest[0]:.1f})"
            rows.append([name, engine, told])
    table = _table(["case", "engine", "steps"], rows)
    return f"## Where the time goes\n\nMedians of the seconds of the steps that each tells of.\n\n{table}"


def _labels(cases: dict[str, Any]) -> str:
    rows = [
        [
            name, " and ".join(each["engines"]), f"{100 * each['differ']:.4f} %", f"{each['mean_dice']:.4f}",
            f"{each['least_dice']:.4f}", str(each["classes_there"]),
        ]
        for name, kept in cases.items()
        for each in kept["agreement"]
    ]  # fmt: skip
    head = ["case", "engines", "voxels that differ", "mean Dice", "least Dice", "classes there"]
    words = (
        "nnU-Net sums logits up in float16. MONAI moves the last tile back to the border where nnU-Net and this\n"
        "library spread all evenly: where that is another place, instance norm sees other voxels, and labels differ\n"
        "more. The weights of a tile's voxels are nnU-Net's for all.\n"
    )
    return f"## The labels agree\n\n{words}\n{_table(head, rows)}" if rows else ""


def _depths(cases: dict[str, Any]) -> str:
    rows = []
    for name in DEPTHS:
        kept = cases.get(name, {"runs": []})
        for engine in _names(kept["runs"]):
            memory = medians(kept["runs"], engine, "peak_bytes")
            if memory:
                i, j, k = kept["case"]["size"]
                volume, logits = 2 * i * j * k / GIB, 4 * kept["case"]["classes"] * i * j * k / GIB
                rows.append([engine, f"{i} x {j} x {k}", f"{memory[0] / GIB:.2f}", f"{volume:.2f}", f"{logits:.0f}"])
    head = ["engine", "voxels", "memory, GiB", "the volume alone, int16", "all logits on its grid"]
    words = "117 classes, a network of 1 x 1 x 1 kernels with 32 features, so that the memory is that of the engine.\n"
    return f"## Memory by depth\n\n{words}\n{_table(head, rows)}" if rows else ""


def _linear(cases: dict[str, Any]) -> str:
    points: dict[str, list[tuple[int, float]]] = {}
    for name in LINEAR:
        kept = cases.get(name, {"runs": []})
        for engine in _names(kept["runs"]):
            seconds = medians(kept["runs"], engine)
            i, j, k = kept["case"]["size"]
            if seconds:
                points.setdefault(engine, []).append((i * j * k, seconds[0]))
    rows = [[engine, f"{size / 1e6:.1f}", f"{seconds:.1f}"] for engine in points for size, seconds in points[engine]]
    lines = [_line(engine, found) for engine, found in points.items() if len(found) > 2]
    head = ["engine", "million voxels", "seconds"]
    return "\n".join(["## Time by size\n", _table(head, rows), *lines]) if rows else ""


def _line(engine: str, points: list[tuple[int, float]]) -> str:
    sizes, seconds = np.array(points, float).T
    slope, offset = np.polyfit(sizes / 1e6, seconds, 1)
    left = seconds - (slope * sizes / 1e6 + offset)
    fit = 1 - (left**2).sum() / ((seconds - seconds.mean()) ** 2).sum()
    return f"{engine}: {offset:.1f} s and {slope:.2f} s for each million voxels, R² {fit:.4f}.\n"
