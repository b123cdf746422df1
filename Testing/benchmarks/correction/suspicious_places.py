"""How many of the places that are offered first lie at a real error, and the fit of the weights behind it.

    python Testing/benchmarks/correction/suspicious_places.py fit --colin27 .cache/colin27 --shared DATA
    python Testing/benchmarks/correction/suspicious_places.py --colin27 .cache/colin27 --shared DATA --json FILE

A real error is a wrong piece at least four voxels thick: the wobble of a border is none. A place counts when it is at
most two voxels from one. Compared are ten places of ours, of a random walk along the border, of the highest entropy (of
a network where one made the mask, else of the intensities), and the best that can be done. `fit` prints the weights
for correction/suspicious_places/wrong_border.py; it sees the tune split only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
from cases import Case, all_cases, phantom
from scipy import ndimage
from scipy.special import expit

from DeepSegmentLib.correction.suspicious_places import wrong_border as suspicion
from DeepSegmentLib.correction.suspicious_places.places import suspicious_places
from DeepSegmentLib.correction.suspicious_places.wrong_border import Scene, signed_depth, terms
from DeepSegmentLib.imaging.peaks import highest_peaks

SHOWN = (1, 3, 5, 10)
NEAR_VOXELS = 2.0
THICK_VOXELS = 2.0
APART_VOXELS = 8.0
PER_CASE = 5000


def step_mm(case: Case) -> float:
    """Edge of a cube as large as a voxel."""
    return float(np.prod(case.geometry.spacing_mm) ** (1 / 3))


def thick_errors(case: Case) -> np.ndarray:
    """The wrong pieces without their thin skirts."""
    found, spacing = np.zeros(case.truth.shape, dtype=bool), np.asarray(case.geometry.spacing_mm) / step_mm(case)
    for wrong in (case.truth & ~case.start, case.start & ~case.truth):
        depth = ndimage.distance_transform_edt(np.pad(wrong, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
        core = depth >= THICK_VOXELS
        if core.any():
            found |= wrong & (ndimage.distance_transform_edt(~core, sampling=spacing) <= THICK_VOXELS)
    return found


def scene(case: Case) -> Scene:
    """A case as the engine sees it, without a network."""
    return Scene(case.start, np.asarray(case.geometry.spacing_mm), case.image.astype(np.float32))


def ours(case: Case, *, image: bool = True, network: bool = True) -> np.ndarray:
    """Indices (n, 3) of our places."""
    probability = case.probability if network else None
    found = suspicious_places(
        case.start, case.geometry, intensities=case.image if image else None, probability=probability, count=SHOWN[-1]
    )
    return case.geometry.ras_to_index(np.array([place.center_ras for place in found]).reshape(-1, 3))


def random_border(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Voxels of the border."""
    border = np.argwhere(np.abs(signed_depth(scene(case))) < 1)
    return border[rng.choice(len(border), SHOWN[-1], replace=False)]


def peaks(case: Case, values: np.ndarray) -> np.ndarray:
    """The highest places of a map, averaged in a ball."""
    spacing = np.asarray(case.geometry.spacing_mm) / step_mm(case)
    smooth = ndimage.gaussian_filter(values.astype(np.float32), 2 / spacing, mode="nearest")
    return highest_peaks(smooth, spacing, count=SHOWN[-1], distance_mm=APART_VOXELS, least=1e-3)[0]


def most_entropy(case: Case) -> np.ndarray:
    """Where a network, or a histogram of intensities, knows least, ten voxels around the border."""
    depth = signed_depth(scene(case))
    chance = case.probability
    if chance is None:
        chance = expit(terms(scene(case), depth)["tissue"])
    sure = np.clip(chance, 1e-3, 1 - 1e-3)
    entropy = -(sure * np.log2(sure) + (1 - sure) * np.log2(1 - sure))
    return peaks(case, np.where(np.abs(depth) <= 10, entropy, 0))


