"""Small TorchScript and ONNX graphs with what must be said of them beside them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

DESCRIPTION: dict[str, Any] = {
    "channels": [{"name": "T1", "modality": "MR"}],
    "segments": [{"name": "grey", "value": 1}, {"name": "white", "value": 2}],
    "patch_shape": [16, 16, 16],
    "spacing_mm": [1.5, 1.5, 1.5],
    "gives": "logits",
    "provenance": {"made": "for a test"},
}


class _Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(1, 4, 3, padding=1)
        self.last = torch.nn.Conv3d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


def write_torchscript(folder: Path, **changes: Any) -> Path:
    """A TorchScript graph and its description; changes are of the latter."""
    torch.manual_seed(0)
    graph = folder / "small.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch: it will not be developed further
        torch.jit.script(_Net().eval()).save(str(graph))
    _describe(graph, changes)
    return graph


def write_onnx(folder: Path, **changes: Any) -> Path:
    """An ONNX graph and its description; changes are of the latter."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.normal(size=(3, 1, 3, 3, 3)).astype(np.float32), "weight")
    shapes = [["n", channels, 16, 16, 16] for channels in (1, 3)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("x", "y"), shapes, strict=True)
    ]
    node = helper.make_node("Conv", ["x", "weight"], ["y"], pads=[1] * 6)
    model = helper.make_model(
        helper.make_graph([node], "small", ends[:1], ends[1:], [weight]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    graph = folder / "small.onnx"
    onnx.save(model, graph)
    _describe(graph, changes)
    return graph


def _describe(graph: Path, changes: dict[str, Any]) -> None:
    graph.with_suffix(".json").write_text(json.dumps(DESCRIPTION | changes))
