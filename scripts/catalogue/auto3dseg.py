"""SlicerMONAIAuto3DSeg's models, read from its own list."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.models.known_models import Download, KnownModel, ModelList, Origin

if TYPE_CHECKING:
    from pathlib import Path

_REPOSITORY = "lassoan/SlicerMONAIAuto3DSeg"
_LIST = "MONAIAuto3DSeg/Resources/Models.json"
_ZIP = re.compile(r".*/([^/]+)-v([0-9.]+)\.zip")
_CITATION = "Cardoso et al., MONAI: An open-source framework for deep learning in healthcare, arXiv:2211.02701"
_LICENCES = {"CC BY 4.0": "CC-BY-4.0", "CC-BY-SA4.0": "CC-BY-SA-4.0"}
_LEFT_OUT = "Older versions of models; sizes, digests and spacings, which the list does not have."

# Regions by the first of these words that the name of the file holds: ours, the list has none.
_REGIONS = {
    "abdominal": "abdomen", "kits": "abdomen", "prostate": "pelvis", "lungs": "thorax", "mediastinal": "thorax",
    "cardiac": "thorax", "ribs": "thorax", "aorta": "thorax and abdomen", "vertebrae": "spine", "spine": "spine",
    "head": "head", "brats": "head", "icrh": "head", "body": "whole body", "muscles": "whole body",
}  # fmt: skip


def read_auto3dseg(checkout: Path, commit: str) -> ModelList:
    """The newest version of each of its models."""
    listed = json.loads((checkout / _LIST).read_text(encoding="utf-8"))["models"]
    stems = Counter(_stem_and_version(entry)[0] for entry in listed)
    models = tuple(_known(entry, stems) for entry in listed)
    return ModelList((Origin(_REPOSITORY, _LIST, commit),), _LEFT_OUT, models)


def _stem_and_version(entry: dict[str, Any]) -> tuple[str, str]:
    address = entry["versions"][0]["url"]
    found = _ZIP.fullmatch(address)
    if not found:
        raise ValueError(f"{address} is not named like NAME-vVERSION.zip")
    return found[1], found[2]


def _known(entry: dict[str, Any], stems: Counter[str]) -> KnownModel:
    stem, version = _stem_and_version(entry)
    major = f"-v{version.split('.')[0]}" if stems[stem] > 1 else ""
    return KnownModel(
        name=f"auto3dseg-{stem}{major}",
        title=f"{entry['title']} (Auto3DSeg)",
        source=f"SlicerMONAIAuto3DSeg, version {version}",
        kind="MONAI Auto3DSeg model",
        files=(Download(entry["versions"][0]["url"]),),
        licence=_LICENCES.get(entry.get("license", ""), entry.get("license", "")),
        licence_url=f"https://github.com/{_REPOSITORY}",
        non_commercial=False,
        needs_key=False,
        citation=_CITATION,
        modality=entry["imagingModality"],
        structures=tuple(entry["segmentNames"]),
        body_region=next((region for word, region in _REGIONS.items() if word in stem), ""),
        spacing_mm=None,
        sample_data=", ".join(entry.get("sampleData", ())),
        description=entry["description"],
    )
