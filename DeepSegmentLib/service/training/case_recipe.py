"""The recipe of a training from cases: all that fixes it, as JSON that a person can read and change."""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from DeepSegmentLib.data.dataclass_json import to_json
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.networks.model_spec import ModelSpec, Part
from DeepSegmentLib.training.fine_tuning.settings import FineTuning
from DeepSegmentLib.training.fitting.settings import LossSettings, TrainSettings
from DeepSegmentLib.training.patches.case_source import PatchSettings
from DeepSegmentLib.training.unlabelled.settings import UnlabelledSettings

from .recipe_file import read_recipe_file, recipe_digest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Parent:
    """The model that a training begins from.

    Attributes:
        name: As the catalogue calls it, or the path of its folder.
        version: Of the model.
        sha256: Of its weights: another model of that name is refused.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class CaseRecipe:
    """Everything that makes a model from the cases of a project.

    Attributes:
        model: The spec to write; its segments are what is learned.
        training: The schedule.
        patches: What the network sees of the cases.
        loss: What is minimised.
        parent: What it begins from; None for random weights.
        tuning: Which weights of the parent learn, and how quickly; None without a parent.
        cases: Names of the cases that are learned from; empty for all of the project that may be, and are not held out.
        held_out: Names of cases that are never learned from: old and new model are compared on them.
        watched: Names of held-out cases that the network is tried out on while it is trained.
        replay: Share of the patches that come from cases the parent knows already, where there are such.
        unreviewed: How much voxels count that nobody looked at, 0 to 1.
        unlabelled: Volumes without labels that are learned from, too; None without.
        reasons: Why the figures are as they are, a sentence each; changing them changes nothing.
    """

    model: ModelSpec
    training: TrainSettings
    patches: PatchSettings = field(default_factory=PatchSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    parent: Parent | None = None
    tuning: FineTuning | None = None
    cases: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    replay: float = 0.5
    unreviewed: float = 0.25
    unlabelled: UnlabelledSettings | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.model.parts) != 1 or len(self.model.stages) != 1 or len(self.model.weights) != 1:
            raise InvalidInputError("a training fits one network, so its model must have one part, stage and member")
        if not (0 <= self.replay < 1 and 0 <= self.unreviewed <= 1):
            raise InvalidInputError(
                f"replay must be from 0 to below 1 and unreviewed from 0 to 1, got {self.replay} and {self.unreviewed}"
            )
        if {*self.cases} & {*self.held_out}:
            raise InvalidInputError("a case can be learned from or held out, not both")
        if not {*self.watched} <= {*self.held_out}:
            raise InvalidInputError("only held-out cases can be watched: what is learned from tells nothing")

    @property
    def part(self) -> Part:
        """The only part of the model."""
        return self.model.parts[0]

    @property
    def sha256(self) -> str:
        """A digest of all that the recipe says."""
        return recipe_digest(self)


def read_case_recipe(path: Path) -> CaseRecipe:
    """Read a recipe, see `read_recipe_file`."""
    return read_recipe_file(CaseRecipe, path)


def write_case_recipe(recipe: CaseRecipe, path: Path) -> None:
    """Write a recipe, completely or not at all."""
    write_text(path, json.dumps(to_json(recipe), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
