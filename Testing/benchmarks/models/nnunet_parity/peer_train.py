"""Train small model folders with nnU-Net's own trainer; what is there already is kept.

    PEER_PYTHON Testing/benchmarks/models/nnunet_parity/peer_train.py --work FOLDER --data FOLDER [--only NAME...]

Runs in the environment of nnU-Net. A model that trained for a minute is no good; it is a model as nnU-Net makes it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))


@dataclass(frozen=True)
class Training:
    """A model folder to make.

    Attributes:
        name: Of the row of the table.
        dataset: Of `peer_datasets.DATASETS`.
        plans: Name of nnU-Net's plans; ResEnc plans have residual encoders.
        configuration: Of the plans.
        folds: To train.
        epochs: Of 20 batches.
        memory_gb: What the plans may use of a GPU: the smaller, the smaller the patches.
    """

    name: str
    dataset: str
    plans: str
    configuration: str
    folds: tuple[int | str, ...] = (0,)
    epochs: int = 6
    memory_gb: float = 0.9


TRAININGS = (
    Training("plain, two folds", "Hippocampus", "nnUNetPlans", "3d_fullres", (0, 1)),
    Training("residual encoder, regions", "Tumours", "nnUNetResEncUNetMPlans", "3d_fullres"),
    Training("2d", "Hippocampus", "nnUNetPlans", "2d"),
    Training("regions, two channels, transposed", "Tumours", "nnUNetPlans", "3d_fullres"),
    Training("2d, regions, two channels", "Tumours", "nnUNetPlans", "2d"),
    Training("anisotropic", "ThickHeadNeck", "nnUNetPlans", "3d_fullres", epochs=3, memory_gb=0.25),
    # All cases, because the next stage learns from what this one says of every case.
    Training("low resolution", "HeadNeck", "nnUNetPlans", "3d_lowres", ("all",), 3, 0.25),
    Training("cascade", "HeadNeck", "nnUNetPlans", "3d_cascade_fullres", epochs=3, memory_gb=0.25),
    Training("CT", "HeadNeck", "nnUNetPlans", "3d_fullres", epochs=3, memory_gb=0.25),
)


def model_folder(work: Path, training: Training) -> Path:
    """Where nnU-Net puts the model."""
    from peer_datasets import DATASETS

    name = f"nnUNetTrainer__{training.plans}__{training.configuration}"
    return work / "results" / DATASETS[training.dataset].folder / name


def prepare(work: Path, data: Path, training: Training) -> None:
    """Write the raw data, plan and preprocess, unless that is done."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api
    from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
        nnUNetPlannerResEncM,
    )
    from peer_datasets import DATASETS

    dataset = DATASETS[training.dataset]
    plans = work / "preprocessed" / dataset.folder / f"{training.plans}.json"
    if not plans.is_file():
        dataset.write(work / "raw", data)
        api.extract_fingerprint_dataset(dataset.number, num_processes=1, verbose=False, show_progress_bar=False)
        planner = {"experiment_planner_class": nnUNetPlannerResEncM} if "ResEnc" in training.plans else {}
        api.plan_experiment_dataset(dataset.number, gpu_memory_target_in_gb=training.memory_gb, **planner)
        _with_cascade(plans)
    document = json.loads(plans.read_text())
    done = work / "preprocessed" / dataset.folder / f".{training.plans}.{training.configuration}"
    if not done.exists():
        for configuration in _preprocessed(training):
            api.preprocess_dataset(dataset.number, training.plans, (configuration,), num_processes=(1,), verbose=False)
        done.touch()
    assert training.configuration in document["configurations"], f"no {training.configuration} in {plans}"


def _preprocessed(training: Training) -> tuple[str, ...]:
    """A cascade reads what its last stage reads without one, and the first stage predicts what the last one reads."""
    if "cascade" in training.configuration:
        return ("3d_fullres",)
    return (training.configuration, *(["3d_fullres"] if "lowres" in training.configuration else []))


def _with_cascade(path: Path) -> None:
    """Give plans that have none a coarse stage of twice the spacing, as nnU-Net plans one for larger volumes."""
    plans = json.loads(path.read_text())
    configurations = plans["configurations"]
    if "3d_lowres" in configurations or "HeadNeck" not in plans["dataset_name"] or "Thick" in plans["dataset_name"]:
        return
    low: dict[str, Any] = deepcopy(configurations["3d_fullres"])
    low |= {
        "data_identifier": f"{plans['plans_name']}_3d_lowres",
        "spacing": [2 * step for step in low["spacing"]],
        "median_image_size_in_voxels": [n / 2 for n in low["median_image_size_in_voxels"]],
        "next_stage": "3d_cascade_fullres",
        "batch_dice": False,
    }
    configurations["3d_lowres"] = low
    configurations["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    path.write_text(json.dumps(plans, indent=4))


def train(work: Path, training: Training) -> None:
    """Train the folds that have no final checkpoint; a first stage then predicts what the next one learns from."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from peer_datasets import DATASETS

    preprocessed = work / "preprocessed" / DATASETS[training.dataset].folder
    plans = json.loads((preprocessed / f"{training.plans}.json").read_text())
    description = json.loads((preprocessed / "dataset.json").read_text())
    for fold in training.folds:
        final = model_folder(work, training) / f"fold_{fold}" / "checkpoint_final.pth"
        passed_on = len([*final.parents[1].glob("predicted_next_stage/*/*.b2nd")])
        if final.is_file() and ("lowres" not in training.configuration or passed_on == description["numTraining"]):
            continue
        torch.manual_seed(0 if fold == "all" else fold)
        plans["continue_training"] = False
        trainer = nnUNetTrainer(deepcopy(plans), training.configuration, fold, description, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = (
            training.epochs,
            20,
            2,
        )
        trainer.oversample_foreground_percent = 0.8
        if final.is_file():
            trainer.load_checkpoint(str(final))
        else:
            trainer.run_training()
        if trainer.configuration_manager.next_stage_names:
            trainer.perform_actual_validation(save_probabilities=False)


def main() -> None:
    """Make all models, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=None)
    options = parser.parse_args()
    set_paths(options.work)
    for training in TRAININGS:
        if options.only is None or training.name in options.only:
            print(f"== {training.name}", flush=True)
            prepare(options.work, options.data, training)
            train(options.work, training)


def set_paths(work: Path) -> None:
    """Tell nnU-Net where its folders are, before it is imported."""
    for variable, name in (
        ("nnUNet_raw", "raw"),
        ("nnUNet_preprocessed", "preprocessed"),
        ("nnUNet_results", "results"),
    ):
        (work / name).mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(work / name)
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}


if __name__ == "__main__":
    main()
