"""Segmentation bundles of MONAI's model zoo, read from its index and each bundle's own files."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.models.known_models import Download, KnownModel, ModelList, Origin

if TYPE_CHECKING:
    from pathlib import Path

_REPOSITORY = "Project-MONAI/model-zoo"
_INDEX = "models/model_info.json"
_ENTRY = re.compile(r"(.+)_v(\d+)\.(\d+)\.(\d+)")
_NETWORKS = {"UNet", "BasicUNet", "DynUNet", "SegResNet", "SegResNetDS", "SwinUNETR", "UNETR"}
_OUTPUTS = {"segmentation", "labels"}
_LICENCES = (("Apache License", "Apache-2.0"), ("MIT License", "MIT"))
_REGIONS = {
    "brats": "head", "prostate": "pelvis", "spleen": "abdomen", "btcv": "abdomen", "ventricular": "thorax",
    "wholeBody": "whole body",
}  # fmt: skip
_LEFT_OUT = (
    "Bundles that do not segment (detection, classification, registration, synthesis), that take photographs or "
    "slides, that wait for clicks (spleen_deepedit_annotation, vista2d, vista3d), and those whose network has no "
    "counterpart here: DiNTS (pancreas_ct_dints_segmentation, pediatric_abdominal_ct_segmentation, "
    "multi_organ_segmentation), UNesT (renalStructures_UNEST_segmentation, wholeBrainSeg_Large_UNEST_segmentation); "
    "renalStructures_CECT_segmentation, which needs its own Python code. Sizes, which the index does not have."
)


def read_monai_zoo(checkout: Path, commit: str) -> ModelList:
    """The newest indexed version of each bundle that segments and can be built here."""
    index = json.loads((checkout / _INDEX).read_text(encoding="utf-8"))
    models = []
    for bundle, entry in sorted(_newest(index).items()):
        folder = checkout / "models" / bundle
        if (folder / "configs" / "metadata.json").is_file() and _can_be_built(folder):
            models.append(_known(bundle, entry, index[entry], folder))
    return ModelList((Origin(_REPOSITORY, _INDEX, commit), *_origins(models, commit)), _LEFT_OUT, tuple(models))


def _origins(models: list[KnownModel], commit: str) -> tuple[Origin, ...]:
    names = [model.name.removeprefix("monai-") for model in models]
    return tuple(
        Origin(_REPOSITORY, f"models/{name}/configs/{file}.json", commit)
        for name in names
        for file in ("metadata", "inference")
    )


def _newest(index: dict[str, Any]) -> dict[str, str]:
    """The entry of the newest version of each bundle."""
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for entry in index:
        match = _ENTRY.fullmatch(entry)
        if match:
            version = tuple(map(int, match.groups()[1:]))
            found[match[1]] = max(found.get(match[1], ((), "")), (version, entry))
    return {bundle: entry for bundle, (_, entry) in found.items()}


def _can_be_built(folder: Path) -> bool:
    """Whether a bundle finds structures in volumes, by a network that is known here and without its own code."""
    inference = folder / "configs" / "inference.json"
    if not inference.is_file() or (folder / "scripts" / "my_transforms.py").is_file():
        return False
    target = _json(inference).get("network_def", {}).get("_target_", "").rpartition(".")[2]
    formats = _json(folder / "configs" / "metadata.json")["network_data_format"]
    modality = formats["inputs"].get("image", {}).get("modality", "")
    return target in _NETWORKS and modality in ("CT", "MR") and formats["outputs"]["pred"]["format"] in _OUTPUTS


def _json(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def _known(bundle: str, entry: str, source: dict[str, str], folder: Path) -> KnownModel:
    metadata = _json(folder / "configs" / "metadata.json")
    version = ".".join(entry.rpartition("_v")[2:])
    return KnownModel(
        name=f"monai-{bundle}",
        title=f"{metadata.get('name', metadata['task'])} (MONAI)",
        source=f"MONAI model zoo, version {version}",
        kind="MONAI bundle",
        files=(Download(source["source"], sha1=source["checksum"]),),
        licence=_licence(folder),
        licence_url=f"https://github.com/{_REPOSITORY}/tree/dev/models/{bundle}",
        non_commercial=False,
        needs_key=False,
        citation=" ".join(metadata.get("references", ())),
        modality=metadata["network_data_format"]["inputs"]["image"]["modality"],
        structures=_structures(metadata["network_data_format"]["outputs"]["pred"]),
        body_region=next((region for word, region in _REGIONS.items() if word in bundle), ""),
        spacing_mm=_spacing(_json(folder / "configs" / "inference.json")),
        sample_data="",
        description=f"{metadata['description']}. {metadata.get('intended_use', '')}".strip(". ") + ".",
    )


def _licence(folder: Path) -> str:
    file = folder / "LICENSE"
    text = file.read_text(encoding="utf-8")[:200] if file.is_file() else ""
    return next((name for words, name in _LICENCES if words in text), "")


def _structures(output: dict[str, Any]) -> tuple[str, ...]:
    names: dict[str, str] = output["channel_def"]
    ordered = [names[key] for key in sorted(names, key=int)]
    return tuple(name for name in ordered if name.casefold() != "background")


def _spacing(inference: dict[str, Any]) -> tuple[float, float, float] | None:
    """Where the steps before the network resample to figures, not to an expression."""
    for step in inference["preprocessing"]["transforms"]:
        if step["_target_"] == "Spacingd" and isinstance(step["pixdim"], list):
            i, j, k = map(float, step["pixdim"])
            return k, j, i
    return None
