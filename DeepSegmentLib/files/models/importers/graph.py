"""TorchScript and ONNX graphs: what they do not say of themselves comes from the user, or a JSON file beside them."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.folder import write_model
from DeepSegmentLib.files.models.graphs.description import (
    GraphDescription,
    beside,
    description_from_json,
    read_description,
)
from DeepSegmentLib.files.models.graphs.reading import ONNX, TORCHSCRIPT, check_kind, is_graph
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.networks.model_spec import ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import StageSpec, WeightsFile

from .door import check_no_choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.graph_spec import GraphSpec

    from .door import Words

_NEEDED = "channels, segments and patch_shape (and what is not as the defaults say: spacing_mm, normalizations ...)"
_OF_STAGE = tuple({field.name for field in fields(StageSpec)} & {field.name for field in fields(GraphDescription)})
_OF_MODEL = tuple({field.name for field in fields(ModelSpec)} & {field.name for field in fields(GraphDescription)})


class _Graphs:
    """One graph, or several of the same network whose logits are averaged."""

    kind = "TorchScript or ONNX graph"
    signs = f"{TORCHSCRIPT} or {ONNX}, or a .pt file with a program in it"

    def recognises(self, sources: Sequence[Path]) -> bool:
        """Whether all are graphs, but for the JSON files beside them."""
        graphs, others = _parted(sources)
        return bool(graphs) and {*others} <= {beside(graph) for graph in graphs}

    def convert(self, sources: Sequence[Path], folder: Path, words: Words) -> ModelSpec:
        """Look through the graphs, run each on one random patch, and copy them."""
        check_no_choice(words, "a graph")
        graphs, _ = _parted(sources)
        check_kind(graphs)
        description = described(graphs[0], words)
        from DeepSegmentLib.files.models.graphs.measuring import measured

        network = measured(graphs[0], description)
        for other in graphs[1:]:
            if measured(other, description) != network:
                raise ModelError(f"{other} is another network than {graphs[0]}; members of a model are alike")
        spec = model_of(description, network, [_stored_name(n, graph) for n, graph in enumerate(graphs)])
        return write_model(folder, spec, iter(graphs), card=_card(spec))


IMPORTER = _Graphs()


def _parted(sources: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The graphs, and the rest."""
    graphs = [source for source in sources if not is_folder(source) and is_graph(source)]
    return graphs, [source for source in sources if source not in graphs]


def described(graph: Path, words: Words) -> GraphDescription:
    """What is known of a graph: what the user said, over what the JSON file beside it says.

    Raises:
        ModelError: There is neither, or one of them is wrong.
    """
    place = beside(graph)
    if not words.details and not place.exists():
        raise ModelError(
            f"{graph.name} is a graph, which does not say what goes in and comes out; put {place.name} beside it with "
            f"{_NEEDED}, or add it by: deepsegment models wrap {graph.name}"
        )
    where = "what was said of the graph" if words.details else str(place)
    said = {key: getattr(words, key) for key in ("name", "version", "license") if getattr(words, key)}
    try:
        document = dict(words.details or read_description(place)) | said
        return description_from_json(_with_name(document, graph))
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error


def _with_name(document: Mapping[str, Any], graph: Path) -> dict[str, Any]:
    """The document with what a model must have and a graph need not be given."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in graph.stem).strip("-")
    defaults = {"name": name or "graph", "version": "1.0", "license": "unknown", "description": f"From {graph.name}."}
    return dict(document) | {key: text for key, text in defaults.items() if not document.get(key)}


def model_of(description: GraphDescription, network: GraphSpec, files: Sequence[str]) -> ModelSpec:
    """The spec of a model of one stage.

    Raises:
        InvalidInputError: The description contradicts itself.
    """
    words = {key: getattr(description, key) for key in _OF_STAGE}
    stage = StageSpec(**words, network=network, weights=tuple(WeightsFile(file) for file in files))
    part = Part(tuple(segment.name for segment in description.segments), (stage,))
    return ModelSpec(**{key: getattr(description, key) for key in _OF_MODEL}, parts=(part,))


def _stored_name(n: int, graph: Path) -> str:
    suffix = ONNX if graph.suffix.lower() == ONNX else TORCHSCRIPT
    return f"weights{f'-{n + 1}' if n else ''}{suffix}"


def _card(spec: ModelSpec) -> str:
    names = ", ".join(segment.name for segment in spec.segments)
    stage = spec.stages[0]
    rules = json.dumps([rule.kind for rule in stage.normalizations])
    return (
        f"# {spec.name}\n\n{spec.description}\n\n"
        "A graph that was added as it is; what it takes was told by who added it: "
        f"patches of {stage.patch_shape} voxels (k, j, i), spacing {stage.spacing_mm} mm, normalization {rules}.\n\n"
        f"Finds: {names}.\n\nLicence: {spec.license}.\n"
    )
