"""Model specs as JSON (`model.json`), of this format and of older ones."""

from __future__ import annotations

from typing import Any

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import ModelError

from .model_spec import FORMAT_VERSION, ModelSpec

_OF_A_STAGE = ("spacing_mm", "orientation", "patch_shape", "network", "mirror_axes")
"""Keys that format 1, which knew one network only, had at the top."""


def spec_to_json(spec: ModelSpec) -> dict[str, Any]:
    """The spec as what `json.dump` takes; every field is written, defaults too."""
    document: dict[str, Any] = to_json(spec)
    return document


def spec_from_json(document: Any) -> ModelSpec:
    """The inverse of `spec_to_json`; documents of format 1 are read, too.

    Raises:
        ModelError: The document is of a newer format, a key without a default is missing, one is unknown, or a value
            has the wrong type or size; the message names the key.
    """
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(document, dict) and "format_version" not in document:
        raise ModelError("model: the key 'format_version' is missing; without it nobody knows how to read the others")
    if type(version) is int and version > FORMAT_VERSION:
        raise ModelError(
            f"model format {version} is newer than {FORMAT_VERSION}, the newest known here; update DeepSegment"
        )
    spec: ModelSpec = from_json(ModelSpec, upgraded(document), "model")
    return spec


def upgraded(document: Any) -> Any:
    """The document in today's format; one of format 1 becomes one part of one stage.

    What is missing or odd stays so, and is refused later.
    """
    if not isinstance(document, dict) or type(document.get("format_version")) is not int:
        return document
    return _from_format_1(document) if document["format_version"] == 1 else document


def _from_format_1(document: dict[str, Any]) -> dict[str, Any]:
    stage = {key: document[key] for key in _OF_A_STAGE if key in document}
    channels = [dict(each) if isinstance(each, dict) else each for each in _list(document.get("channels"))]
    stage["normalizations"] = [each.pop("normalization", None) for each in channels if isinstance(each, dict)]
    if isinstance(stage.get("network"), dict):
        stage["network"] = {"architecture": "unet"} | stage["network"]
    stage["weights"] = [{"file": "weights.safetensors", "sha256": document.get("weights_sha256", "")}]
    names = [each.get("name") for each in _list(document.get("segments")) if isinstance(each, dict)]
    kept = {key: value for key, value in document.items() if key not in (*_OF_A_STAGE, "weights_sha256")}
    if "channels" in document:
        kept["channels"] = channels
    return kept | {"parts": [{"segments": names, "stages": [stage]}], "format_version": FORMAT_VERSION}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
