"""Whether a model forgets old cases when it learns from new ones, with replay and without.

    python Testing/benchmarks/learning/forgetting.py --data FOLDER --work FOLDER [--minutes 10]

The new cases of hippocampus are unlike the old ones: their intensities are inverted, as those of another sequence may
be. A model is trained on 20 old cases and fine-tuned on 10 new ones, once with the old cases replayed and once without
(`replay` of the recipe). All three models segment the held-out cases, as they are (old) and inverted (new): fine-tuning
shall win on the new ones, and replay shall keep the old ones. Each step is kept in WORK.
"""

from __future__ import annotations

import argparse
import copy
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from commands import RESULTS, Shell, Steps, parsed_by, parser_of
from machine import own_versions
from own_trainings import Bench
from scoring import difference, from_plain, summary, write_references
from splits import DATA_SETS, split_of_data

from DeepSegmentLib.data import Volume
from DeepSegmentLib.files.volumes import read_volume, write_volume

FULL = {"cases": 20, "further": 10, "held_out": None}
FIRST, REPLAY, NO_REPLAY = "first", "replay", "no-replay"


def recipe_without_replay(recipe: dict[str, Any]) -> dict[str, Any]:
    """The same recipe, by which only new cases are learned from.

    Raises:
        KeyError: The recipe has no replay, so that both trainings would be the same.
    """
    changed = copy.deepcopy(recipe)
    if not changed["replay"] > 0:
        raise KeyError("the recipe must replay old cases, for the other one to differ")
    changed["replay"] = 0.0
    return changed


def inverted(volume: Volume) -> Volume:
    """Bright where it was dark, in the same range."""
    values = volume.voxels
    return replace(volume, voxels=(values.max() + values.min()) - values)


def write_inverted(data: Path, cases: tuple[str, ...], target: Path) -> None:
    """A data folder of some cases, with inverted volumes and the labels as they are."""
    data_set = DATA_SETS["hippocampus"]
    for kind in (data_set.images, data_set.labels):
        shutil.rmtree(target / kind, ignore_errors=True)
        (target / kind).mkdir(parents=True)
    for case in cases:
        write_volume(inverted(read_volume(data_set.image(data, case))), data_set.image(target, case))
        data_set.label(target, case).symlink_to(data_set.label(data, case).resolve())


@dataclass(frozen=True)
class Worlds:
    """The cases as they are and inverted, which share project and work.

    Attributes:
        old: Of the data as they are.
        new: Of the inverted data.
    """

    old: Bench
    new: Bench

    def begin(self, cases: tuple[str, ...]) -> dict[str, Any]:
        """The old cases, in a new project."""
        self.old.begin()
        return self.old.add_cases(cases, "old")

    def scored(self, training: str, cases: tuple[str, ...]) -> dict[str, Any]:
        """A model on held-out cases of both worlds."""
        model = self.old.folder(training) / "model"
        return {
            "old": self.old.scored(model, cases, f"{training}-old"),
            "new": self.new.scored(model, cases, f"{training}-new"),
        }


def train_all(
    worlds: Worlds, steps: Steps, old: tuple[str, ...], new: tuple[str, ...], options: argparse.Namespace
) -> None:
    """The first model from old cases; new ones come into the project; then fine-tuned with replay, and without."""
    bench = worlds.old

    def without() -> dict[str, Any]:
        recipe = bench.plan(NO_REPLAY, *tuning)
        if recipe["replay"]:
            bench.write_recipe(NO_REPLAY, recipe_without_replay(recipe))
        return bench.train(NO_REPLAY, *tuning)

    first = ("--minutes", options.first_minutes, "--held-out", 0)
    tuning = ("--from", bench.folder(FIRST) / "model", "--minutes", options.minutes, "--held-out", 0)
    steps.done("collect old", lambda: worlds.begin(old))
    steps.done(f"train {FIRST}", lambda: bench.train(FIRST, *first))
    steps.done("collect new", lambda: worlds.new.add_cases(new, "new"))
    steps.done(f"train {REPLAY}", lambda: bench.train(REPLAY, *tuning))
    steps.done(f"train {NO_REPLAY}", without)


def told(steps: dict[str, Any]) -> dict[str, Any]:
    """All three models on both worlds, and the fine-tuned ones against the first."""
    found: dict[str, Any] = {}
    for world in ("old", "new"):
        scores = {each: from_plain(steps[f"score {each}"][world]["scores"]) for each in (FIRST, REPLAY, NO_REPLAY)}
        found[world] = {each: summary(of) for each, of in scores.items()}
        for each in (REPLAY, NO_REPLAY):
            found[world][f"Dice, {each} less {FIRST}"] = difference(scores[FIRST], scores[each])
        found[world][f"Dice, {REPLAY} less {NO_REPLAY}"] = difference(scores[NO_REPLAY], scores[REPLAY])
    return found


def parsed() -> argparse.Namespace:
    """The options."""
    parser = parser_of(__doc__)
    parser.add_argument("--first-minutes", type=float, default=15.0, help="of the first training (default: 15)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each fine-tuning (default: 10)")
    parser.add_argument("--cases", type=int, default=FULL["cases"], help="old ones to learn from (default: 20)")
    parser.add_argument("--further", type=int, default=FULL["further"], help="new ones (default: 10)")
    return parsed_by(parser)


def main() -> None:
    """Run what is missing, and write the report."""
    options = parsed()
    data_set, shell = DATA_SETS["hippocampus"], Shell(options.work)
    split = split_of_data(data_set, options.data).shortened(None, options.held_out)
    old, new = split.parts(options.cases, options.further)
    references = write_references(data_set, options.data, split.held_out, shell.work / "references")
    turned = shell.work / "inverted"
    worlds = Worlds(Bench(shell, options.data, data_set, references), Bench(shell, turned, data_set, references))
    settings = {"minutes": [options.first_minutes, options.minutes], "old": old, "new": new, "held_out": split.held_out}
    steps = Steps(shell.work / "steps.json", settings)

    def invert() -> dict[str, Any]:
        write_inverted(options.data, (*new, *split.held_out), turned)
        return {}

    steps.done("invert", invert)
    train_all(worlds, steps, old, new, options)
    for each in (FIRST, REPLAY, NO_REPLAY):
        steps.done(f"score {each}", lambda each=each: worlds.scored(each, split.held_out))
    report = told(steps.content["steps"]) | {"versions": own_versions(), "machine": steps.content["machine"]}
    full = all(getattr(options, key) == value for key, value in FULL.items())
    target = (RESULTS if full else options.work) / "forgetting.json"
    Steps.write(target, report)
    for world in ("old", "new"):
        print(world, {each: report[world][each]["all"]["dice"] for each in (FIRST, REPLAY, NO_REPLAY)})
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
