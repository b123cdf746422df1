"""Weights as TotalSegmentator publishes them, by name, classes and trainer, but small networks of random weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from foreign_models import nnunet

from DeepSegmentLib.files.models.importers.totalsegmentator.tasks import Dataset, Task, totalsegmentator_tasks

if TYPE_CHECKING:
    from pathlib import Path

TRAINER = "nnUNetTrainerNoMirroring"
PATCH = [16, 16, 16]


def task_named(name: str) -> Task:
    """One of TotalSegmentator's tasks, by our name of it."""
    return next(task for task in totalsegmentator_tasks().tasks if task.name == name)


def write_weights(root: Path, task: Task, number: int, *, labels: int | None = None, **changes: Any) -> Path:
    """What one weight archive of TotalSegmentator unpacks to.

    Args:
        root: Where to.
        task: Says configuration, folds and spacing.
        number: Of the data set.
        labels: How many the network has; as many as the data set's classes unless given.
        changes: Of the configuration.

    Returns:
        The data set's folder.
    """
    dataset = totalsegmentator_tasks().by_number[number]
    name = task.configuration
    trained = root / dataset.folder / f"{TRAINER}__nnUNetPlans__{name}"
    plans = _plans(dataset, task, changes)
    described = _described(dataset, labels or len(dataset.classes))
    trained.mkdir(parents=True)
    (trained / "plans.json").write_text(json.dumps(plans))
    (trained / "dataset.json").write_text(json.dumps(described))
    for n, fold in enumerate(task.folds or ("0",)):
        channels = nnunet.channels_of(plans, described, name)
        network = nnunet.foreign_network(plans["configurations"][name]["architecture"], *channels, seed=number + n)
        checkpoint = nnunet.checkpoint_of(network, name, trainer_name=TRAINER, inference_allowed_mirroring_axes=None)
        (trained / f"fold_{fold}").mkdir()
        torch.save(checkpoint, trained / f"fold_{fold}" / "checkpoint_final.pth")
    return root / dataset.folder


def _plans(dataset: Dataset, task: Task, changes: dict[str, Any]) -> dict[str, Any]:
    configuration = nnunet.configuration(
        spacing=list(task.spacing_mm or (2.0, 1.5, 1.5)),
        normalization_schemes=["CTNormalization" if task.modality == "CT" else "ZScoreNormalization"],
        **{"patch_size": PATCH} | changes,
    )
    return nnunet.plans_of({task.configuration: configuration}, dataset_name=dataset.folder)


def _described(dataset: Dataset, labels: int) -> dict[str, Any]:
    names = [*dataset.classes, *(f"extra_{n}" for n in range(labels))][:labels]
    return nnunet.dataset_of(
        channel_names={"0": "CT"}, labels={"background": 0} | {name: n + 1 for n, name in enumerate(names)}
    )
