"""The last results, kept so that the same question is answered at once."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.networks.model_json import spec_to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from DeepSegmentLib.data import Volume
    from DeepSegmentLib.segmentation.outputs import PredictSettings
    from DeepSegmentLib.service.run_report import Run

_NOTE = "Nothing has changed since this was segmented before; this is the same result."


class RecentRuns:
    """Runs of the same voxels, grid, model, device and settings; the oldest go when all take too much memory."""

    def __init__(self, most_bytes: int = 256 << 20) -> None:
        """Keep labels and maps of at most so many bytes."""
        self._most_bytes = most_bytes
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def run(
        self, volume: Volume, folder: Path, device: str, settings: PredictSettings, work: Callable[[], Run]
    ) -> tuple[Run, bool]:
        """The run that there is, with a note of that, or a new one; and whether it is new.

        Args:
            volume: What is segmented.
            folder: Of the model.
            device: As it is asked for, with the precision there.
            settings: What is predicted.
            work: Does it.
        """
        key = _key(volume, folder, device, settings)
        if key in self._runs:
            self._runs.move_to_end(key)
            known = self._runs[key]
            return replace(known, notes=(_NOTE, *known.notes)), False
        done = work()
        if settings.maps_folder is None:  # maps on disk go with the folder
            self._runs[key] = done
        while sum(map(_size, self._runs.values())) > self._most_bytes:
            self._runs.popitem(last=False)
        return done, True


def _key(volume: Volume, folder: Path, device: str, settings: PredictSettings) -> str:
    asked = {field.name: getattr(settings, field.name) for field in fields(settings)}
    words = (spec_to_json(read_spec(folder)), device, volume.name, volume.geometry.affine, asked)
    digest = hashlib.blake2b(json.dumps(words, default=_plain).encode(), digest_size=32)
    digest.update(f"{volume.voxels.dtype} {volume.voxels.shape}".encode())
    for channel in volume.voxels:
        for plane in channel:
            digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _size(run: Run) -> int:
    found = run.prediction
    maps = [*found.probabilities.values(), *([] if found.uncertainty is None else [found.uncertainty])]
    return found.label_map.layers.nbytes + sum(each.voxels.nbytes for each in maps)
