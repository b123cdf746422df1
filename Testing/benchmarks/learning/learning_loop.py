"""The loop on real data: train, segment, correct, collect, fine-tune, compare, promote.

    python Testing/benchmarks/learning/learning_loop.py --data FOLDER --work FOLDER [--data-set hippocampus headneck]
        [--first-minutes 15] [--minutes 15] [--prompts 6]

A model is trained on 20 cases. It segments 10 further ones; a robot user corrects them, badly pointing, with a limited
number of prompts for each structure (of headneck only of structures that were drawn: the others stay unknown); they are
collected with their journals, and the model is fine-tuned from itself on them, with the 20 old cases replayed. Old and
new model are compared on the held-out cases, by `deepsegment compare` and, independently of it, by `segment` and
`evaluate`; the new one is promoted where `deepsegment promote` lets it. The report tells also what got worse.

Each step is kept in WORK: a run that was stopped goes on. `--cases`, `--further`, `--held-out` and the minutes make it
short; the report then stays in WORK.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from commands import RESULTS, Shell, Steps, parsed_by, parser_of
from machine import own_versions
from own_trainings import Bench
from robot_corrections import correct_case, drawn_masks
from scoring import difference, from_plain, got_worse, summary, write_references
from splits import DATA_SETS, DataSet, split_of_data

FULL = {"cases": 20, "further": 10, "held_out": None}


@dataclass(frozen=True)
class Loop:
    """One loop on one data set.

    Attributes:
        bench: Its project and commands.
        old: Cases that the first model learns from.
        new: Cases that are corrected.
        held_out: Cases that both models are compared on.
        options: Of the command.
    """

    bench: Bench
    old: tuple[str, ...]
    new: tuple[str, ...]
    held_out: tuple[str, ...]
    options: argparse.Namespace

    @property
    def first(self) -> str:
        """The first training; its model has the name of the data set."""
        return f"{self.bench.data_set.name}-first"

    @property
    def second(self) -> str:
        """The fine-tuning."""
        return f"{self.bench.data_set.name}-tuned"

    def model(self, training: str) -> Path:
        """The candidate of a training."""
        return self.bench.folder(training) / "model"

    def collect(self) -> dict[str, Any]:
        """The old cases and the held-out ones, in a new project."""
        self.bench.begin()
        return {
            "old": self.bench.add_cases(self.old, "old"),
            "held_out": self.bench.add_cases(self.held_out, "held-out"),
        }

    def correct(self, case: str, results: Path) -> dict[str, Any]:
        """Correct the result of a case and collect it, as often as the step is begun."""
        data_set, data, folder = self.bench.data_set, self.bench.data, self.bench.work / "corrected" / case
        shutil.rmtree(folder, ignore_errors=True)
        image = data_set.image(data, case)
        truth = drawn_masks(data_set.label(data, case), data_set.values, image)
        begun = time.perf_counter()
        seed = self.new.index(case)
        done = correct_case(
            image, results / f"{case}.nii.gz", truth, folder, most_prompts=self.options.prompts, seed=seed
        )
        seconds = round(time.perf_counter() - begun, 1)
        words = ("project", "add", self.bench.project, image, folder / "labels.seg.nrrd", "--status", "approved")
        words += ("--journal", folder / "journal", "--drawn", ",".join(done.drawn), "--by", "robot", "--json")
        ran = self.bench.shell.deepsegment(*words, name=f"collect {case}")
        return asdict(done) | {"seconds": seconds, "collected": ran.answer["cases"][0]}

    def compare(self) -> dict[str, Any]:
        """`deepsegment compare`, whose page stays in the project."""
        words = ("compare", self.bench.project, self.second, "--with", self.model(self.first), "--json")
        ran = self.bench.shell.deepsegment(*words, name="compare")
        return {"answer": ran.answer, "took": ran.took}

    def promote(self) -> dict[str, Any]:
        """`deepsegment promote`; a refusal is a result, too."""
        ran = self.bench.shell.attempt("promote", self.bench.folder(self.second), "--json", name="promote")
        return {"promoted": not ran.failure, "refusal": ran.failure, "answer": ran.answer}


def run(loop: Loop, steps: Steps) -> dict[str, Any]:
    """All steps that are missing; the report."""
    bench, options = loop.bench, loop.options
    collected = steps.done("collect", loop.collect)
    held_out = ",".join(collected["held_out"]["cases"].values())
    length = ("--minutes", options.first_minutes)
    steps.done("train", lambda: bench.train(loop.first, *length, "--held-out", held_out))
    steps.done("segment", lambda: bench.segmented(loop.model(loop.first), loop.new, "further")[1])
    results = bench.work / "segmented" / "further"
    for case in loop.new:
        steps.done(f"correct {case}", lambda case=case: loop.correct(case, results))
    tuning = ("--from", loop.model(loop.first), "--minutes", options.minutes, "--held-out", held_out)
    steps.done("tune", lambda: bench.train(loop.second, *tuning))
    for training in (loop.first, loop.second):
        steps.done(f"score {training}", lambda each=training: bench.scored(loop.model(each), loop.held_out, each))
    report = told(loop, steps.content["steps"])
    steps.done("compare", loop.compare)
    steps.done("promote", loop.promote)
    return report | {name: steps.content["steps"][name] for name in ("compare", "promote")}


def told(loop: Loop, steps: dict[str, Any]) -> dict[str, Any]:
    """What came of it, as far as training and our own scores tell."""
    before, after = (from_plain(steps[f"score {each}"]["scores"]) for each in (loop.first, loop.second))
    corrected = {case: steps[f"correct {case}"] for case in loop.new}
    worse = got_worse(before, after)
    gap = difference(before, after)
    return {
        "cases": {"old": len(loop.old), "new": len(loop.new), "held out": len(loop.held_out)},
        "prompts": sum(sum(each["prompts"].values()) for each in corrected.values()),
        "corrections": corrected,
        "train": steps["train"],
        "tune": steps["tune"],
        "before": summary(before),
        "after": summary(after),
        "Dice, after less before": gap,
        "structures that got worse": {name: value for name, value in gap["by structure"].items() if value < 0},
        "cases that got worse by 0.02 or more": worse,
    }


def loop_of(data_set: DataSet, options: argparse.Namespace) -> Loop:
    """The loop of a data set."""
    split = split_of_data(data_set, options.data)
    old, new = split.parts(options.cases, options.further)
    held_out = split.held_out[: options.held_out]
    shell = Shell(options.work / data_set.name)
    references = write_references(data_set, options.data, held_out, shell.work / "references")
    return Loop(Bench(shell, options.data, data_set, references), old, new, held_out, options)


def settings_of(loop: Loop) -> dict[str, Any]:
    """What the steps follow from."""
    options = loop.options
    kept = {key: getattr(options, key) for key in ("first_minutes", "minutes", "prompts")}
    return kept | {"old": loop.old, "new": loop.new, "held_out": loop.held_out}


def parsed() -> argparse.Namespace:
    """The options."""
    parser = parser_of(__doc__)
    parser.add_argument("--data-set", nargs="+", choices=DATA_SETS, default=[*DATA_SETS])
    parser.add_argument("--first-minutes", type=float, default=15.0, help="of the first training (default: 15)")
    parser.add_argument("--minutes", type=float, default=15.0, help="of the fine-tuning (default: 15)")
    parser.add_argument("--prompts", type=int, default=6, help="of the robot, for each structure (default: 6)")
    parser.add_argument("--cases", type=int, default=FULL["cases"], help="of the first training (default: 20)")
    parser.add_argument("--further", type=int, default=FULL["further"], help="to correct (default: 10)")
    return parsed_by(parser)


def main() -> None:
    """Run what is missing, and write the report."""
    options = parsed()
    reports: dict[str, Any] = {"versions": own_versions(), "data_sets": {}}
    for name in options.data_set:
        loop = loop_of(DATA_SETS[name], options)
        steps = Steps(loop.bench.work / "steps.json", settings_of(loop))
        reports["machine"] = steps.content["machine"]
        reports["data_sets"][name] = run(loop, steps)
    is_full = all(getattr(options, key) == value for key, value in FULL.items())
    target = (RESULTS if is_full else options.work) / "learning_loop.json"
    Steps.write(target, reports)
    for name, report in reports["data_sets"].items():
        print(name, report["before"]["all"], "->", report["after"]["all"], report["Dice, after less before"])
        print(f"  worse: {report['structures that got worse']}, promoted: {report['promote']['promoted']}")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
