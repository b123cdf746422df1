"""Our networks as ONNX graphs, written by torch's exporter for traced graphs, which needs no further package."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from DeepSegmentLib.errors import MissingPackageError, ModelError

from .graphs import load_onnx
from .runtime.torch_network import padded_extent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .network_spec import NetworkSpec

INPUT, OUTPUT = "patch", "logits"

# The newest whose operators onnxruntime 1.17 has, the first for Python 3.12.
_OPERATOR_SET = 17
_CLOSE = 1e-4
"""Largest difference from torch, in parts of the largest logit, or of 1 where that is smaller."""


def export_network(module: nn.Module, spec: NetworkSpec, extent: Sequence[int], path: Path) -> float:
    """Write a network, and compare it with torch on a random patch.

    Its extents are free where any multiple of the network's divisor goes, and those of the patch otherwise.

    Args:
        module: Of the spec, on the CPU.
        spec: Its shape.
        extent: Of the patch, along the axes that the network sees.
        path: To be written.

    Returns:
        The largest difference of a logit.

    Raises:
        ModelError: The network cannot be written as a graph, or the graph gives other logits.
        MissingPackageError: onnxruntime is not installed, or torch is too old.
    """
    fixed = getattr(spec, "fixed_shape", None)
    seen = tuple(fixed or padded_extent(extent, spec.divisor))
    exact = _Exact(module, tuple(extent), seen).eval()  # all of it: torch puts it back as it was
    free = fixed is None and seen == tuple(extent)
    if free:
        with suppress(ModelError):  # of networks whose shapes cannot be left open
            return _write_free(exact, spec, extent, path)
    _write(exact, spec, extent, path, free=False)
    return _checked(_difference(exact, spec, extent, path))


def _write_free(exact: nn.Module, spec: NetworkSpec, extent: Sequence[int], path: Path) -> float:
    """Write a graph of free extents, compared at two of them."""
    _write(exact, spec, extent, path, free=True)
    larger = [n + step for n, step in zip(extent, spec.divisor, strict=True)]
    return _checked(max(_difference(exact, spec, each, path) for each in (extent, larger)))


def _checked(difference: float) -> float:
    if not difference <= _CLOSE:
        raise ModelError(f"the graph gives other logits than torch (by {difference:.2g}); it is not written")
    return difference


class _Exact(nn.Module):
    """A network that takes patches of just their extent, padded inside as `runtime.TorchNetwork` does."""

    def __init__(self, module: nn.Module, extent: tuple[int, ...], seen: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.extent = module, extent
        self.missing = [n - have for n, have in zip(seen, extent, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        if not any(self.missing):
            return self.module(x)  # type: ignore[no-any-return]
        logits: Tensor = self.module(functional.pad(x, [edge for n in reversed(self.missing) for edge in (0, n)]))
        inner: tuple[Any, ...] = (..., *(slice(n) for n in self.extent))
        return logits[inner]


def _write(module: nn.Module, spec: NetworkSpec, extent: Sequence[int], path: Path, *, free: bool) -> None:
    names = {2 + n: name for n, name in enumerate("kji"[3 - len(extent) :])} if free else {}
    axes = {0: "batch", **names} if free else {}
    patch = torch.zeros(1, spec.in_channels, *extent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a trace fixes; the graph is compared with torch afterwards
        try:
            torch.onnx.export(
                module, (patch,), str(path), dynamo=False, opset_version=_OPERATOR_SET, input_names=[INPUT],
                output_names=[OUTPUT], dynamic_axes={INPUT: axes, OUTPUT: axes},
            )  # fmt: skip
        except TypeError as error:
            raise MissingPackageError("writing ONNX needs PyTorch 2.5 or newer: pip install -U torch") from error
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            said = str(error).splitlines()[0][:300]
            raise ModelError(f"this network cannot be written as an ONNX graph: {said}") from error


@torch.inference_mode()
def _difference(module: nn.Module, spec: NetworkSpec, extent: Sequence[int], path: Path) -> float:
    """Between onnxruntime and torch; infinite where only torch runs it."""
    generator = torch.Generator().manual_seed(0)
    patch = torch.randn(1, spec.in_channels, *extent, generator=generator)
    expected: Tensor = module(patch)
    try:
        found = load_onnx(path.read_bytes(), "cpu")(patch)
    except ModelError:
        return float("inf")
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / max(1.0, float(expected.abs().max())))
