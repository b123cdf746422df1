"""What a graph does not say of itself, and the user does: in words, as JSON, or in a JSON file beside the graph."""

# ruff: noqa: TC001, TC003 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from DeepSegmentLib.data import Index, Segment
from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_spec import Channel, Cleanup
from DeepSegmentLib.networks.stage_spec import NO_AXIS_CHANGE, Resampling, Spacing, Tiling

_LARGEST = 4 << 20
_LARGEST_PATCH = 1 << 30
"""As of any stage, but known before the graph is tried."""


@dataclass(frozen=True)
class GraphDescription:
    """All that is needed to run a graph; see `ModelSpec` and `StageSpec` for what the same keys mean there.

    Attributes:
        channels: The inputs.
        segments: What it finds, in the order of its output channels (after background, for labels).
        patch_shape: What the graph takes, (k, j, i) in voxels; k is 1 for a 2D graph.
        normalizations: One a channel, or one for all.
        spacing_mm: Voxel size (k, j, i).
        dimensions: 2 or 3.
        gives: "logits", "softmax" or "sigmoid"; "auto" for what a random patch looks like.
        name: Of the model.
        version: Likewise.
        description: One sentence.
        license: Of the weights.
        output: "labels" or "regions".
        orientation: As in a stage, like what follows.
        axes: ...
        crop: ...
        normalize: ...
        resampling: ...
        tiling: ...
        mirror_axes: ...
        cleanups: As in a model, like what follows.
        citation: ...
        provenance: ...
    """

    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    patch_shape: Index
    normalizations: tuple[Normalization, ...] = (Normalization("zscore"),)
    spacing_mm: Spacing | None = (1.0, 1.0, 1.0)
    dimensions: int = 3
    gives: Literal["auto", "logits", "softmax", "sigmoid"] = "auto"
    name: str = ""
    version: str = ""
    description: str = ""
    license: str = ""
    output: Literal["labels", "regions"] = "labels"
    orientation: str | None = "RAS"
    axes: tuple[int, int, int] = NO_AXIS_CHANGE
    crop: Literal["content", "nonzero", "none"] = "content"
    normalize: Literal["before", "after"] = "before"
    resampling: Resampling = field(default_factory=Resampling)
    tiling: Tiling = field(default_factory=Tiling)
    mirror_axes: tuple[int, ...] = ()
    cleanups: tuple[Cleanup, ...] = ()
    citation: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise InvalidInputError(f"dimensions must be 2 or 3, got {self.dimensions}")
        if min(self.patch_shape) < 1 or math.prod(self.patch_shape) > _LARGEST_PATCH:
            raise InvalidInputError(f"patch_shape must be 1 to {_LARGEST_PATCH} voxels in all, got {self.patch_shape}")
        if len(self.normalizations) == 1 < len(self.channels):
            object.__setattr__(self, "normalizations", self.normalizations * len(self.channels))

    @property
    def extent(self) -> tuple[int, ...]:
        """Of the patch along the axes that the graph sees."""
        return tuple(self.patch_shape[3 - self.dimensions :])


def description_to_json(description: GraphDescription) -> dict[str, Any]:
    """The description as what `json.dump` takes."""
    document: dict[str, Any] = to_json(description)
    return document


def description_from_json(document: Any) -> GraphDescription:
    """The inverse of `description_to_json`; what has a default may be absent.

    Raises:
        ModelError: A key is missing or unknown, or a value has the wrong type; the message names it.
    """
    description: GraphDescription = from_json(GraphDescription, document, "graph")
    return description


def beside(graph: Path) -> Path:
    """Where the JSON file of a graph is looked for."""
    return graph.with_suffix(".json")


def read_description(path: Path) -> dict[str, Any]:
    """The content of such a file.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        document = read_json(path, largest=_LARGEST)
    except VolumeFileError as error:
        raise ModelError(str(error)) from error
    if not isinstance(document, dict):
        raise ModelError(f"{path} must hold an object with the keys of a graph's description")
    return document
