"""What a bundle says of itself in `metadata.json`: names, channels, labels, licence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.models.importers.nnunet.model_card import as_name
from DeepSegmentLib.files.models.importers.palette import color_of
from DeepSegmentLib.files.opening import inside, read_bytes
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.networks.model_spec import Channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PT", "PT": "PT", "US": "US"}
_LONGEST_TEXT = 2000
_MOST_LABELS = 10_000
_LICENSE_FILES = ("LICENSE", "LICENSE.txt", "docs/license.txt", "docs/LICENSE", "license.txt")
_LARGEST_LICENSE = 1 << 18
_KNOWN_LICENSES = (
    ("Apache License", "Apache-2.0"),
    ("MIT License", "MIT"),
    ("Attribution-NonCommercial", "CC-BY-NC-4.0"),
    ("Attribution-ShareAlike 4.0", "CC-BY-SA-4.0"),
    ("Attribution 4.0", "CC-BY-4.0"),
)
NO_LICENSE = "not stated"

# Sentences that go into the provenance.
_TOLD = (
    "task",
    "authors",
    "copyright",
    "data_source",
    "monai_version",
    "pytorch_version",
    "intended_use",
    "eval_metrics",
)


class Metadata:
    """The entries of a `metadata.json`; what has another type than it should counts as missing."""

    def __init__(self, document: Mapping[str, Any], folder: Path) -> None:
        """Take the document, and the folder of the bundle."""
        self._document = document
        self._folder = folder

    @property
    def name(self) -> str:
        """Of the model: as it calls itself where that is a name, or else that of its folder."""
        said = self._text("name")
        return as_name(said if said and " " not in said else self._folder.name)

    @property
    def version(self) -> str:
        """As it says."""
        return as_name(self._text("version") or "1.0")

    @property
    def description(self) -> str:
        """One sentence."""
        return self._text("description") or self._text("task") or f"MONAI bundle {plain(self._folder.name)}."

    @property
    def citation(self) -> str:
        """Its references in a row."""
        references = self._document.get("references")
        listed = references if isinstance(references, list) else []
        return " ".join(_one_line(each) for each in listed if isinstance(each, str))[:_LONGEST_TEXT]

    @property
    def provenance(self) -> dict[str, str]:
        """What else people may want to know."""
        told = {key: _one_line(str(self._document[key])) for key in _TOLD if self._document.get(key)}
        return {"kind": "MONAI bundle"} | {key: text[:_LONGEST_TEXT] for key, text in told.items()}

    @property
    def monai_version(self) -> tuple[int, ...]:
        """That its weights were made with, such as (1, 3); the oldest where it says none."""
        match = re.match(r"(\d{1,4})\.(\d{1,4})", self._text("monai_version"))
        return (int(match[1]), int(match[2])) if match else (0, 0)

    def license_text(self) -> str:
        """Of the file that the bundle brings; empty where there is none."""
        for name in _LICENSE_FILES:
            try:
                path = inside(self._folder, name)
                if path.is_file():
                    return read_bytes(path, largest=_LARGEST_LICENSE).decode("utf-8", errors="replace")
            except VolumeFileError:
                continue
        return ""

    def license(self) -> str:
        """An SPDX identifier where the text is a known one."""
        text = self.license_text()
        known = [name for sign, name in _KNOWN_LICENSES if sign.lower() in text.lower()]
        said = self._text("license") or self._text("licence")
        return known[0] if known else said or ("see LICENSE" if text else NO_LICENSE)

    def channels(self, count: int, keys: Sequence[str]) -> tuple[Channel, ...]:
        """The inputs.

        Args:
            count: Of the network's channels.
            keys: Names of the inputs in the configuration; used where there are as many.
        """
        image = next(self._format("inputs"), {})
        names = _names(image.get("channel_def"), count)
        usual = list(keys) if len(keys) == count > 1 else [f"channel {n + 1}" for n in range(count)]
        modality = _MODALITIES.get(str(image.get("modality", "")).upper().strip(), "")
        if count == 1 and names[0].lower() in ("", "image"):
            names = [modality or "image"]
        distinct = _distinct([name or usual[n] for n, name in enumerate(names)])
        return tuple(Channel(name, modality) for name in distinct)

    def segments(self, count: int, *, regions: bool, values: Sequence[int] = ()) -> tuple[Segment, ...]:
        """The outputs.

        Args:
            count: Of the network's channels.
            regions: Whether each is a segment; otherwise the first is background.
            values: Of regions, where they are not numbered from 1.
        """
        prediction = next(self._format("outputs"), {})
        names = _names(prediction.get("channel_def"), count)[0 if regions else 1 :]
        distinct = _distinct([name or f"label {n}" for n, name in enumerate(names, start=1)])
        numbers = values or range(1, len(distinct) + 1)
        return tuple(
            Segment(name, value, color_of(n)) for n, (name, value) in enumerate(zip(distinct, numbers, strict=True))
        )

    def patch(self) -> tuple[int, ...]:
        """The extent that the network is said to take; empty where that is no numbers."""
        shape = next(self._format("inputs"), {}).get("spatial_shape")
        plain_numbers = isinstance(shape, list) and all(type(edge) is int and edge > 0 for edge in shape)
        return tuple(shape) if plain_numbers and shape else ()

    def _format(self, side: str) -> Iterator[Mapping[str, Any]]:
        """The images among the inputs or outputs of the network."""
        formats = self._document.get("network_data_format")
        entries = formats.get(side) if isinstance(formats, dict) else None
        for entry in entries.values() if isinstance(entries, dict) else ():
            if isinstance(entry, dict):
                yield entry

    def _text(self, key: str) -> str:
        value = self._document.get(key)
        return _one_line(value)[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _one_line(text: str) -> str:
    return plain(" ".join(text.split()))


def _names(definition: Any, count: int) -> list[str]:
    """The name of each channel; empty where none is said.

    Raises:
        ModelError: There are absurdly many.
    """
    if count > _MOST_LABELS:
        raise ModelError(f"a model may have at most {_MOST_LABELS} labels, this one has {count}")
    entries = definition if isinstance(definition, dict) else {}
    return [_one_line(str(entries.get(str(n), "")))[:100] for n in range(count)]


def _distinct(names: Sequence[str]) -> list[str]:
    """The names; those that were there before get their number."""
    seen: list[str] = []
    for n, name in enumerate(names, start=1):
        seen.append(f"{name} ({n})" if name in seen else name)
    return seen
