"""TorchScript and ONNX graphs."""

from typing import ClassVar

import pytest
from foreign_models.graph_sources import write_onnx, write_torchscript

from conformance.suite import Damage, ModelSuite, cut, edited, lost, without

_DESCRIPTION: dict[str, Damage] = {
    "no description": lost("small.json", r"put small\.json beside it"),
    "a description cut": cut("small.json", r"small\.json"),
    "no channels": Damage(without("small.json", "channels"), "channels"),
    "a segment too many": Damage(
        edited("small.json", lambda document: document["segments"].append({"name": "more", "value": 9})), "channels"
    ),
}


class TestTorchScript(ModelSuite):
    kind = "TorchScript or ONNX graph"
    damages: ClassVar = _DESCRIPTION | {"a graph cut": cut("small.ts", r"small\.ts.*TorchScript archive")}

    @staticmethod
    def make(folder):
        return [write_torchscript(folder)]


class TestOnnx(ModelSuite):
    kind = "TorchScript or ONNX graph"
    damages: ClassVar = _DESCRIPTION | {"a graph cut": cut("small.onnx", r"small\.onnx")}

    @staticmethod
    def make(folder):
        pytest.importorskip("onnx", reason="small graphs are made by onnx")
        pytest.importorskip("onnxruntime", reason="ONNX graphs run by onnxruntime")
        return [write_onnx(folder)]
