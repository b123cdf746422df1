"""TorchScript and ONNX graphs, each with the JSON file that describes it."""

import json
from typing import ClassVar

from foreign_models.graphs import Small, details, save_onnx, save_torchscript

from conformance.suite import Damage, ModelSuite, cut, file_of, lost
from DeepSegmentLib.files.models.importers import Words


def _told(**changes):
    def spoil(sources):
        path = file_of(sources, "*.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


class _GraphSuite(ModelSuite):
    kind = "TorchScript or ONNX graph"
    words: ClassVar = Words(name="conforming", license="CC0-1.0")
    options: ClassVar = ("--name", "conforming", "--licence", "CC0-1.0")
    suffix: ClassVar[str]

    @classmethod
    def make(cls, folder):
        path = folder / f"graph{cls.suffix}"
        (save_onnx if cls.suffix == ".onnx" else save_torchscript)(path, Small())
        (folder / "graph.json").write_text(json.dumps(details(provenance={"made": "for a test"})))
        return [path, folder / "graph.json"]


_DAMAGES = {
    "another number of segments": Damage(
        _told(segments=[{"name": "a", "value": 1}, {"name": "b", "value": 2}]), "3 channels"
    ),
    "no patch": Damage(_told(patch_shape=None), "patch_shape"),
    "a JSON cut": cut("*.json", r"graph\.json"),
}


class TestTorchScript(_GraphSuite):
    suffix = ".ts"
    damages: ClassVar = _DAMAGES | {
        "a graph cut": cut("*.ts", r"graph\.ts"),
        "no graph": lost("*.ts", "graph.ts|known kind"),
    }


class TestOnnx(_GraphSuite):
    suffix = ".onnx"
    damages: ClassVar = _DAMAGES | {
        "a graph cut": cut("*.onnx", r"graph\.onnx"),
        "no graph": lost("*.onnx", "graph.onnx|known kind"),
    }
