"""What taking missing structures for unknown is worth: head and neck CT with and without the marginal loss.

    python Testing/benchmarks/learning/partial_truth.py --data FOLDER --work FOLDER [--minutes 30]

Of 130 cases for training most lack some of the seven structures. Two models are trained by the same recipe, but for one
key: in one of them what nobody drew is unknown, in the other one it is background, as other trainers have it. Both
segment the 40 held-out cases; each structure is scored where it was drawn. Each step is kept in WORK.
"""

from __future__ import annotations

import argparse
import copy
from typing import Any

from commands import RESULTS, Shell, Steps, parsed_by, parser_of
from machine import own_versions
from own_trainings import Bench
from scoring import difference, from_plain, summary, write_references
from splits import DATA_SETS, split_of_data

WITH, WITHOUT = "marginal", "background"


def recipe_without_marginal_loss(recipe: dict[str, Any]) -> dict[str, Any]:
    """The same recipe, by which what nobody drew is background.

    Raises:
        KeyError: The recipe has no such key, so that both trainings would be the same.
    """
    changed = copy.deepcopy(recipe)
    if changed["loss"]["marginal"] is not True:
        raise KeyError("the recipe must take what nobody drew for unknown, for the other one to differ")
    changed["loss"]["marginal"] = False
    return changed


def train_both(bench: Bench, steps: Steps, minutes: float) -> None:
    """The two trainings, one after the other."""

    def without() -> dict[str, Any]:
        recipe = bench.plan(WITHOUT, *length)
        if recipe["loss"]["marginal"]:
            bench.write_recipe(WITHOUT, recipe_without_marginal_loss(recipe))
        return bench.train(WITHOUT, *length)

    length = ("--minutes", minutes, "--held-out", 0)
    steps.done(f"train {WITH}", lambda: bench.train(WITH, *length))
    steps.done(f"train {WITHOUT}", without)


def told(steps: dict[str, Any]) -> dict[str, Any]:
    """Both models side by side."""
    with_it, without = (from_plain(steps[f"score {each}"]["scores"]) for each in (WITH, WITHOUT))
    return {
        "trainings": {each: steps[f"train {each}"] for each in (WITH, WITHOUT)},
        WITH: summary(with_it),
        WITHOUT: summary(without),
        f"Dice, {WITH} less {WITHOUT}": difference(without, with_it),
    }


def parsed() -> argparse.Namespace:
    """The options."""
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of each training (default: 30)")
    parser.add_argument("--cases", type=int, help="learn from so many only; the report then stays in WORK")
    return parsed_by(parser)


def main() -> None:
    """Run what is missing, and write the report."""
    options = parsed()
    data_set, shell = DATA_SETS["headneck"], Shell(options.work)
    split = split_of_data(data_set, options.data).shortened(options.cases, options.held_out)
    references = write_references(data_set, options.data, split.held_out, shell.work / "references")
    bench = Bench(shell, options.data, data_set, references)
    settings = {"minutes": options.minutes, "training": split.training, "held_out": split.held_out}
    steps = Steps(shell.work / "steps.json", settings)

    def collect() -> dict[str, Any]:
        bench.begin()
        return bench.add_cases(split.training, "training")

    steps.done("collect", collect)
    train_both(bench, steps, options.minutes)
    for each in (WITH, WITHOUT):
        steps.done(f"score {each}", lambda each=each: bench.scored(bench.folder(each) / "model", split.held_out, each))
    report = told(steps.content["steps"]) | {"versions": own_versions(), "machine": steps.content["machine"]}
    full = options.cases is None and options.held_out is None
    target = (RESULTS if full else options.work) / "partial_truth.json"
    Steps.write(target, report)
    for name, gap in report[f"Dice, {WITH} less {WITHOUT}"]["by structure"].items():
        print(f"{name:14} {report[WITH][name]['dice']:.4f} {report[WITHOUT][name]['dice']:.4f} {gap:+.4f}")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
