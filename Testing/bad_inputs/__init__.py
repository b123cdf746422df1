"""Inputs that must be refused, by the door they come to; each with what its message must say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import (
    commands,
    corrections,
    datasets,
    dicom,
    exports,
    labelmaps,
    models,
    volumes,
)
from .foreign import checkpoints, graphs, monai, sources


@dataclass(frozen=True)
class Door:
    """A way in.

    Attributes:
        name: Of the door.
        entries: By name: what makes the input in a folder, and what the message must say.
        use: Opens what was made in a folder.
    """

    name: str
    entries: Mapping[str, tuple[Callable[[Any], Any], str]]
    use: Callable[[Any, Any], object]


DOORS = (
    Door("Volumes", volumes.VOLUMES, volumes.use),
    Door("Labelmaps", labelmaps.LABELMAPS, labelmaps.use),
    Door("DICOM folders", dicom.DICOM, dicom.use),
    Door("Models", models.MODELS, models.use),
    Door("Zipped models", models.ARCHIVES, models.unpack),
    Door("Checkpoints", checkpoints.CHECKPOINTS, checkpoints.use),
    Door("Models of nnU-Net", sources.NNUNET, sources.add),
    Door("Models of TotalSegmentator", sources.TOTALSEGMENTATOR, sources.add),
    Door("MONAI bundles", monai.BUNDLES, sources.add),
    Door("Models of Auto3DSeg", monai.AUTO3DSEG, sources.add),
    Door("TorchScript graphs", graphs.SCRIPTS, sources.add),
    Door("ONNX graphs", graphs.ONNX_GRAPHS, sources.add),
    Door("Prompts", corrections.PROMPT_FILES, corrections.use_prompts),
    Door("Journals", corrections.JOURNALS, corrections.use_journal),
    Door("nnU-Net datasets", datasets.DATASETS, datasets.use),
    Door("Recipes", datasets.RECIPES, datasets.use_recipe),
    Door("Exports", exports.EXPORTS, exports.use),
    Door("Command lines", commands.COMMANDS, commands.use),
)
EXPORTS = exports.EXPORTS
