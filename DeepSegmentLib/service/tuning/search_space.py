"""What of a recipe is tried out otherwise, and how far from what was planned."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from DeepSegmentLib.training.patches.augmentation_settings import PRESETS, augmentation_preset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from DeepSegmentLib.service.training.case_recipe import CaseRecipe

Choices = dict[str, Any]
"""Values by their names, as a trial tells them."""

_FARTHEST = 10.0  # times the planned learning rate, or a part of it
_SGD_RATE = 10.0  # nnU-Net's 1e-2 with momentum, where AdamW has 1e-3
_WEIGHT_DECAY = (1e-5, 1e-1)
_BATCH = (0.5, 1.0, 2.0)
_FOREGROUND = (0.1, 0.9)

PLANNED: Mapping[str, Any] = MappingProxyType(
    {"optimizer": "adamw", "rate": 1.0, "dice_share": 0.5, "batch": 1.0, "augmentation": "default"}
)
"""Choices that change nothing of a recipe that was planned; the others are the recipe's own figures."""


class Suggesting(Protocol):
    """Gives the values of a trial, such as a trial of Optuna does."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number in a range."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""


def choices_of(trial: Suggesting) -> Choices:
    """The values of a trial; the same names and ranges for every recipe, so that a study can go on."""
    return {
        "optimizer": trial.suggest_categorical("optimizer", ("adamw", "sgd")),
        "rate": trial.suggest_float("rate", 1 / _FARTHEST, _FARTHEST, log=True),
        "weight_decay": trial.suggest_float("weight_decay", *_WEIGHT_DECAY, log=True),
        "augmentation": trial.suggest_categorical("augmentation", tuple(PRESETS)),
        "dice_share": trial.suggest_float("dice_share", 0.0, 1.0),
        "balance": trial.suggest_float("balance", 0.0, 1.0),
        "foreground": trial.suggest_float("foreground", *_FOREGROUND),
        "batch": trial.suggest_categorical("batch", _BATCH),
    }


def planned_choices(recipe: CaseRecipe) -> Choices:
    """The values by which a planned recipe stays as it is: the first trial."""
    return {
        **PLANNED,
        "weight_decay": recipe.training.weight_decay,
        "balance": recipe.loss.balance,
        "foreground": recipe.patches.foreground,
    }


def with_choices(recipe: CaseRecipe, choices: Mapping[str, Any]) -> CaseRecipe:
    """A recipe with the values of a trial.

    Args:
        recipe: As it was planned.
        choices: "rate" and "batch" are times those of the recipe; the rate of SGD is ten times as large. "dice_share"
            parts the weights of the loss between Dice and cross-entropy; all else is as in the recipe.
    """
    sgd = choices["optimizer"] == "sgd"
    training = replace(
        recipe.training,
        optimizer=choices["optimizer"],
        learning_rate=recipe.training.learning_rate * choices["rate"] * (_SGD_RATE if sgd else 1),
        weight_decay=choices["weight_decay"],
        batch_size=max(1, round(recipe.training.batch_size * choices["batch"])),
    )
    total = recipe.loss.dice + recipe.loss.cross_entropy
    share = choices["dice_share"]
    loss = replace(recipe.loss, dice=total * share, cross_entropy=total * (1 - share), balance=choices["balance"])
    augmentation = augmentation_preset(choices["augmentation"])
    patches = replace(recipe.patches, foreground=choices["foreground"], augmentation=augmentation)
    return replace(recipe, training=training, loss=loss, patches=patches)
