"""nnU-Net's own trainer on the CPU for a given time, in its environment.

    PEER_PYTHON .../peer_nnunet_trainer.py prepare --work FOLDER --data-set JSON --variant NAME
    PEER_PYTHON .../peer_nnunet_trainer.py train   ... --minutes 10
    PEER_PYTHON .../peer_nnunet_trainer.py predict ... --output FOLDER

JSON is what `splits.py` writes. `prepare` writes the raw data set (links), plans and preprocesses; `train` trains for
so many minutes from the first step on; `predict` segments the held-out cases. Each prints a line of JSON at its end.

What is nnU-Net's: planning, preprocessing, network, loss, optimiser, augmentation, sampling, the shape of the schedule
and the predictor. What is changed: the learning rate falls with the time instead of the epochs, so that the schedule
ends when the time does; nothing is validated on the way, so that all of the time is training. The variants give nnU-Net
what its users would try on such a machine; none of its other settings is touched.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGURATION = "3d_fullres"
PLANS = "nnUNetPlans"


@dataclass(frozen=True)
class Variant:
    """How nnU-Net is set up.

    Attributes:
        batch: Size; None for that of the plans.
        features: Share of the plans' features.
        memory_gb: For which the patch is planned; None for nnU-Net's own, 8.
        bfloat16: Whether the network computes in bfloat16, which nnU-Net itself does on GPUs only (float16 there).
        ignore: Whether the background of cases in which a structure is missing is nnU-Net's ignore label; otherwise
            what is missing is background, as nnU-Net's users have it.
    """

    batch: int | None = None
    features: float = 1.0
    memory_gb: float | None = None
    bfloat16: bool = False
    ignore: bool = False


VARIANTS = {
    "default": Variant(),
    "batch2": Variant(batch=2),
    "batch2-half": Variant(batch=2, features=0.5),
    "bf16": Variant(bfloat16=True),
    "batch2-bf16": Variant(batch=2, bfloat16=True),
    "batch2-half-bf16": Variant(batch=2, features=0.5, bfloat16=True),
    "small-patch": Variant(memory_gb=2.0),
    "small-patch-bf16": Variant(memory_gb=2.0, bfloat16=True),
    "small-patch-ignore": Variant(memory_gb=2.0, ignore=True),
    "small-patch-ignore-bf16": Variant(memory_gb=2.0, bfloat16=True, ignore=True),
}


def plans_of(plans: dict[str, Any], variant: Variant, name: str) -> dict[str, Any]:
    """The plans of a variant, made of nnU-Net's; the preprocessed data stay those of the plans."""
    changed = deepcopy(plans)
    changed["plans_name"] = name
    configuration = changed["configurations"][CONFIGURATION]
    if variant.batch is not None:
        configuration["batch_size"] = variant.batch
    network = configuration["architecture"]["arch_kwargs"]
    network["features_per_stage"] = [max(1, round(variant.features * n)) for n in network["features_per_stage"]]
    return changed


def with_ignored(labels: Any, structures: int) -> Any:
    """Labels in which the background is to be ignored where a structure is missing: it may be anywhere there."""
    import numpy as np

    if len(np.setdiff1d(np.arange(1, structures + 1), labels)):
        return np.where(labels == 0, labels.dtype.type(structures + 1), labels)
    return labels


@dataclass(frozen=True)
class Peer:
    """One variant on one data set.

    Attributes:
        work: Folder of all that nnU-Net writes.
        described: The data set, as `splits.py` writes it.
        name: Of the variant.
    """

    work: Path
    described: dict[str, Any]
    name: str

    @property
    def variant(self) -> Variant:
        """What the name means."""
        return VARIANTS[self.name]

    @property
    def number(self) -> int:
        """Of the data set; with ignored labels it is another one."""
        return int(self.described["number"]) + (100 if self.variant.ignore else 0)

    @property
    def folder(self) -> str:
        """As nnU-Net names the data set."""
        return f"Dataset{self.number:03d}_{self.described['name']}"

    @property
    def planned(self) -> str:
        """Name of nnU-Net's plans that the variant's are made of."""
        memory = self.variant.memory_gb
        return PLANS if memory is None else f"{PLANS}_{memory:g}GB"

    @property
    def preprocessed(self) -> Path:
        """Folder of the data set."""
        return self.work / "preprocessed" / self.folder

    def plans(self) -> dict[str, Any]:
        """Of the variant."""
        plans = json.loads((self.preprocessed / f"{self.planned}.json").read_text())
        return plans_of(plans, self.variant, f"{self.planned}_{self.name}")

    def trained(self) -> Path:
        """Where nnU-Net puts the model."""
        plans = f"{self.planned}_{self.name}"
        return self.work / "results" / self.folder / f"nnUNetTrainer__{plans}__{CONFIGURATION}"


def set_paths(work: Path) -> None:
    """Tell nnU-Net where its folders are, before it is imported."""
    for variable, name in (
        ("nnUNet_raw", "raw"),
        ("nnUNet_preprocessed", "preprocessed"),
        ("nnUNet_results", "results"),
    ):
        (work / name).mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(work / name)


def write_raw(peer: Peer) -> None:
    """The raw data set: links to the files, and labels anew where some of them are to be ignored."""
    raw, values = peer.work / "raw" / peer.folder, peer.described["values"]
    for kind in ("imagesTr", "labelsTr", "imagesTs"):
        shutil.rmtree(raw / kind, ignore_errors=True)
        (raw / kind).mkdir(parents=True)
    for case in peer.described["cases"]["training"]:
        (raw / "imagesTr" / f"{case['name']}_0000.nii.gz").symlink_to(case["image"])
        target = raw / "labelsTr" / f"{case['name']}.nii.gz"
        if peer.variant.ignore:
            _write_ignored(case["label"], target, len(values))
        else:
            target.symlink_to(case["label"])
    for case in peer.described["cases"]["held_out"]:
        (raw / "imagesTs" / f"{case['name']}_0000.nii.gz").symlink_to(case["image"])
    labels = {"background": 0} | {name: int(value) for value, name in values.items()}
    if peer.variant.ignore:
        labels["ignore"] = len(values) + 1
    document = {
        "channel_names": {"0": "CT" if peer.described["channel"].endswith(":CT") else "MRI"},
        "labels": labels,
        "numTraining": len(peer.described["cases"]["training"]),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(document, indent=1))


