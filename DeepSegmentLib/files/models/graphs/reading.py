"""Checked graphs as networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError

from .onnx_file import read_onnx
from .torchscript_archive import check_torchscript, is_torchscript
from .torchscript_operators import check_operators

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from torch import nn

ONNX, TORCHSCRIPT = ".onnx", ".ts"
EXPORTED_PROGRAM = ".pt2"
"""Of torch.export; its files are pickles and code for one machine, and are refused."""


def is_graph(path: Path) -> bool:
    """Whether a file is a graph, by its name, or by what is in it where the name is also that of other files."""
    return path.suffix.lower() in (ONNX, TORCHSCRIPT, EXPORTED_PROGRAM) or (
        path.suffix.lower() == ".pt" and is_torchscript(path)
    )


def check_kind(graphs: Sequence[Path]) -> None:
    """Refuse kinds of graphs that cannot be run here.

    Raises:
        ModelError: One is a program of torch.export.
    """
    for path in graphs:
        if path.suffix.lower() == EXPORTED_PROGRAM:
            raise ModelError(f"{path} is a program of torch.export, which is not run here; export the network to ONNX")


def read_raw_graph(path: Path, device: torch.device | str) -> nn.Module:
    """A graph that was looked through: patches in, whatever it gives out.

    Raises:
        ModelError: It is damaged or asks for what no network needs; the message names it.
        MissingPackageError: onnxruntime is not installed.
    """
    from DeepSegmentLib.networks import graphs

    if path.suffix.lower() == ONNX:
        return graphs.load_onnx(read_onnx(path).content, device)
    check_torchscript(path)
    script = graphs.load_torchscript(path, device)
    check_operators(path, script.script)
    return script
