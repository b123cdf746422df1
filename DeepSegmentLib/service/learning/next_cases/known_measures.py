"""Measures of results that are kept, a small file for each, so that a ranking that was stopped goes on.

They lie in the folder of the user, below the model; neither names of files nor voxels are in them.
"""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.models.places import user_folder
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.networks.model_json import spec_to_json
from DeepSegmentLib.segmentation.result_measures import ResultMeasures

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.data import Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec

_VERSION = 1
"""One more whenever measures are taken in another way."""
_LARGEST = 1 << 20
_MOST_FILES = 5000
_PLACES = 3
"""Decimals of a grid that count, in mm: two ways to the same file round its affine differently."""


class KnownMeasures:
    """The measures of results of one model."""

    def __init__(self, spec: ModelSpec) -> None:
        """Take the model: its weights and all that it says of how they are run."""
        text = json.dumps([_VERSION, spec_to_json(spec)], sort_keys=True)
        self._folder = user_folder() / "measured" / _digest(text)
        self._segments = [segment.name for segment in spec.segments]

    def of(self, volume: Volume, digest: str) -> ResultMeasures | None:
        """What is known of a volume; None where nothing is, or what is makes no sense."""
        try:
            document = read_json(self._file(volume, digest), largest=_LARGEST)
            measures: ResultMeasures = from_json(ResultMeasures, document, "measures")
        except DeepSegmentError:
            return None
        return measures if [each.segment for each in measures.segments] == self._segments else None

    def keep(self, volume: Volume, digest: str, measures: ResultMeasures) -> None:
        """Keep what was measured; what cannot be written is measured again, which is all the harm."""
        with suppress(OSError, DeepSegmentError):
            write_text(self._file(volume, digest), json.dumps(to_json(measures), allow_nan=False) + "\n")
            self._drop_oldest()

    def _file(self, volume: Volume, digest: str) -> Path:
        """The voxels alone do not tell how large they are."""
        grid = (np.round(volume.geometry.affine, _PLACES) + 0.0).tolist()  # no -0.0
        return self._folder / f"{_digest(f'{digest} {grid}')}.json"

    def _drop_oldest(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_MOST_FILES]:
            file.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
