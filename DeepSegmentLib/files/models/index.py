"""What a list of models says of each, kept in one small file: reading sixty large specs would take half a second."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import DeepSegmentLib
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.opening import read_json

from .folder import SPEC_FILE, read_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LARGEST_INDEX = 16 << 20
_SETTLED_NS = 2_000_000_000
"""A file that was changed a moment ago may change again without its times telling it (FAT: 2 s)."""


@dataclass(frozen=True)
class Summary:
    """What a list of models says of one.

    Attributes:
        name: Of the model.
        version: Likewise.
        description: One sentence.
        license: Of the weights.
        kind: What it was before it came here; empty where it does not say it.
        weights: Names of its weights files.
    """

    name: str
    version: str
    description: str
    license: str
    kind: str
    weights: tuple[str, ...]


def summary_of(folder: Path) -> Summary:
    """The summary of a model, from its spec.

    Raises:
        ModelError: See `read_spec`.
    """
    spec = read_spec(folder)
    files = tuple(file.file for file in spec.weights)
    return Summary(spec.name, spec.version, spec.description, spec.license, spec.provenance.get("kind", ""), files)


class SummaryIndex:
    """The summaries of the models in one folder, by the size and the times of their specs.

    Args:
        file: Where they are kept; that it cannot be read or written costs time only.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)
        self._used: dict[str, dict[str, Any]] = {}

    def summary(self, folder: Path) -> Summary:
        """The summary of a model, from the index where its spec is as it was.

        Raises:
            ModelError: See `read_spec`.
        """
        stamp = _stamp(folder / SPEC_FILE)
        known = self._known.get(folder.name)
        if stamp and known and known["stamp"] == stamp:
            self._used[folder.name] = known
            return Summary(**known["summary"] | {"weights": tuple(known["summary"]["weights"])})
        summary = summary_of(folder)
        if stamp and time.time_ns() - max(stamp[1:3]) > _SETTLED_NS:
            self._used[folder.name] = {"stamp": stamp, "summary": asdict(summary)}
        return summary

    def keep(self) -> None:
        """Write what is known now, where that is more or less than before."""
        if self._used != self._known:
            document = {"version": DeepSegmentLib.__version__, "models": self._used}
            with suppress(OSError, VolumeFileError):
                write_text(self._file, json.dumps(document))


def _stamp(spec: Path) -> list[int]:
    """What changes when a file does; empty where there is none."""
    try:
        state = spec.stat()
    except OSError:
        return []
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """The entries of an index by the names of folders; those that make no sense are passed over."""
    try:
        document = read_json(file, largest=_LARGEST_INDEX)
    except VolumeFileError:
        return {}
    if not isinstance(document, dict) or document.get("version") != DeepSegmentLib.__version__:
        return {}
    models = document.get("models")
    entries: Mapping[str, Any] = models if isinstance(models, dict) else {}
    return {name: entry for name, entry in entries.items() if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"stamp", "summary"} or not isinstance(entry["summary"], dict):
        return False
    summary: dict[str, Any] = entry["summary"]
    texts: Sequence[Any] = [value for key, value in summary.items() if key != "weights"]
    files = summary.get("weights")
    named = summary.keys() == set(Summary.__dataclass_fields__) and isinstance(files, list)
    return named and all(isinstance(text, str) for text in (*texts, *(files or ())))
