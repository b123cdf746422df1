"""Labelmaps on disk: `.seg.nrrd`, or an image of label values with a JSON table of labels beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

import numpy as np

from DeepSegmentLib.data import Code, LabelMap, Segment, Terminology, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_paths
from DeepSegmentLib.files.checks import check_file, refused_as_file, shortened
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.files.targets import Output
from DeepSegmentLib.files.volumes import WRITABLE_SUFFIXES, check_suffix, read_volume, volume_stem, write_volume

from .label_values import as_labels, unnamed_segments, wide_enough
from .seg_nrrd import read_seg_nrrd, read_seg_provenance, write_seg_nrrd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_T = TypeVar("_T")
_TOGETHER_S = 60.0  # labels that are younger than their table by more were changed since
_LARGEST_TABLE = 1 << 26  # bytes; 65,535 segments with their terms have some thirty million


SEGMENTATION_SUFFIXES = (".seg.nrrd", *WRITABLE_SUFFIXES)
"""Lower-case endings of the files that `write_segmentation` can write."""


def segmentation_outputs(path: Path) -> list[Output]:
    """The files that `write_segmentation` writes: the segmentation, and the table of labels where the format needs one.

    The name of the table has no ending to check: it is ours.
    """
    table = [] if path.name.lower().endswith(".seg.nrrd") else [Output(label_table_path(path))]
    return [Output(path, SEGMENTATION_SUFFIXES), *table]


def write_segmentation(label_map: LabelMap, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write a `.seg.nrrd`, or an image of labels with its table, by the suffix.

    Raises:
        VolumeFileError: The suffix is unknown, the layers do not fit the format, or the file cannot be written.
    """
    check_suffix(path, SEGMENTATION_SUFFIXES)
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
    return path.parent / (volume_stem(path) + ".labels.json")


def write_labelmap(label_map: LabelMap, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write an image of label values, and `<name>.labels.json` with the segments and the provenance.

    The two are one: the table holds a checksum of the labels, and appears just before them, while no other writer does.

    Raises:
        VolumeFileError: There are several layers, or a file cannot be written; then neither is.
    """
    if len(label_map.layers) > 1:
        raise VolumeFileError(f"{path} can hold one layer, there are {len(label_map.layers)}; write a .seg.nrrd")
    table = {
        "segments": [_to_json(segment) for segment in label_map.segments],
        "provenance": dict(provenance or {}),
        "labels_crc32": labels_checksum(label_map.layers),
    }
    with atomic_paths([label_table_path(path), path]) as (fresh_table, fresh_image):
        write_volume(Volume(label_map.layers, label_map.geometry), fresh_image)
        # ASCII, because a name may hold what UTF-8 cannot; last, so that the table is no older than the labels.
        fresh_table.write_text(json.dumps(table, indent=2) + "\n", encoding="ascii", newline="\n")


def labels_checksum(layers: NDArray[Any]) -> str:
    """CRC-32 of labels (layer, k, j, i) and their shape, by which a table knows its labels again in any format."""
    narrow = np.ascontiguousarray(layers, np.uint8 if not layers.size or layers.max() < 256 else "<u2")
    return f"{crc32(narrow.reshape(-1).view(np.uint8).data, crc32(repr(layers.shape).encode())):08x}"


def read_labelmap(path: Path) -> LabelMap:
    """Read a `.seg.nrrd`, or an image of label values with its table if there is one.

    Without a table, each value found becomes a segment "label 3" and the like.

    Raises:
        VolumeFileError: A file is missing or damaged, the values are no labels, or the table is that of other labels.
        ResourceError: It does not fit into memory.
    """
    if path.name.lower().endswith(".seg.nrrd"):
        return read_seg_nrrd(path)
    try:
        return _read_pair(path)
    except _OtherLabelsError:
        return _read_pair(path)  # somebody may have replaced both between the two readings


class _OtherLabelsError(VolumeFileError):
    """A table is not that of the labels beside it."""


def _read_pair(path: Path) -> LabelMap:
    volume = read_volume(path)
    if volume.channels > 1:
        raise VolumeFileError(
            f"{path} has {volume.channels} values a voxel, a labelmap has one; overlapping segments need .seg.nrrd"
        )
    layers = as_labels(path, volume.voxels)
    table = label_table_path(path)
    segments = _named(table, path, layers) if table.exists() else unnamed_segments(layers)
    with refused_as_file(table):
        return LabelMap(wide_enough(layers, segments), volume.geometry, segments)


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


def _to_json(segment: Segment) -> dict[str, Any]:
    document = asdict(segment)
    del document["layer"]
    return document


def _named(table: Path, path: Path, layers: NDArray[Any]) -> tuple[Segment, ...]:
    """The segments of a table, which must be that of these labels."""
    document = _load(table)
    checksum = document.get("labels_crc32")  # tables of earlier versions have none
    if checksum and checksum != labels_checksum(layers) and not _edited_since(path, table):
        raise _OtherLabelsError(
            f"{table} is the table of other labels than those beside it, which another run left behind; segment again, "
            'or remove it to do without names (its line "labels_crc32", if its names are right)'
        )
    return _read_table(table, document)


def _edited_since(path: Path, table: Path) -> bool:
    """Whether labels were changed after they were written with their table, as by a program in which they are mended.

    Two runs that part a table from its labels do so within seconds.
    """
    return path.stat().st_mtime > table.stat().st_mtime + _TOGETHER_S


def _read_table(path: Path, document: Mapping[str, Any]) -> tuple[Segment, ...]:
    try:
        return tuple(_from_json(entry) for entry in _checked(document["segments"], list))
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
