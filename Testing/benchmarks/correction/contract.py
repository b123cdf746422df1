"""Does every correction keep its contract? Thousands of random interactions, judged without the engine.

    python Testing/benchmarks/correction/contract.py --interactions 10000 --json FILE

Random volumes (oblique, flipped, slabs, one-voxel axes), labels (layers, locks, masks, intensity ranges) and prompts of
all kinds. After each one an independent referee (`Testing/correction_worlds.py`) looks at every voxel; every fourth one
is previewed as well, undone and redone. At the end of each session all is undone, back to the start bit for bit. A
last session on a large volume goes through the coarser blocks of wide edits. Stops with an error at the first breach.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from correction_worlds import KINDS, Referee, interact, random_world

from DeepSegmentLib.data import Geometry

PER_SESSION = 100
LARGE_SHAPE = (80, 90, 100)
MIB = 1 << 20


def play(rng, world, count):
    """One session: how many prompts were taken, voxels changed, bytes of history; all undone at the end."""
    session, referee = world.session(), Referee(world)
    taken = sum(interact(rng, session, referee, preview=n % 4 == 0) for n in range(count))
    history, differing = session.history_bytes, int((session.labels.layers != world.labels.layers).sum())
    undone = 0
    while session.undo() is not None:
        undone += 1
    if undone != taken or not np.array_equal(session.labels.layers, world.labels.layers):
        raise AssertionError(f"{undone} of {taken} interactions were undone, not back to the start")
    return {"taken": taken, "history_bytes": history, "voxels": differing}


def world_for(seed):
    """The first random world from a seed on in which a segment is not locked."""
    rng = np.random.default_rng(seed)
    world = random_world(rng)
    while not world.free_names:
        world = random_world(rng)
    return rng, world


def large(count, seed=0):
    """A session on an oblique, flipped volume of 720,000 voxels."""
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * [1.2, -0.9, 0.9]
    return play(rng, random_world(rng, geometry=Geometry(LARGE_SHAPE, affine)), count)


def measure(interactions, seed, large_interactions):
    """All sessions; resident memory after each tenth of them."""
    process, start = psutil.Process(), time.perf_counter()
    sessions = -(-interactions // PER_SESSION)
    results, memory = [], []
    for number in range(sessions):
        rng, world = world_for([seed, number])
        results.append(play(rng, world, PER_SESSION))
        if (number + 1) % max(1, sessions // 10) == 0:
            memory.append(round(process.memory_info().rss / MIB, 1))
            print(f"{(number + 1) * PER_SESSION} interactions, {time.perf_counter() - start:.0f} s, {memory[-1]} MiB")
    wide = large(large_interactions) if large_interactions else None
    total = sum(result["taken"] for result in results)
    return {
        "interactions": sessions * PER_SESSION,
        "sessions": sessions,
        "kinds": list(KINDS),
        "applied": total,
        "marked_no_voxel": sessions * PER_SESSION - total,
        "breaches": 0,
        "undone_to_the_start": sessions,
        "history_bytes_per_interaction": round(sum(r["history_bytes"] for r in results) / total, 1),
        "resident_mib": memory,
        "large": wide and {"shape": LARGE_SHAPE, "interactions": large_interactions, "breaches": 0, **wide},
        "seconds": round(time.perf_counter() - start, 1),
        "seed": seed,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def main():
    """Measure, print, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=40, help="interactions on a large volume")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = measure(options.interactions, options.seed, options.large)
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
