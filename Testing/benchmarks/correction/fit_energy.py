"""Fit the energy of the correction engine to corrections whose truth is known; writes correction/evidence/energy.json.

    python Testing/benchmarks/correction/fit_energy.py collect SEED --colin27 .cache/colin27 --shared DATA
    python Testing/benchmarks/correction/fit_energy.py fit first
    (collect again)
    python Testing/benchmarks/correction/fit_energy.py fit second

`collect` lets the robot of the evaluation protocol correct masks of the tune split, and of structures of label maps
with random intensities, and keeps what the engine knew of some voxels and on which side they truly are; run it with
several seeds. `fit` fits the small network that turns the one into the other. No case of the test split is looked at.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from cases import Case, all_cases, label_map_cases, phantom, spoilt
from robot import CaseCanvas, Robot

from DeepSegmentLib.correction.correct import correct
from DeepSegmentLib.correction.evidence import energy
from DeepSegmentLib.correction.evidence import features as evidence
from DeepSegmentLib.correction.rules import constraints
from DeepSegmentLib.correction.settings import CorrectionSettings

REPOSITORY = Path(__file__).resolve().parents[3]

CACHE = REPOSITORY / ".cache" / "correction"
OUTPUT = REPOSITORY / "DeepSegmentLib" / "correction" / "evidence" / "energy.json"
PER_PROMPT = 250
PROMPTS = 5


def collect(seed: int, cases: list[Case], minutes: float, growing: float) -> None:
    """Let the robot correct the cases again and again, and keep a sample of each prompt's voxels."""
    rng = np.random.default_rng(seed)
    rows: list[tuple] = []
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        for n in rng.permutation(len(cases)):
            if time.monotonic() < until:
                rows += observe(cases[n], rng, growing)
        # What a network got wrong stays as it is; other masks are spoilt anew for the next round.
        cases = [case if case.probability is not None else spoilt(case, rng) for case in cases]
    lengths = [len(row[1]) for row in rows]
    CACHE.mkdir(parents=True, exist_ok=True)
    np.savez(
        CACHE / f"observed-{seed}.npz",
        values=np.concatenate([row[0] for row in rows]).astype(np.float16),
        wanted=np.concatenate([row[1] for row in rows]),
        network=np.concatenate([row[2] for row in rows]).astype(np.float16),
        prompt=np.repeat(np.arange(len(rows)), lengths),
        share=np.repeat([row[3] / max(1, len(row[1])) for row in rows], lengths),
        kind=np.repeat([row[4] for row in rows], lengths),
    )
    print(f"seed {seed}: {len(rows)} prompts, {sum(lengths)} voxels")


def observe(case: Case, rng: np.random.Generator, growing: float) -> list[tuple]:
    """What the engine knew at each prompt of a case: evidence, truth, network's log-odds, number of voxels, kind."""
    robot = Robot("scribble" if rng.random() < 0.5 else "click", (0.55, 1.7))
    mode = "grow" if rng.random() < growing else "fix"
    mask, earlier, rows = case.start.copy() if mode == "fix" else np.zeros_like(case.start), [], []
    for _ in range(PROMPTS):
        asked = robot.prompt(case, mask, rng)
        if asked is None:
            break
        prompt, radius = asked
        settings = CorrectionSettings(radius_mm=radius, mode=mode)
        job = constraints.look(CaseCanvas(case, mask), prompt, settings, earlier)
        earlier.append(prompt)
        if not job.domain.free.any():
            continue
        seen = evidence.gather(job.domain)
        nodes = seen.grid.voxels
        wanted = (case.truth[job.box.to_slices()] == job.side).ravel()[nodes]
        kept = rng.choice(len(nodes), min(PER_PROMPT, len(nodes)), replace=False)
        network = np.zeros(len(nodes))
        if job.domain.probability is not None:
            sure = np.clip(job.domain.probability.ravel()[nodes], 0.02, 0.98)
            network = np.log(sure / (1 - sure))
        values = seen.values
        if OUTPUT.is_file():
            guess = energy.log_odds(values, energy.fitted_weights()[0])
            values = np.concatenate([values, evidence.context(job.domain, seen, guess)], axis=1)
        rows.append((values[kept], wanted[kept], network[kept], len(nodes), case.kind))
        block = mask[job.box.to_slices()]
        if rng.random() < 0.5 or not OUTPUT.is_file():
            # The next prompt meets a mask that was corrected rightly.
            right = np.zeros(block.size, dtype=bool)
            right[nodes] = wanted
            if job.cleared is not None:
                block[job.cleared] = False
            block[right.reshape(block.shape)] = job.side
        else:
            block[:] = correct(CaseCanvas(case, mask), prompt, settings, earlier[:-1]).after
        mask[job.box.to_slices()] = block
    return rows