def _write_ignored(source: str, target: Path, structures: int) -> None:
    import SimpleITK as sitk

    image = sitk.ReadImage(source)
    changed = sitk.GetImageFromArray(with_ignored(sitk.GetArrayFromImage(image), structures))
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(target))


def prepare(peer: Peer) -> dict[str, Any]:
    """Write the raw data, plan and preprocess, unless that is done; with the seconds that it took when it was."""
    done = peer.preprocessed / f".{peer.planned}.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    write_raw(peer)
    begun = time.perf_counter()
    api.extract_fingerprint_dataset(peer.number, num_processes=2, verbose=False, show_progress_bar=False)
    api.plan_experiment_dataset(
        peer.number, gpu_memory_target_in_gb=peer.variant.memory_gb, overwrite_plans_name=peer.planned
    )
    api.preprocess_dataset(peer.number, peer.planned, (CONFIGURATION,), num_processes=(2,), verbose=False)
    taken = {"preparation_seconds": round(time.perf_counter() - begun, 1)}
    done.write_text(json.dumps(taken))
    return taken


def rate_at(share: float, first: float) -> float:
    """nnU-Net's polynomial learning rate, by the share of the time that is over."""
    return float(first * (1 - min(max(share, 0.0), 1.0)) ** 0.9)


def timed_trainer(peer: Peer, minutes: float) -> Any:
    """nnU-Net's trainer with a schedule of so many minutes."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class TimedTrainer(nnUNetTrainer):
        """Trains until the time is over."""

        steps, seconds = 0, 0.0

        def run_training(self) -> None:
            self.on_train_start()
            self.network.train()
            losses, begun = [], time.perf_counter()
            while (spent := time.perf_counter() - begun) < 60 * minutes:
                for group in self.optimizer.param_groups:
                    group["lr"] = rate_at(spent / (60 * minutes), self.initial_lr)
                losses.append(float(self.train_step(next(self.dataloader_train))["loss"]))
                if len(losses) % 50 == 0:
                    self.print_to_log_file(f"{len(losses)} steps, {spent:.0f} s, loss {sum(losses[-50:]) / 50:.4f}")
            self.steps, self.seconds = len(losses), time.perf_counter() - begun
            self.loss_at_end = sum(losses[-50:]) / len(losses[-50:])
            self.on_train_end()

        def train_step(self, batch: dict) -> dict:
            with torch.autocast("cpu", torch.bfloat16) if peer.variant.bfloat16 else nullcontext():
                return super().train_step(batch)

        def plot_network_architecture(self) -> None:
            """Draw nothing: it needs a program that is not there, and takes time."""

    # What predicts looks for the class by this name in nnU-Net's own files; the networks are the same.
    TimedTrainer.__name__ = "nnUNetTrainer"
    description = json.loads((peer.preprocessed / "dataset.json").read_text())
    return TimedTrainer(peer.plans() | {"continue_training": False}, CONFIGURATION, 0, description, torch.device("cpu"))


def train(peer: Peer, minutes: float, seed: int) -> dict[str, Any]:
    """Train from nothing on all training cases: what came of it, without the time of starting."""
    import numpy as np
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - nnU-Net's augmentation draws from it
    shutil.rmtree(peer.trained(), ignore_errors=True)
    every = [case["name"] for case in peer.described["cases"]["training"]]
    # Nothing is validated; that side must only not be empty.
    (peer.preprocessed / "splits_final.json").write_text(json.dumps([{"train": every, "val": every[:1]}]))
    trainer = timed_trainer(peer, minutes)
    trainer.run_training()
    batch = trainer.configuration_manager.batch_size
    return {
        "iterations": trainer.steps,
        "batch": batch,
        "patch": [int(n) for n in trainer.configuration_manager.patch_size],
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "seconds": round(trainer.seconds, 1),
        "patches_per_second": round(trainer.steps * batch / trainer.seconds, 3),
        "loss": round(trainer.loss_at_end, 4),
        "threads": torch.get_num_threads(),
        "workers": int(os.environ.get("nnUNet_n_proc_DA", "-1")),  # noqa: SIM112 - nnU-Net calls it so
    }


def predict(peer: Peer, output: Path) -> dict[str, Any]:
    """Segment the held-out cases, without mirroring."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(peer.trained()), (0,))
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    names = [case["name"] for case in peer.described["cases"]["held_out"]]
    images = peer.work / "raw" / peer.folder / "imagesTs"
    begun = time.perf_counter()
    predictor.predict_from_files_sequential(
        [[str(images / f"{name}_0000.nii.gz")] for name in names], [str(output / name) for name in names]
    )
    return {"predicted": len(names), "predict_seconds": round(time.perf_counter() - begun, 1)}


def main() -> None:
    """Do one of the three, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("prepare", "train", "predict"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data-set", type=Path, required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="default")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    set_paths(options.work)
    peer = Peer(options.work, json.loads(options.data_set.read_text()), options.variant)
    if options.action == "prepare":
        told = prepare(peer)
    elif options.action == "train":
        told = train(peer, options.minutes, options.seed)
    else:
        told = predict(peer, options.output)
    print("\n" + json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
