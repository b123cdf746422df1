"""Our own model folders, through the same door as all others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models.folder import SPEC_FILE, copy_model, read_spec
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.networks.model_json import spec_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.model_spec import ModelSpec

    from .door import Words


class _ModelFolder:
    """A folder with model.json, or one folder that holds one, as zip programs pack it."""

    kind = "DeepSegment model"
    signs = SPEC_FILE

    def recognises(self, sources: Sequence[Path]) -> bool:
        """Whether there is one folder, with a spec."""
        return len(sources) == 1 and bool(_model_folders(sources[0]))

    def convert(self, sources: Sequence[Path], folder: Path, words: Words) -> ModelSpec:
        """Copy the files of the model, and nothing else."""
        found = _model_folders(sources[0])
        if len(found) > 1:
            raise ModelError(f"{sources[0]} holds several models ({found[0].name}, {found[1].name}); add one at a time")
        if words.folds or words.configuration or words.details:
            raise InvalidInputError("folds, configuration and details are for models of others; this is a model folder")
        copy_model(found[0], folder)
        return _renamed(folder, words)


IMPORTER = _ModelFolder()


def _model_folders(source: Path) -> list[Path]:
    if not is_folder(source):
        return []
    places = [source, *sorted(each for each in source.iterdir() if not each.name.startswith((".", "__")))]
    found = [each for each in places if is_folder(each) and (each / SPEC_FILE).exists()]
    return found[:1] if found[:1] == [source] else found


def _renamed(folder: Path, words: Words) -> ModelSpec:
    """The spec, with what the user said in it."""
    spec = read_spec(folder)
    said = {key: value for key in ("name", "version", "license") if (value := getattr(words, key))}
    if not said:
        return spec
    renamed = replace(spec, **said)
    document = json.dumps(spec_to_json(renamed), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / SPEC_FILE).write_text(document + "\n", encoding="utf-8", newline="\n")
    return renamed