def fit(stage: str, hidden: int, epochs: int) -> None:
    """Fit the network to all that was observed; prints how well it does on a fifth that it has not seen."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    parts = [np.load(path) for path in sorted(CACHE.glob("observed-*.npz"))]
    names = evidence.FEATURES if stage == "first" else (*evidence.FEATURES, *evidence.CONTEXT_FEATURES)
    values = np.concatenate([part["values"][:, : len(names)] for part in parts]).astype(np.float32)
    wanted = np.concatenate([part["wanted"] for part in parts]).astype(np.float32)
    kind = np.concatenate([part["kind"] for part in parts])
    starts = np.cumsum([0, *[part["prompt"].max() + 1 for part in parts]])
    prompt = np.concatenate([part["prompt"] + start for part, start in zip(parts, starts, strict=False)])
    counts = np.bincount(prompt)
    share = np.concatenate([part["share"] for part in parts])
    weight = (share / counts[prompt]) ** 0.5  # a large domain counts more than a small one, but not by its volume
    weight = (weight / weight.mean()).astype(np.float32)
    held_out = prompt // 15 % 5 == 0
    for train, note in ((~held_out, "four fifths"), (np.ones_like(held_out), "all")):
        weights = train_network(values, wanted, weight, np.flatnonzero(train), hidden, epochs)
        found = energy.log_odds(values, weights)
        error = (weight * ((found > 0) != (wanted > 0.5)))[held_out]
        by_kind = {
            str(name): round(float(error[kind[held_out] == name].sum() / weight[held_out & (kind == name)].sum()), 4)
            for name in np.unique(kind)
        }
        print(f"fitted to {note}: wrong {error.sum() / weight[held_out].sum():.4f} of the held-out fifth, {by_kind}")
    network = np.concatenate([part["network"] for part in parts]).astype(np.float32)
    asked = network != 0  # the network's cases
    print(
        "a network's weight and constant:",
        trust(energy.log_odds(values[asked], weights), network[asked], wanted[asked]),
    )
    stored = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.is_file() else {}
    stored[stage] = {
        "features": list(names),
        "hidden_weights": [[float(f"{w:.5g}") for w in row] for row in weights.hidden],
        "hidden_bias": [float(f"{w:.5g}") for w in weights.hidden_bias],
        "output_weights": [float(f"{w:.5g}") for w in weights.output],
        "output_bias": round(weights.output_bias, 5),
    }
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def trust(belief: np.ndarray, network: np.ndarray, wanted: np.ndarray) -> list[float]:
    """Weight of a segmentation network's log-odds beside the belief, and a constant: Newton steps of a logistic fit."""
    design, weights = np.stack([network, np.ones_like(network)], axis=1).astype(np.float64), np.zeros(2)
    for _ in range(20):
        chance = 1 / (1 + np.exp(-(belief + design @ weights)))
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design
        weights += np.linalg.solve(curvature, design.T @ (wanted - chance))
    return weights.round(2).tolist()


def train_network(
    values: np.ndarray, wanted: np.ndarray, weight: np.ndarray, rows: np.ndarray, hidden: int, epochs: int
) -> energy.Weights:
    """Weighted cross-entropy, Adam, cosine schedule; the scaling of the evidence is folded into the weights."""
    import torch

    middle, spread = values[rows].mean(axis=0), values[rows].std(axis=0) + 1e-6
    scaled, target, share = (torch.tensor(x) for x in ((values - middle) / spread, wanted, weight))
    network = torch.nn.Sequential(
        torch.nn.Linear(values.shape[1], hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1), torch.nn.Flatten(0)
    )
    optimizer = torch.optim.Adam(network.parameters(), 3e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    order = torch.tensor(rows)
    for _ in range(epochs):
        for batch in order[torch.randperm(len(order))].split(4096):
            misfit = torch.nn.functional.binary_cross_entropy_with_logits(
                network(scaled[batch]), target[batch], share[batch]
            )
            optimizer.zero_grad()
            misfit.backward()
            optimizer.step()
        schedule.step()
    matrix = network[0].weight.detach().numpy() / spread
    bias = network[0].bias.detach().numpy() - matrix @ middle
    return energy.Weights(matrix, bias, network[2].weight.detach().numpy()[0], float(network[2].bias.detach()))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect")
    collecting.add_argument("seed", type=int)
    collecting.add_argument("--colin27", type=Path)
    collecting.add_argument("--shared", type=Path)
    collecting.add_argument("--growing", type=float, default=0.25, help="part of the cases that begin with nothing")
    collecting.add_argument("--minutes", type=float, default=10)
    fitting = commands.add_parser("fit")
    fitting.add_argument("stage", choices=("first", "second"))
    fitting.add_argument("--hidden", type=int, default=24)
    fitting.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    if options.command == "fit":
        fit(options.stage, options.hidden, options.epochs)
        return
    cases = list(all_cases("tune", options.colin27, options.shared))
    cases += [case for seed in range(104 + options.seed * 4, 108 + options.seed * 4) for case in phantom(seed)]
    if options.shared is not None:
        cases += label_map_cases(options.shared / "synthseg_label_maps", options.seed)
    collect(options.seed, cases, options.minutes, options.growing)


if __name__ == "__main__":
    main()
