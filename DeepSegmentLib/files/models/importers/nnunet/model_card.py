"""What people read of an imported nnU-Net model: its card, and the provenance in `model.json`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.files.safe_names import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from DeepSegmentLib.files.models.importers.foreign_json import Entries

CITATION = (
    "Isensee, F., Jaeger, P. F., Kohl, S. A. A., Petersen, J. & Maier-Hein, K. H. nnU-Net: a self-configuring method "
    "for deep learning-based biomedical image segmentation. Nat Methods 18, 203-211 (2021)."
)
NO_LICENSE = "not stated"

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+-]+", re.ASCII)
_LONGEST_NAME, _LONGEST_TEXT = 64, 1000


@dataclass(frozen=True)
class About:
    """Texts about a model.

    Attributes:
        name: For the catalogue.
        version: Likewise.
        description: One sentence.
        license: Of the weights.
        citation: What users are asked to cite.
    """

    name: str
    version: str
    description: str
    license: str
    citation: str


def about_of(dataset: Entries, dataset_name: str, plans_name: str, configuration: str) -> About:
    """Texts about a model from the free entries of its `dataset.json`."""
    subject = re.sub(r"^Dataset\d+_", "", dataset_name) or "nnU-Net"
    variant = re.sub(r"^nnUNet|Plans$", "", plans_name)
    if variant:
        configuration = f"{variant}-{configuration}"[: _LONGEST_NAME // 2]
    said = _text(dataset, "description")
    return About(
        name=as_name(f"{subject[: _LONGEST_NAME - 1 - len(configuration)]}-{configuration}"),
        version=as_name(_text(dataset, "release") or "1.0"),
        description=said or f"nnU-Net {configuration}, trained on {plain(dataset_name)}.",
        license=_text(dataset, "licence") or _text(dataset, "license") or NO_LICENSE,
        citation=" ".join(filter(None, (CITATION, _text(dataset, "citation"), _text(dataset, "reference")))),
    )


def as_name(text: str) -> str:
    """A text as the name of a model or of its version.

    Example:
        >>> as_name("Task 07: Pancreas (v2)")
        'Task-07-Pancreas-v2'
    """
    return _NOT_IN_NAMES.sub("-", text).strip("-._+")[:_LONGEST_NAME].rstrip("-._+") or "model"


def card_of(about: About, provenance: Mapping[str, str], segments: Sequence[str], notes: Sequence[str]) -> str:
    """The text of `MODEL_CARD.md`."""
    facts = "".join(f"- {key}: {value}\n" for key, value in provenance.items())
    remarks = "".join(f"- {note}\n" for note in notes)
    return (
        f"# {about.name}\n\n{about.description}\n\n"
        f"An nnU-Net v2 model, converted when it was added; it runs without nnU-Net.\n\n"
        f"## Where it came from\n\n{facts}\nLicence of the weights: {about.license}.\n\n"
        + (f"## To know\n\n{remarks}\n" if notes else "")
        + f"## Segments\n\n{', '.join(segments)}\n\n## Please cite\n\n{about.citation}\n"
    )


def _text(dataset: Entries, key: str) -> str:
    value = dataset.values.get(key)
    return plain(" ".join(value.split()))[:_LONGEST_TEXT] if isinstance(value, str) else ""
