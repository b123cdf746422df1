"""Where earlier versions of the user's models are kept: a hidden folder beside the models, one for each name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.folder import read_spec

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ".versions"
_NUMBERED = re.compile(r"([0-9]{4,9})-(.+)")


@dataclass(frozen=True)
class KeptVersion:
    """A version that is not in use.

    Attributes:
        number: The higher, the later it was put aside.
        version: Of the model.
        folder: The model folder.
        sha256: Of its weights.
    """

    number: int
    version: str
    folder: Path
    sha256: str


def versions_folder(root: Path, name: str) -> Path:
    """Of a model, below the folder of the user's models."""
    return root / VERSIONS / name


def kept_versions(root: Path, name: str) -> tuple[KeptVersion, ...]:
    """The versions of a model that are kept, the one put aside last first; damaged ones are left out."""
    folder = versions_folder(root, name)
    if not folder.is_dir():
        return ()
    found = []
    for path in folder.iterdir():
        numbered = _NUMBERED.fullmatch(path.name)
        if numbered is None:
            continue
        try:
            spec = read_spec(path)
        except ModelError:
            continue
        found.append(KeptVersion(int(numbered[1]), spec.version, path, spec.weights_sha256))
    return tuple(sorted(found, key=lambda each: -each.number))


def place_to_keep(root: Path, name: str, version: str) -> Path:
    """A folder that is not there yet, for a version that is put aside now."""
    folder = versions_folder(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(found[1]) for path in folder.iterdir() if (found := _NUMBERED.fullmatch(path.name))]
    return folder / f"{max(taken, default=0) + 1:04d}-{version}"
