"""Labelmaps on disk: `.seg.nrrd`, or an image of label values with a JSON table of labels beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from DeepSegmentLib.data import Code, LabelMap, Segment, Terminology, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path, check_target
from DeepSegmentLib.files.checks import check_file, refused_as_file, shortened
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.files.volumes import WRITABLE_SUFFIXES, check_suffix, read_volume, volume_stem, write_volume

from .label_values import as_labels, unnamed_segments
from .seg_nrrd import read_seg_nrrd, read_seg_provenance, write_seg_nrrd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_T = TypeVar("_T")
_LARGEST_TABLE = 1 << 26  # bytes; 65,535 segments with their terms have some thirty million


def check_segmentation_path(path: Path) -> None:
    """Refuse a name that `write_segmentation` cannot write to, before work is spent.

    Raises:
        VolumeFileError: The suffix is unknown, the folder is missing, or the file is write-protected.
    """
    check_suffix(path, (".seg.nrrd", *WRITABLE_SUFFIXES))
    check_target(path)


def write_segmentation(label_map: LabelMap, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write a `.seg.nrrd`, or an image of labels with its table, by the suffix.

    Raises:
        VolumeFileError: The suffix is unknown, the layers do not fit the format, or the file cannot be written.
    """
    check_segmentation_path(path)
    if path.name.lower().endswith(".seg.nrrd"):
        write_seg_nrrd(label_map, path, provenance)
    else:
        write_labelmap(label_map, path, provenance)


def label_table_path(path: Path) -> Path:
    """Where the table of labels of an image is.

    Example:
        >>> from pathlib import Path
        >>> label_table_path(Path("a/ch2.nii.gz")).name
        'ch2.labels.json'
    """
    return path.with_name(volume_stem(path) + ".labels.json")


def write_labelmap(label_map: LabelMap, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write an image of label values, and `<name>.labels.json` with the segments and the provenance.

    Raises:
        VolumeFileError: There are several layers, or a file cannot be written; then neither is.
    """
    if len(label_map.layers) > 1:
        raise VolumeFileError(f"{path} can hold one layer, there are {len(label_map.layers)}; write a .seg.nrrd")
    table = {"segments": [_to_json(segment) for segment in label_map.segments], "provenance": dict(provenance or {})}
    # ASCII, because a name may hold what UTF-8 cannot.
    text = json.dumps(table, indent=2) + "\n"
    with atomic_path(label_table_path(path)) as fresh:
        fresh.write_text(text, encoding="ascii", newline="\n")
        write_volume(Volume(label_map.layers, label_map.geometry), path)


def read_labelmap(path: Path) -> LabelMap:
    """Read a `.seg.nrrd`, or an image of label values with its table if there is one.

    Without a table, each value found becomes a segment "label 3" and the like.

    Raises:
        VolumeFileError: A file is missing or damaged, or the values are no labels.
        ResourceError: It does not fit into memory.
    """
    if path.name.lower().endswith(".seg.nrrd"):
        return read_seg_nrrd(path)
    volume = read_volume(path)
    if volume.channels > 1:
        raise VolumeFileError(
            f"{path} has {volume.channels} values a voxel, a labelmap has one; overlapping segments need .seg.nrrd"
        )
    layers = as_labels(path, volume.voxels)
    table = label_table_path(path)
    segments = _read_table(table) if table.exists() else unnamed_segments(layers)
    with refused_as_file(table):
        return LabelMap(_wide_enough(layers, segments), volume.geometry, segments)


def read_provenance(path: Path) -> dict[str, str]:
    """The words that were written with a segmentation; none for files of other programs.

    Raises:
        VolumeFileError: A file is missing or damaged.
    """
    if path.name.lower().endswith(".seg.nrrd"):
        return read_seg_provenance(path)
    table = label_table_path(path)
    check_file(path)
    words = _load(table).get("provenance", {}) if table.exists() else {}
    return {key: str(value) for key, value in words.items()}


def _wide_enough(layers: NDArray[Any], segments: tuple[Segment, ...]) -> NDArray[Any]:
    """The labels in a type that holds all values of the table."""
    return layers.astype(np.uint16) if any(segment.value > 255 for segment in segments) else layers


def _to_json(segment: Segment) -> dict[str, Any]:
    document = asdict(segment)
    del document["layer"]
    return document


def _read_table(path: Path) -> tuple[Segment, ...]:
    try:
        entries = _load(path)["segments"]
        return tuple(_from_json(entry) for entry in _checked(entries, list))
    except (KeyError, TypeError, ValueError, InvalidInputError) as error:
        raise _bad_table(path, error) from error


def _load(path: Path) -> dict[str, Any]:
    document = read_json(path, largest=_LARGEST_TABLE)
    if not isinstance(document, dict) or not isinstance(document.get("provenance", {}), dict):
        raise _bad_table(path, "it is no object with segments and provenance")
    return document


def _bad_table(path: Path, error: Exception | str) -> VolumeFileError:
    return VolumeFileError(
        f"{path} is not a table of labels that can be read: {shortened(repr(error))}; mend it, or remove it to do "
        "without names"
    )


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
