"""The table that says what labels on disk mean: segments, where they came from, and a checksum, as JSON beside them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

import numpy as np

from DeepSegmentLib.data import Code, Segment, Terminology
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.files.volume_checks import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap

_T = TypeVar("_T")
_TOGETHER_S = 60.0  # labels that are younger than their table by more were changed since
_LARGEST_TABLE = 1 << 26  # bytes; 65,535 segments with their terms have some thirty million


class OtherLabelsError(VolumeFileError):
    """A table is not that of the labels beside it."""


def table_text(label_map: LabelMap, provenance: Mapping[str, str], further: Mapping[str, Any] | None = None) -> str:
    """The table of a labelmap, in ASCII because a name may hold what UTF-8 cannot.

    Args:
        label_map: Its segments are listed, its labels summed up.
        provenance: What says where they came from.
        further: Of segments, by their names: more to say of each.
    """
    more = further or {}
    table = {
        "segments": [_to_json(segment) | more.get(segment.name, {}) for segment in label_map.segments],
        "provenance": dict(provenance),
        "labels_crc32": _checksum(label_map.layers),
    }
    return json.dumps(table, indent=2) + "\n"


def load_table(path: Path) -> dict[str, Any]:
    """A table as it is.

    Raises:
        VolumeFileError: It is none.
    """
    document = read_json(path, largest=_LARGEST_TABLE)
    if not isinstance(document, dict) or not isinstance(document.get("provenance", {}), dict):
        raise bad_table(path, "it is no object with segments and provenance")
    return document


def table_provenance(path: Path) -> dict[str, str]:
    """The words of a table that say where the labels came from.

    Raises:
        VolumeFileError: It is none.
    """
    return {key: str(value) for key, value in load_table(path).get("provenance", {}).items()}


def table_segments(path: Path, document: Mapping[str, Any]) -> tuple[Segment, ...]:
    """The segments of a table.

    Raises:
        VolumeFileError: They cannot be read.
    """
    try:
        return tuple(_from_json(entry) for entry in _checked(document["segments"], list))
    except (KeyError, TypeError, ValueError, InvalidInputError) as error:
        raise bad_table(path, error) from error


def check_labels(path: Path, table: Path, document: Mapping[str, Any], layers: NDArray[Any]) -> None:
    """Check that a table is that of these labels.

    Labels may have been changed after they were written with their table, as by a program in which they are mended;
    two runs that part a table from its labels do so within seconds.

    Args:
        path: Of the labels.
        table: Of the table.
        document: What is in it.
        layers: The labels.

    Raises:
        OtherLabelsError: It is that of others.
    """
    checksum = document.get("labels_crc32")  # tables of earlier versions have none
    edited = path.stat().st_mtime > table.stat().st_mtime + _TOGETHER_S
    if checksum and checksum != _checksum(layers) and not edited:
        raise OtherLabelsError(
            f"{table} is the table of other labels than those beside it, which another run left behind; segment again, "
            'or remove it to do without names (its line "labels_crc32", if its names are right)'
        )


def bad_table(path: Path, error: Exception | str) -> VolumeFileError:
    """The error of a table that cannot be read."""
    return VolumeFileError(
        f"{path} is not a table of labels that can be read: {shortened(repr(error))}; mend it, or remove it to do "
        "without names"
    )


def _checksum(layers: NDArray[Any]) -> str:
    """CRC-32 of labels (layer, k, j, i) and their shape, by which a table knows its labels again in any format."""
    narrow = np.ascontiguousarray(layers, np.uint8 if not layers.size or layers.max() < 256 else "<u2")
    return f"{crc32(narrow.reshape(-1).view(np.uint8).data, crc32(repr(layers.shape).encode())):08x}"


def _to_json(segment: Segment) -> dict[str, Any]:
    document = asdict(segment)
    del document["layer"]
    return document


def _checked(value: Any, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise TypeError(f"{shortened(repr(value))} is no {kind.__name__}")
    return value


def _from_json(entry: Any) -> Segment:
    fields = _checked(entry, dict)
    red, green, blue = (_checked(part, int) for part in _checked(fields["color"], list))
    name, value = _checked(fields["name"], str), _checked(fields["value"], int)
    return Segment(name, value, (red, green, blue), _terminology(fields.get("terminology")))


def _terminology(document: Any) -> Terminology | None:
    if document is None:
        return None
    fields = _checked(document, dict)
    modifier = fields.get("modifier")
    return Terminology(_code(fields["category"]), _code(fields["type"]), _code(modifier) if modifier else None)


def _code(document: Any) -> Code:
    fields = _checked(document, dict)
    return Code(**{name: _checked(fields[name], str) for name in ("scheme", "value", "meaning")})
