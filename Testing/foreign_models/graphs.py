"""Small TorchScript and ONNX graphs for tests, good and hostile."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path


class Small(nn.Module):
    """A convolution and what follows it."""

    def __init__(
        self, end: nn.Module | None = None, *, channels: int = 1, classes: int = 2, dimensions: int = 3
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.body = kind(channels, classes, 3, padding=1)
        self.end = end or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.body(x))


class ArgMax(nn.Module):
    """Labels in place of logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x).scatter_(1, x.argmax(1, keepdim=True), 1.0)


def details(**changes: Any) -> dict[str, Any]:
    """What the user says of a small graph."""
    told = {
        "channels": [{"name": "T1w", "modality": "MR"}],
        "segments": [{"name": "left", "value": 1}],
        "patch_shape": [8, 8, 8],
    }
    return told | changes


def save_torchscript(
    path: Path, module: nn.Module, *, script: bool = False, extent: tuple[int, ...] = (8, 8, 8)
) -> Path:
    """A module as a .ts file, traced or scripted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch = torch.zeros(1, module.body.in_channels if isinstance(module, Small) else 1, *extent)
        graph = torch.jit.script(module.eval()) if script else torch.jit.trace(module.eval(), patch)
        torch.jit.save(graph, str(path))
    return path


def save_onnx(path: Path, module: nn.Module, *, batch: bool = True, extent: tuple[int, ...] = (8, 8, 8)) -> Path:
    """A module as an .onnx file of fixed extents, the batch free or 1."""
    axes = {name: {0: "batch"} for name in ("x", "y")} if batch else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch = torch.zeros(1, module.body.in_channels if isinstance(module, Small) else 1, *extent)
        torch.onnx.export(
            module.eval(), (patch,), str(path), dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=axes
        )
    return path


def onnx_model(nodes: list[Any] | None = None, initializers: list[Any] | None = None, **more: Any) -> onnx.ModelProto:
    """An ONNX model of one addition, or of these nodes."""
    shape = ["batch", 2, 8, 8, 8]
    weight = numpy_helper.from_array(__import__("numpy").ones((1, 2, 1, 1, 1), "float32"), "w")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8, 8])
    found = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        nodes or [helper.make_node("Mul", ["x", "w"], ["y"], name="mul")],
        "g",
        [given],
        [found],
        [weight] if initializers is None else initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more)
