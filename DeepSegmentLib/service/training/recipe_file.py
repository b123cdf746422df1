"""Recipes as JSON files, of whatever kind of training."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeVar

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.networks.model_json import upgraded

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_RECIPE = 4 << 20
_Recipe = TypeVar("_Recipe")


def read_recipe_file(kind: type[_Recipe], path: Path) -> _Recipe:
    """Read a recipe; its model may be of an older format.

    Raises:
        ModelError: The file cannot be read, is not JSON, or a key is missing, unknown or wrong.
    """
    try:
        document = read_json(path, largest=_LARGEST_RECIPE)
    except VolumeFileError as error:
        raise ModelError(f"{path}: cannot be read as a recipe: {error}") from error
    if isinstance(document, dict) and "model" in document:
        document = document | {"model": upgraded(document["model"])}
    recipe: _Recipe = from_json(kind, document, "recipe")
    return recipe


def recipe_digest(recipe: Any) -> str:
    """SHA-256 of all that a recipe says, hexadecimal."""
    content = json.dumps(to_json(recipe), sort_keys=True, allow_nan=False)
    return hashlib.sha256(content.encode()).hexdigest()
