"""MONAI bundles and Auto3DSeg checkpoints."""

from typing import ClassVar

from foreign_models.bundles import write_auto3dseg, write_bundle

from conformance.suite import Damage, ModelSuite, cut, lost, without


class TestBundle(ModelSuite):
    kind = "MONAI bundle"
    damages: ClassVar = {
        "weights cut": cut("models/model.pt", r"model\.pt.*get the checkpoint again"),
        "no weights": lost("models/model.pt", r"models/model\.pt"),
        "a configuration cut": cut("configs/inference.json", r"inference\.json"),
        "no configuration": lost("configs/inference.json", r"inference\.json"),
        "metadata cut": cut("configs/metadata.json", r"metadata\.json"),
        "no metadata": lost("configs/metadata.json", r"metadata\.json"),
        "no network": Damage(without("inference.json", "network_def"), "network"),
    }

    @staticmethod
    def make(folder):
        return [write_bundle(folder)]


def _other_table(sources):
    (sources[0] / "labels.csv").write_text("a,b\n1,2\n")


class TestAuto3DSeg(ModelSuite):
    kind = "MONAI Auto3DSeg model"
    damages: ClassVar = {
        "a checkpoint cut": cut("model.pt", r"model\.pt"),
        "no checkpoint": lost("model.pt", r"model\.pt"),
        "a table of other things": Damage(_other_table, r"labels\.csv"),
    }

    @staticmethod
    def make(folder):
        return [write_auto3dseg(folder)]
