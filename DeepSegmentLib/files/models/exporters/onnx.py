"""Our model as ONNX graphs, one for each member, and a JSON file that says how to use them.

    FOLDER/{NAME.onnx, NAME-2.onnx, ..., NAME.json}

The JSON file is what `importers.graph` reads, so that the graphs can be added again and give the same labels.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError, MissingPackageError
from DeepSegmentLib.files.models.folder import new_folder, open_member, read_spec
from DeepSegmentLib.files.models.graphs.description import GraphDescription, description_to_json
from DeepSegmentLib.files.models.weights import read_weights
from DeepSegmentLib.networks.graph_spec import GraphSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.stage_spec import StageSpec, WeightsFile


def export_onnx(source: Path, folder: Path, on_member: Callable[[int, int], None]) -> tuple[Path, ...]:
    """Write a model folder of ours as ONNX graphs, each compared with torch on a random patch.

    Args:
        source: A model folder.
        folder: Made anew.
        on_member: Told before each how many are done and how many there are; may raise `Cancelled`.

    Returns:
        The graphs, then the JSON file.

    Raises:
        InvalidInputError: The folder exists, or the model has several stages or parts, or is a graph already.
        ModelError: The model cannot be read, or its network cannot be written as a graph.
        MissingPackageError: torch or onnxruntime is not installed.
    """
    spec = read_spec(source)
    stage = _only_stage(spec)
    names = [f"{spec.name}{f'-{n + 1}' if n else ''}.onnx" for n in range(len(stage.weights))]
    with new_folder(folder) as fresh:
        for n, (name, weights) in enumerate(zip(names, stage.weights, strict=True)):
            on_member(n, len(names))
            _export_member(source, stage, weights, fresh / name)
        document = json.dumps(description_to_json(_description(spec, stage)), indent=2, ensure_ascii=False)
        (fresh / f"{spec.name}.json").write_text(document + "\n", encoding="utf-8", newline="\n")
    return tuple(folder / name for name in (*names, f"{spec.name}.json"))


def _only_stage(spec: ModelSpec) -> StageSpec:
    if len(spec.stages) != 1:
        raise InvalidInputError(
            f"{spec.name} has {len(spec.stages)} stages and parts, which no single graph can be; "
            "export it as a DeepSegment model"
        )
    stage = spec.stages[0]
    if isinstance(stage.network, GraphSpec):
        raise InvalidInputError(f"{spec.name} is a graph already: {stage.weights[0].file} in its folder")
    return stage


def _export_member(source: Path, stage: StageSpec, weights: WeightsFile, path: Path) -> None:
    try:
        from DeepSegmentLib.networks import runtime
        from DeepSegmentLib.networks.onnx_export import export_network
    except ModuleNotFoundError as error:
        raise MissingPackageError("writing a graph needs PyTorch; install it: pip install torch") from error
    with open_member(source, weights.file) as file:
        arrays = read_weights(source / weights.file, file, weights.sha256)
    module = runtime.module_from_weights(stage.network, arrays)
    export_network(module, stage.network, stage.patch_shape[3 - stage.network.dimensions :], path)


def _description(spec: ModelSpec, stage: StageSpec) -> GraphDescription:
    """What the graphs do not say."""
    keys = {field.name for field in fields(GraphDescription)}
    words = {field.name: getattr(stage, field.name) for field in fields(stage) if field.name in keys}
    words |= {field.name: getattr(spec, field.name) for field in fields(spec) if field.name in keys}
    by_name = {segment.name: segment for segment in spec.segments}
    words["segments"] = tuple(by_name[name] for name in spec.parts[0].segments)
    return GraphDescription(**words, dimensions=stage.network.dimensions, gives="logits")
