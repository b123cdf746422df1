"""Projects, trainings and results of this library, by its command as a user gives it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import Shell
from scoring import Scores, plain_scores, scored
from splits import DataSet, link_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from commands import Ran


@dataclass(frozen=True)
class Bench:
    """Where a benchmark learns from a data set.

    Attributes:
        shell: Runs the commands.
        data: Folder of the test data.
        data_set: What is learned from.
        references: Folder of the named labels of all cases that are scored.
    """

    shell: Shell
    data: Path
    data_set: DataSet
    references: Path

    @property
    def work(self) -> Path:
        """Folder of all that is made."""
        return self.shell.work

    @property
    def project(self) -> Path:
        """The project that is learned from."""
        return self.work / "project"

    def add_cases(self, cases: tuple[str, ...], name: str) -> dict[str, Any]:
        """Collect cases with their references, all approved: their names in the project, and the time it took.

        The project is begun anew by whoever adds the first ones, so that a stop in the middle leaves no stray cases.
        """
        images, labels = link_cases(self.data_set, self.data, cases, self.work / "linked" / name)
        values = ",".join(f"{value}={segment}" for value, segment in self.data_set.values.items())
        words = ["project", "add", self.project, "--images", images, "--labels", labels, "--values", values]
        if not self.project.exists():
            words += ["--channel", self.data_set.channel]
        ran = self.shell.deepsegment(*words, "--status", "approved", "--json", name=f"collect {name}")
        listed = self.shell.deepsegment("project", "list", self.project, "--json", name="list").answer["cases"]
        # They come in the order of their files; those that were there before a stop in the middle are not told again.
        names = [each["name"] for each in listed][-len(cases) :]
        return {"cases": dict(zip(sorted(cases), names, strict=True)), **ran.took}

    def begin(self) -> None:
        """Remove an unfinished project."""
        shutil.rmtree(self.project, ignore_errors=True)

    def folder(self, training: str) -> Path:
        """Of a training."""
        return self.project / "trainings" / training

    def train(self, training: str, *options: object) -> dict[str, Any]:
        """Train: what it told, with patches per second and the time of preparing."""
        ran = self.shell.deepsegment(
            "train", self.project, "--name", training, *options, "--json", name=f"train {training}"
        )
        recipe = json.loads((self.folder(training) / "recipe.json").read_text())
        return trained(ran, recipe)

    def plan(self, training: str, *options: object) -> dict[str, Any]:
        """Make the recipe of a training, and no more."""
        words = ("train", self.project, "--name", training, *options, "--plan", "--json")
        self.shell.deepsegment(*words, name=f"plan {training}")
        return dict(json.loads((self.folder(training) / "recipe.json").read_text()))

    def write_recipe(self, training: str, recipe: dict[str, Any]) -> None:
        """Give a training that has not begun another recipe."""
        (self.folder(training) / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")

    def segmented(self, model: Path | str, cases: Sequence[str], name: str) -> tuple[Path, dict[str, Any]]:
        """Segment cases: the folder of their labels, and the time it took."""
        images, _ = link_cases(self.data_set, self.data, tuple(cases), self.work / "linked" / name)
        output = self.work / "segmented" / name
        shutil.rmtree(output, ignore_errors=True)
        words = ("segment", images, output, "--model", model, "--format", "nii.gz", "--json")
        return output, self.shell.deepsegment(*words, name=f"segment {name}").took

    def scored(self, model: Path | str, cases: Sequence[str], name: str) -> dict[str, Any]:
        """Segment cases and score them against their references; scores as JSON can hold them."""
        output, took = self.segmented(model, cases, name)
        return {"scores": plain_scores(self.scores(output, cases, name)), "segment": took}

    def scores(self, output: Path, cases: Sequence[str], name: str) -> Scores:
        """The scores of a folder of labels of some cases."""
        chosen = self.work / "references-of" / name
        shutil.rmtree(chosen, ignore_errors=True)
        chosen.mkdir(parents=True)
        for case in cases:
            for ending in (".nii.gz", ".labels.json"):
                (chosen / f"{case}{ending}").symlink_to((self.references / f"{case}{ending}").resolve())
        return scored(self.shell, chosen, output, name)


def trained(ran: Ran, recipe: dict[str, Any]) -> dict[str, Any]:
    """What a training told, in the words of both trainers."""
    told, batch = ran.answer, recipe["training"]["batch_size"]
    seconds = float(told["seconds"])
    stage = recipe["model"]["parts"][0]["stages"][-1]
    return {
        "iterations": told["iterations"],
        "batch": batch,
        "patch": stage["patch_shape"],
        "seconds": seconds,
        "patches_per_second": round(told["iterations"] * batch / seconds, 3),
        "preparation_seconds": round(ran.took["wall_seconds"] - seconds, 1),
        "loss": told["loss"],
        "reasons": recipe.get("reasons", []),
        "took": ran.took,
    }