def hits(case: Case, places: np.ndarray) -> list[bool]:
    """Which places lie at a real error; those that are not offered do not."""
    spacing = np.asarray(case.geometry.spacing_mm) / step_mm(case)
    distance = ndimage.distance_transform_edt(~thick_errors(case), sampling=spacing)
    index = np.floor(places + 0.5).astype(int)
    found = [bool(distance[tuple(place)] <= NEAR_VOXELS) for place in index]
    return found + [False] * (SHOWN[-1] - len(found))


def evaluate(cases: list[Case]) -> dict[str, object]:
    """Shares of all methods by kind of case."""
    rng = np.random.default_rng(0)
    methods = {
        "suspicious places": ours,
        "without a network": lambda case: ours(case, network=False),
        "without the image and a network": lambda case: ours(case, image=False, network=False),
        "largest entropy": most_entropy,
        "random border": lambda case: random_border(case, rng),
        "the best possible": lambda case: peaks(case, thick_errors(case)),
    }
    kinds = sorted({case.kind for case in cases})
    found: dict[str, object] = {}
    for name, method in methods.items():
        begun = time.perf_counter()
        rows = np.array(
            [[np.mean(hits(case, places)[:n]) for n in SHOWN] for case in cases for places in [method(case)]]
        )
        own = [case.kind in {"phantom", "ct"} for case in cases]
        groups = {kind: [case.kind == kind for case in cases] for kind in kinds} | {"phantom and ct": own}
        found[name] = {
            group: {n: round(float(share), 3) for n, share in zip(SHOWN, rows[chosen].mean(axis=0), strict=True)}
            for group, chosen in groups.items()
        }
        print(f"{name:32}", found[name], f"{(time.perf_counter() - begun) / len(cases):.1f} s a case", flush=True)
    return found


def fit(cases: list[Case]) -> None:
    """Print the weights of both regressions, on a sample of each case."""
    rng, rows = np.random.default_rng(0), []
    for case in cases:
        here = scene(case)
        depth = signed_depth(here)
        near = np.flatnonzero(np.abs(depth) <= suspicion._reach(here.mask))
        chosen = rng.choice(near, min(PER_CASE, len(near)), replace=False)
        found = {name: values.ravel()[chosen] for name, values in terms(here, depth).items()}
        rows.append((found, thick_errors(case).ravel()[chosen], np.full(len(chosen), 1 / len(chosen))))
    y, w = (np.concatenate([row[n] for row in rows]) for n in (1, 2))
    for known in (suspicion.WITH_IMAGE, suspicion.SHAPE_ALONE):
        columns = [np.concatenate([row[0][name] for row in rows]).astype(np.float64) for name in known.weights]
        means = [float(np.average(column, weights=w)) for column in columns]
        solution = regression(np.stack(columns, axis=1) - means, y, w)
        print(f"{len(cases)} cases\nbias {solution[-1]:.3f}")
        for name, weight, mean in zip(known.weights, solution, means, strict=False):
            print(f'"{name}": ({weight:.3f}, {mean:.3f}),')


def regression(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Weights and bias of a logistic regression, by Newton's method."""
    x = np.column_stack([x, np.ones(len(x))])
    solution = np.zeros(x.shape[1])
    for _ in range(30):
        chance = expit(x @ solution)
        slope = x.T @ (w * (chance - y)) + 1e-4 * solution
        bend = (x * (w * chance * (1 - chance))[:, None]).T @ x + 1e-4 * np.eye(len(solution))
        solution -= np.linalg.solve(bend, slope)
    return solution


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("act", nargs="?", choices=("fit", "evaluate"), default="evaluate")
    parser.add_argument("--split", choices=("tune", "test"), default="test")
    parser.add_argument("--colin27", type=Path, help="folder of ch2.nii.gz and aal.nii.gz")
    parser.add_argument("--shared", type=Path, help="folder of ct/ and ct_dicom/")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.act == "fit":
        cases = [case for case in all_cases("tune", options.colin27, options.shared) if case.kind != "model"]
        fit(cases + [case for seed in (104, 105) for case in phantom(seed)])
        return
    cases = list(all_cases(options.split, options.colin27, options.shared))
    figures = {
        "machine": f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "split": options.split,
        "cases": len(cases),
        "share of the first 1, 3, 5, 10 places at a real error": evaluate(cases),
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
