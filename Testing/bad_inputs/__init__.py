"""Inputs that must be refused, by the door they come to; each with what its message must say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import (
    checkpoints,
    commands,
    corrections,
    datasets,
    dicom,
    exports,
    foreign,
    foreign_graphs,
    foreign_monai,
    labelmaps,
    models,
    volumes,
)


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
    Door("Models of nnU-Net", foreign.NNUNET, foreign.add),
    Door("Models of TotalSegmentator", foreign.TOTALSEGMENTATOR, foreign.add),
    Door("MONAI bundles", foreign_monai.BUNDLES, foreign.add),
    Door("Models of Auto3DSeg", foreign_monai.AUTO3DSEG, foreign.add),
    Door("TorchScript graphs", foreign_graphs.SCRIPTS, foreign.add),
    Door("ONNX graphs", foreign_graphs.ONNX_GRAPHS, foreign.add),
    Door("Prompts", corrections.PROMPT_FILES, corrections.use_prompts),
    Door("Journals", corrections.JOURNALS, corrections.use_journal),
    Door("nnU-Net datasets", datasets.DATASETS, datasets.use),
    Door("Recipes", datasets.RECIPES, datasets.use_recipe),
    Door("Exports", exports.EXPORTS, exports.use),
    Door("Command lines", commands.COMMANDS, commands.use),
)
EXPORTS = exports.EXPORTS
