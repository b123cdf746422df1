"""Checked graphs as networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError

from .onnx_file import read_onnx
from .torchscript_archive import check_torchscript, is_torchscript
from .torchscript_operators import check_operators

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

ONNX, TORCHSCRIPT = ".onnx", ".ts"


def is_graph(path: Path) -> bool:
    """Whether a file is a graph, by its name, or by what is in it where the name is also that of other files."""
    return path.suffix.lower() in (ONNX, TORCHSCRIPT) or (path.suffix.lower() == ".pt" and is_torchscript(path))


def read_raw_graph(path: Path, device: torch.device | str) -> nn.Module:
    """A graph that was looked through: patches in, whatever it gives out.

    Raises:
        ModelError: It is damaged or asks for what no network needs; the message names it.
        MissingPackageError: onnxruntime is not installed.
    """
    from DeepSegmentLib.networks import graphs

    if path.suffix.lower() == ONNX:
        return graphs.load_onnx(read_onnx(path).content, device)
    if path.suffix.lower() == ".pt2":
        raise ModelError(f"{path} is a torch.export program, which cannot be run here; export it to ONNX")
    check_torchscript(path)
    script = graphs.load_torchscript(path, device)
    check_operators(path, script.script)
    return script
