"""What a graph is like, found by running it on one random patch. This imports torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from DeepSegmentLib.errors import ModelError, ResourceError
from DeepSegmentLib.networks.architectures.measuring import measure_costs
from DeepSegmentLib.networks.graph_spec import GraphSpec
from DeepSegmentLib.networks.graphs import Graph, OnnxGraph, load_torchscript, operations_of, profile_onnx, said
from DeepSegmentLib.networks.measured_costs import MeasuredCosts
from DeepSegmentLib.networks.runtime import is_out_of_memory

from .onnx_file import read_onnx
from .reading import read_raw_graph

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from DeepSegmentLib.networks.graph_spec import Gives

    from .description import GraphDescription
    from .onnx_file import OnnxFile

_FLOAT = 4
_UNKNOWN = MeasuredCosts(0, 0, 0)
# Feature maps alive at once where the nodes' names do not tell: three of the largest.
_MAPS_ALIVE = 3


def measured(path: Path, description: GraphDescription) -> GraphSpec:
    """Look through a graph, run it, and compare what comes out with what was said.

    Raises:
        ModelError: It holds what no network needs, does not run on the patch, or gives another number of channels,
            another extent, labels, or no finite numbers.
        ResourceError: There is too little memory for the patch.
        MissingPackageError: onnxruntime is not installed.
    """
    graph = read_raw_graph(path, "cpu")
    outputs = len(description.segments) + (description.output == "labels")
    batch = _built_in_batch(graph, description)
    spec = GraphSpec(len(description.channels), outputs, description.extent, _UNKNOWN, "logits", batch)
    rng = np.random.default_rng(0)
    patch = torch.from_numpy(
        rng.standard_normal((max(1, batch), spec.in_channels, *description.extent), dtype=np.float32)
    )
    output = _output(path, Graph(graph, spec), patch)
    _check_output(path, output, spec)
    gives = _looks_like(output) if description.gives == "auto" else description.gives
    _check_gives(path, output, gives)
    if isinstance(graph, OnnxGraph):
        costs = _costs_of_onnx(read_onnx(path), patch[:1] if batch == 0 else patch)
    else:
        costs = _costs_of_torchscript(path, spec, patch)
    return GraphSpec(spec.in_channels, outputs, description.extent, costs, gives, batch)


def _built_in_batch(graph: nn.Module, description: GraphDescription) -> int:
    """Patches at once that an ONNX graph insists on; its other extents must be those that were said."""
    if not isinstance(graph, OnnxGraph):
        return 0
    wanted = (len(description.channels), *description.extent)
    batch, *rest = graph.shape or (None,)
    if len(rest) != len(wanted) or any(n not in (None, m) for n, m in zip(rest, wanted, strict=True)):
        shown = ", ".join("any" if n is None else str(n) for n in graph.shape)
        raise ModelError(
            f"the graph takes ({shown}) for (batch, channels, extent), but was said to take {wanted} after the batch"
        )
    return batch or 0


@torch.inference_mode()
def _output(path: Path, graph: Graph, patch: Tensor) -> Tensor:
    try:
        return graph(patch)  # type: ignore[no-any-return]
    except ModelError as error:
        raise ModelError(f"{path}: {error}; is the patch what it was made for?") from error
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ResourceError(f"{path} runs out of memory on one patch of {tuple(patch.shape[2:])} voxels") from error
        raise ModelError(f"{path} cannot run on a patch of {tuple(patch.shape)}: {said(error)}") from error


def _check_output(path: Path, output: Tensor, spec: GraphSpec) -> None:
    wanted = (max(1, spec.batch), spec.out_channels, *spec.fixed_shape)
    if tuple(output.shape) != wanted:
        raise ModelError(
            f"{path} gives an array of {tuple(output.shape)} for one patch, what was said of it makes {wanted}: "
            f"{spec.out_channels} channels (background and segments, or regions) of the patch's extent"
        )
    if not torch.isfinite(output).all():
        raise ModelError(f"{path} gives no finite numbers for a random patch; its weights are damaged")


def _looks_like(output: Tensor) -> Gives:
    """Whether there are probabilities, which numbers of no other kind look like."""
    if output.min() < 0 or output.max() > 1:
        return "logits"
    sums = output.sum(1)
    return "softmax" if output.shape[1] > 1 and bool(((sums - 1).abs() < 1e-3).all()) else "sigmoid"


def _check_gives(path: Path, output: Tensor, gives: Gives) -> None:
    if output.numel() > 1 and bool((output == output.round()).all()):
        raise ModelError(
            f"{path} gives whole numbers, so labels; overlapping patches are averaged, which needs what comes before: "
            "export the graph without its argmax or threshold"
        )
    seen = _looks_like(output)
    if gives != "logits" and seen == "logits":
        raise ModelError(f"{path} was said to give probabilities ({gives}), but gives numbers outside 0 to 1")


def _costs_of_torchscript(path: Path, spec: GraphSpec, patch: Tensor) -> MeasuredCosts:
    """Without computing, where nothing in the graph insists on a device; by a run on the CPU otherwise."""
    try:
        module = Graph(load_torchscript(path, "meta"), spec)
        return measure_costs(module, spec.in_channels, spec.fixed_shape)
    except (RuntimeError, NotImplementedError, ModelError):
        module = Graph(load_torchscript(path, "cpu"), spec)
        return measure_costs(module, spec.in_channels, patch.shape[2:], device="cpu")


def _costs_of_onnx(file: OnnxFile, patch: Tensor) -> MeasuredCosts:
    events = profile_onnx(file.content, patch)
    numbers = patch.numel() // patch.shape[1]
    operations = sum(operations_of(event) for event in events)
    return MeasuredCosts(file.weights, operations / numbers, _most_alive(file, events) / numbers)


def _most_alive(file: OnnxFile, events: list[dict[str, Any]]) -> int:
    """Numbers in the outputs of nodes that some later node still needs, at most."""
    sizes = {event["name"].removesuffix("_kernel_time"): int(event["output_size"]) // _FLOAT for event in events}
    nodes = {node.name: node for node in file.nodes}
    if not sizes.keys() <= nodes.keys():
        return _MAPS_ALIVE * max(sizes.values(), default=0)
    last_use = {name: n for n, node in enumerate(file.nodes) for name in node.inputs}
    alive: dict[str, int] = {}
    most = 0
    for n, node in enumerate(file.nodes):
        size = sizes.get(node.name, 0)
        alive |= {name: math.ceil(size / len(node.outputs)) for name in node.outputs}
        laid_out = sum(alive.get(name, 0) for name in node.inputs)
        most = max(most, sum(alive.values()) + laid_out)
        alive = {name: count for name, count in alive.items() if last_use.get(name, len(file.nodes)) > n}
    return most
