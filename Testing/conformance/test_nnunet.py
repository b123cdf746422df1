"""nnU-Net v2 models of all shapes."""

from typing import ClassVar

from foreign_models.nnunet import architecture, configuration, dataset_of, plans_of, write_trained

from conformance.suite import Damage, ModelSuite, cut, edited, lost

CHECKPOINT = "checkpoint_final.pth"
MANY = dataset_of(labels={"background": 0} | {f"structure {n}": n for n in range(1, 40)})
REGIONS = dataset_of(
    labels={"background": 0, "whole": [1, 2], "core": [2, 1]},
    regions_class_order=[1, 2],
    channel_names={"0": "T1", "1": "T2"},
)
CASCADE = plans_of(
    {
        "3d_fullres": configuration(),
        "3d_lowres": configuration(spacing=[3.5, 1.5, 1.5], next_stage="3d_cascade_fullres"),
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
)
PLANES = plans_of({"2d": configuration(2)})
RESIDUAL = plans_of({"3d_fullres": configuration(architecture=architecture(residual=True))})


def _other_features(plans):
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 7, 8]


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
        "weights of another network": Damage(edited("plans.json", _other_features), "weight"),
        "a network that nobody knows": Damage(edited("plans.json", _unknown_network), r"my\.own\.Network"),
    }


class TestPlain(NnUNetSuite):
    @staticmethod
    def make(folder):
        return [write_trained(folder, dataset=MANY)]


class TestPlanes(NnUNetSuite):
    damages: ClassVar = {name: damage for name, damage in NnUNetSuite.damages.items() if "network" not in name}

    @staticmethod
    def make(folder):
        return [write_trained(folder, "2d", plans=PLANES, inference_allowed_mirroring_axes=(0, 1))]


class TestRegions(NnUNetSuite):
    @staticmethod
    def make(folder):
        return [write_trained(folder, plans=plans_of({"3d_fullres": configuration(channels=2)}), dataset=REGIONS)]


class TestCascade(NnUNetSuite):
    damages: ClassVar = NnUNetSuite.damages | {
        "no checkpoint": lost(f"*3d_lowres/fold_0/{CHECKPOINT}", "first stage is missing|checkpoint_final"),
    }

    @staticmethod
    def make(folder):
        write_trained(folder, "3d_lowres", plans=CASCADE)
        return [write_trained(folder, "3d_cascade_fullres", plans=CASCADE).parent]


class TestFolds(NnUNetSuite):
    # Like nnU-Net's own predictor, the door takes the folds that have a checkpoint.
    damages: ClassVar = {name: damage for name, damage in NnUNetSuite.damages.items() if name != "no checkpoint"} | {
        "the second checkpoint cut": cut(
            f"fold_1/{CHECKPOINT}", "fold_1/checkpoint_final.pth.*get the checkpoint again"
        ),
    }

    @staticmethod
    def make(folder):
        return [write_trained(folder, plans=RESIDUAL, folds=("0", "1"))]
