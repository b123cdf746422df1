"""SIGKILLs at random moments of adding, getting and removing a model: what the catalogue holds afterwards.

    python Testing/benchmarks/models/catalogue_resilience.py --json Testing/benchmarks/results/catalogue_resilience.json

A small nnU-Net model of two folds, zipped, is added, got from a server of this machine and removed by the command, each
time in a process that gets SIGKILL at one of its file operations (drawn evenly; half of them up to 20 ms later, in the
middle of what it does then). After each kill the list of models must open and hold no half model; the next command must
do its work and leave nothing of the one before.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from zipfile import ZipFile

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from catalogue_kills import Action, faults, is_there, leftovers, operations, run, was_killed
from foreign_models.nnunet import architecture, configuration, plans_of, write_trained
from killed_command import report_of_kills
from local_web import certificate, https_context, local_web, whole

from DeepSegmentLib.files.models.known_models import Download, KnownModel

NAME = "killed"


def measure(folder: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """Kills of each action, and what was found after them."""
    os.environ["DEEPSEGMENT_MODELS"] = str(folder / "models")
    (folder / "models").mkdir()
    add = Action(("models", "add", str(zipped_source(folder)), "--name", NAME), before=False, after=True)
    remove = Action(("models", "remove", NAME), before=True, after=False)
    models = folder / "models"
    results = {"add": disturb(add, remove, models, repeats, rng), "remove": disturb(remove, add, models, repeats, rng)}
    with published(folder):
        get = Action(("models", "get", NAME), before=False, after=True)
        return results | {"get": disturb(get, remove, models, repeats, rng)}


@contextmanager
def published(folder: Path) -> Iterator[None]:
    """The archive on a server of this machine, in a list of known models that has nothing else."""
    made = certificate(folder)
    if made is None:
        sys.exit("no openssl command to make a certificate with")
    with local_web(https_context(*made)) as web:
        web.serve("/small.zip", whole((folder / "small.zip").read_bytes()))
        words = {
            "name": NAME, "title": "Small", "source": "Nobody", "kind": "nnU-Net v2 model", "licence": "CC0-1.0",
            "files": (Download(f"{web.address}/small.zip"),), "licence_url": "", "non_commercial": False,
            "needs_key": False, "citation": "", "modality": "CT", "structures": ("anterior",), "body_region": "head",
            "spacing_mm": None, "sample_data": "", "description": "Small.",
        }  # fmt: skip
        (folder / "lists").mkdir()
        listed = {"read_from": [], "left_out": "", "models": [asdict(KnownModel(**words))]}
        (folder / "lists" / "a.json").write_text(json.dumps(listed))
        os.environ |= {"DEEPSEGMENT_CATALOGUE": str(folder / "lists"), "SSL_CERT_FILE": str(made[0])}
        os.environ["XDG_DATA_HOME"] = str(folder / "data")
        yield


def zipped_source(folder: Path) -> Path:
    """A zipped nnU-Net model of two folds."""
    plans = plans_of({"3d_fullres": configuration(architecture=architecture(features_per_stage=[16, 32, 64]))})
    model = write_trained(folder / "source", plans=plans, folds=("0", "1"))
    archive = folder / "small.zip"
    with ZipFile(archive, "w") as written:
        for path in sorted(model.rglob("*")):
            written.write(path, path.relative_to(model.parent))
    return archive


def disturb(action: Action, back: Action, catalogue: Path, repeats: int, rng: np.random.Generator) -> dict[str, object]:
    """Kill an action again and again."""
    _reach(action.before, action, back, catalogue)
    total = operations(action, catalogue)
    counts: Counter[str] = Counter()
    for n in range(repeats):
        _reach(action.before, action, back, catalogue)
        delay_s = rng.uniform(0, 0.02) if n % 2 else 0.0
        done = run(action, catalogue, kill_at=int(rng.integers(1, total + 1)), delay_s=delay_s)
        counts["killed"] += was_killed(done)
        counts["done before the kill"] += is_there(NAME) == action.after
        counts += faults(catalogue, NAME)
        counts["times that something was left hidden"] += bool(leftovers(catalogue))
        counts["next commands that failed"] += not _reach(not is_there(NAME), action, back, catalogue)
        counts["files left after the next command"] += len(leftovers(catalogue))
        print(dict(counts), file=sys.stderr, flush=True)
    return {"file operations": total} | {key: counts[key] for key in COUNTED}


COUNTED = (
    "killed",
    "done before the kill",
    "times that something was left hidden",
    "half models in the list",
    "next commands that failed",
    "files left after the next command",
)


def _reach(wanted: bool, action: Action, back: Action, catalogue: Path) -> bool:
    """Bring the catalogue to where the model is there, or is not; whether that worked."""
    if is_there(NAME) == wanted:
        return True
    change = action if action.after == wanted else back
    return run(change, catalogue).returncode == 0 and is_there(NAME) == wanted


if __name__ == "__main__":
    report_of_kills(__doc__, measure)
