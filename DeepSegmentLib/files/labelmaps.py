"""Labelmaps on disk: `.seg.nrrd`, or an image of label values with a JSON table of labels beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from DeepSegmentLib.data import Code, LabelMap, Segment, Terminology
from DeepSegmentLib.errors import DeepSegmentError, VolumeFileError

from .atomic import write_text
from .seg_nrrd import read_seg_nrrd, write_seg_nrrd
from .volumes import read_volume, volume_stem, write_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def check_segmentation_path(path: Path) -> None:
    """Refuse a name that `write_segmentation` cannot write to, before work is spent.

    Raises:
        VolumeFileError: The suffix is unknown, or the folder is missing.
    """
    if not path.name.lower().endswith(_IMAGE_SUFFIXES):
        raise VolumeFileError(f"{path}: unknown suffix; use .seg.nrrd, {', '.join(_IMAGE_SUFFIXES)}")
    if not path.parent.is_dir():
        raise VolumeFileError(f"the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise VolumeFileError(f"{path} is a folder; name a file in it")


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
    """Write an image of label values, and `<name>.labels.json` with the segments.

    Raises:
        VolumeFileError: There are several layers, or a file cannot be written.
    """
    if len(label_map.layers) > 1:
        raise VolumeFileError(f"{path} can hold one layer, there are {len(label_map.layers)}; write a .seg.nrrd")
    table = {"segments": [_to_json(segment) for segment in label_map.segments], "provenance": dict(provenance or {})}
    write_image(sitk.GetImageFromArray(np.ascontiguousarray(label_map.layers[0])), label_map.geometry, path)
    write_text(label_table_path(path), json.dumps(table, indent=2, ensure_ascii=False) + "\n")


def read_labelmap(path: Path) -> LabelMap:
    """Read a `.seg.nrrd`, or an image of label values with its table if there is one.

    Values without a name in a table become segments called "label 3" and the like.

    Raises:
        VolumeFileError: A file is missing or damaged, or the values are no labels.
    """
    if path.name.lower().endswith(".seg.nrrd"):
        return read_seg_nrrd(path)
    volume = read_volume(path)
    if volume.channels > 1:
        raise VolumeFileError(f"{path} has {volume.channels} values a voxel; a labelmap has one")
    labels = _labels(volume.voxels[0], path)
    table = label_table_path(path)
    segments = _read_table(table) if table.is_file() else _nameless(labels)
    try:
        return LabelMap(labels[None], volume.geometry, segments)
    except DeepSegmentError as error:
        raise VolumeFileError(f"{table}: {error}") from error


def _labels(voxels: NDArray[Any], path: Path) -> NDArray[Any]:
    low, high = voxels.min(), voxels.max()
    if low < 0 or high > 65535:
        raise VolumeFileError(f"{path} holds values from {low} to {high}; labels are 0 to 65535")
    labels: NDArray[Any] = voxels.astype(np.uint8 if high < 256 else np.uint16)
    if voxels.dtype.kind == "f" and not np.array_equal(labels, voxels):
        raise VolumeFileError(f"{path} holds fractions; labels are whole numbers (is it a probability map?)")
    return labels


def _nameless(labels: NDArray[Any]) -> tuple[Segment, ...]:
    return tuple(Segment(f"label {value}", int(value)) for value in np.unique(labels) if value)


def _to_json(segment: Segment) -> dict[str, Any]:
    document = asdict(segment)
    del document["layer"]
    return document


def _read_table(path: Path) -> tuple[Segment, ...]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return tuple(_from_json(entry) for entry in document["segments"])
    except (OSError, ValueError, KeyError, TypeError, DeepSegmentError) as error:
        raise VolumeFileError(f"{path} is not a table of labels that can be read: {error!r}") from error


def _from_json(entry: dict[str, Any]) -> Segment:
    red, green, blue = (int(part) for part in entry["color"])
    terminology = entry.get("terminology")
    return Segment(str(entry["name"]), int(entry["value"]), (red, green, blue), _terminology(terminology))


def _terminology(document: dict[str, Any] | None) -> Terminology | None:
    if document is None:
        return None
    modifier = document.get("modifier")
    return Terminology(Code(**document["category"]), Code(**document["type"]), Code(**modifier) if modifier else None)
