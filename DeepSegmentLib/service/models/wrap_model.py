"""TorchScript and ONNX graphs as models: what they do not say of themselves, the user says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.models.graphs.description import beside, read_description
from DeepSegmentLib.files.models.importers.door import Words
from DeepSegmentLib.files.models.importers.graph import IMPORTER
from DeepSegmentLib.files.output_checks import check_no_inputs, inputs_of
from DeepSegmentLib.service.catalogue import add_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.models.licences import Agrees
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.service.catalogue import ModelEntry


def known_of(graph: Path, told: Path | None = None) -> dict[str, Any]:
    """What a JSON file says of a graph: this one, or the one beside it; nothing where there is none.

    Raises:
        ModelError: It cannot be read.
    """
    if told is not None:
        return read_description(told)
    return read_description(beside(graph)) if beside(graph).exists() else {}


def wrap_model(
    graphs: Sequence[Path],
    details: Mapping[str, Any],
    on_progress: ProgressCallback = silent,
    *,
    agrees: Agrees,
) -> ModelEntry:
    """Add graphs to the catalogue as one model; the logits of several are averaged.

    Each is looked through, run on one random patch, and refused where other channels come out than were told.

    Args:
        graphs: .ts, .onnx, or .pt files with a program in them.
        details: The keys of a `GraphDescription`, as its JSON has them.
        on_progress: Told how far it got; may raise `Cancelled`.
        agrees: Asked where the licence is not for every use.

    Raises:
        ModelError: As `add_model`, or something that was told is wrong.
    """
    _check_graphs(graphs)
    return add_model(graphs, Words(details=details), on_progress, agrees=agrees)


def wrap_to_folder(graphs: Sequence[Path], details: Mapping[str, Any], folder: Path) -> ModelSpec:
    """As `wrap_model`, in a new folder of its own.

    Raises:
        InvalidInputError: The folder exists.
        ModelError: As `wrap_model`.
    """
    _check_graphs(graphs)
    check_no_inputs([folder], inputs_of([], graphs))
    return IMPORTER.convert(graphs, folder, Words(details=details))


def _check_graphs(graphs: Sequence[Path]) -> None:
    missing = [graph for graph in graphs if not graph.exists()]
    if missing:
        raise InvalidInputError(f"{missing[0]} does not exist; name a .ts, .onnx or .pt file")
    if not IMPORTER.recognises(graphs):
        raise InvalidInputError(
            f"{', '.join(graph.name for graph in graphs[:4])}: only graphs can be wrapped ({IMPORTER.signs}); "
            "add other models by: deepsegment models add"
        )
