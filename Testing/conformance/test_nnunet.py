"""nnU-Net v2 models of all shapes."""

import json
from typing import ClassVar

from conformance.nnunet_sources import CHECKPOINT, RESIDUAL, Nets, nnunet_results, trained_model
from conformance.suite import Damage, ModelSuite, cut, file_of, lost

REGIONS = Nets(labels={"whole": [1, 2], "core": 2}, regions=(1, 2), channels=("T1", "T2"), dataset="Dataset902_Regions")
CASCADE = Nets(configurations=("3d_lowres", "3d_cascade_fullres"), dataset="Dataset903_Cascade")
FOLDS = Nets(network=RESIDUAL, folds=(0, 1), channels=("MR",), dataset="Dataset904_Folds")
MANY = Nets(labels={f"structure {n}": n for n in range(1, 40)}, dataset="Dataset905_Many")


def changed(name, change):
    """A JSON file of the source with a change."""

    def spoil(sources):
        path = file_of(sources, name)
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return spoil


def _other_features(plans):
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 7]


def _unknown_network(plans):
    plans["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = "my.own.Network"


class NnUNetSuite(ModelSuite):
    kind = "nnU-Net v2 model"
    damages: ClassVar = {
        "a checkpoint cut": cut(CHECKPOINT, "checkpoint_final.pth.*get the checkpoint again"),
        "no checkpoint": lost(CHECKPOINT, r"checkpoint_final\.pth|fold"),
        "plans cut": cut("plans.json"),
        "no plans": lost("plans.json"),
        "no dataset": lost("dataset.json"),
        "weights of another network": Damage(changed("plans.json", _other_features), "weight"),
        "a network that nobody knows": Damage(changed("plans.json", _unknown_network), r"my\.own\.Network"),
    }


class TestPlain(NnUNetSuite):
    @staticmethod
    def make(folder):
        return [trained_model(folder, MANY)]


class TestPlanes(NnUNetSuite):
    damages: ClassVar = {name: damage for name, damage in NnUNetSuite.damages.items() if "network" not in name}

    @staticmethod
    def make(folder):
        return [trained_model(folder, Nets(configurations=("2d",)))]


class TestRegions(NnUNetSuite):
    @staticmethod
    def make(folder):
        return [trained_model(folder, REGIONS)]


class TestCascade(NnUNetSuite):
    damages: ClassVar = NnUNetSuite.damages | {
        "no checkpoint": lost(f"*3d_lowres/fold_0/{CHECKPOINT}", "first stage is missing|checkpoint_final"),
    }

    @staticmethod
    def make(folder):
        return [nnunet_results(folder, CASCADE)]


class TestFolds(NnUNetSuite):
    # Like nnU-Net's own predictor, the door takes the folds that have a checkpoint.
    damages: ClassVar = {name: damage for name, damage in NnUNetSuite.damages.items() if name != "no checkpoint"} | {
        "the second checkpoint cut": cut(
            f"fold_1/{CHECKPOINT}", "fold_1/checkpoint_final.pth.*get the checkpoint again"
        ),
    }

    @staticmethod
    def make(folder):
        return [trained_model(folder, FOLDS)]
