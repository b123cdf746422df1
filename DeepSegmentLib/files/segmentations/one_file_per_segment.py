"""A folder with an image of zeros and ones for each segment, as TotalSegmentator writes, and a table of them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import LabelMap, Volume
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import atomic_paths
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.safe_names import file_words
from DeepSegmentLib.files.volume_checks import refused_as_file
from DeepSegmentLib.files.volumes import read_volume, write_volume

from .label_table import OtherLabelsError, bad_table, check_labels, load_table, table_segments, table_text
from .label_values import as_labels, wide_enough

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, Segment

SEGMENTS_FILE = "segments.json"
"""The name of the table in the folder, by which such a segmentation goes."""

_SUFFIX = ".nii.gz"


def segments_table(path: Path) -> Path | None:
    """The table of such a folder, which may be named itself; None where the path is none of the two."""
    if path.name == SEGMENTS_FILE:
        return path
    table = path / SEGMENTS_FILE
    return table if is_folder(path) and table.is_file() else None


def segment_files(table: Path, names: Iterable[str]) -> dict[str, Path]:
    """The file of each segment.

    Example:
        >>> from pathlib import Path
        >>> segment_files(Path("out/segments.json"), ["Left thalamus"])["Left thalamus"].as_posix()
        'out/left-thalamus.nii.gz'
    """
    return {name: table.parent / f"{word}{_SUFFIX}" for name, word in file_words(names).items()}


def write_segment_files(label_map: LabelMap, table: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write a file for each segment, also for those that are empty, and the table.

    They are one: the table holds a checksum of the labels, and appears just before them, while no other writer does.
    What an earlier table there listed and this one does not goes.

    Raises:
        VolumeFileError: Two segments have one name, or a file cannot be written; then none of them is replaced.
    """
    names = [segment.name for segment in label_map.segments]
    if len(set(names)) < len(names):
        raise VolumeFileError(f"{table.parent} cannot hold two segments of one name; write a .seg.nrrd")
    files = segment_files(table, names)
    before = _listed(table)
    further = {each.name: {"file": files[each.name].name, "layer": each.layer} for each in label_map.segments}
    with atomic_paths([table, *files.values()]) as (fresh_table, *fresh):
        for segment, path in zip(label_map.segments, fresh, strict=True):
            write_volume(Volume(label_map.mask(segment).astype(np.uint8)[None], label_map.geometry), path)
        # Last, so that the table is no older than the labels.
        fresh_table.write_text(table_text(label_map, provenance or {}, further), encoding="ascii", newline="\n")
    for name in before - {path.name for path in files.values()}:
        (table.parent / name).unlink(missing_ok=True)


def read_segment_files(table: Path) -> LabelMap:
    """The segments of a folder as one labelmap.

    Raises:
        VolumeFileError: A file is missing or damaged, or the table is that of others.
    """
    document = load_table(table)
    segments = table_segments(table, document)
    entries = [_place(table, entry) for entry in document["segments"]]
    if not segments:
        raise bad_table(table, "it lists no segments")
    placed = tuple(replace(each, layer=layer) for each, (_, layer) in zip(segments, entries, strict=True))
    layers, geometry = _joined([path for path, _ in entries], placed)
    latest = max((path for path, _ in entries), key=lambda path: path.stat().st_mtime)
    check_labels(latest, table, document, layers)
    with refused_as_file(table):
        return LabelMap(layers, geometry, placed)


def listed_files(table: Path) -> set[str]:
    """The names of the files that belong to a table, itself among them.

    Raises:
        VolumeFileError: It is no table of files.
    """
    document = load_table(table)
    table_segments(table, document)
    return {table.name, *(_place(table, entry)[0].name for entry in document["segments"])}


def _joined(paths: list[Path], segments: tuple[Segment, ...]) -> tuple[NDArray[Any], Geometry]:
    """Labels (layer, k, j, i) from a mask for each segment, one of which is in memory at a time."""
    first = read_volume(paths[0])
    empty = np.zeros((max(each.layer for each in segments) + 1, *first.geometry.shape), np.uint8)
    layers = wide_enough(empty, segments)
    for path, segment in zip(paths, segments, strict=True):
        mask = read_volume(path)
        if mask.channels > 1 or not mask.geometry.is_close(first.geometry):
            raise VolumeFileError(f"{path} is not on the grid of {paths[0]}; segment again")
        inside = as_labels(path, mask.voxels[0]) > 0
        if layers[segment.layer][inside].any():
            raise OtherLabelsError(f"{path} overlaps another segment of its layer; segment again")
        layers[segment.layer][inside] = segment.value
    return layers, first.geometry


def _place(table: Path, entry: Mapping[str, Any]) -> tuple[Path, int]:
    """File and layer of a segment in the table; files lie beside it."""
    name, layer = entry.get("file"), entry.get("layer", 0)
    if not isinstance(name, str) or Path(name).name != name or type(layer) is not int or not 0 <= layer < 256:
        raise bad_table(table, f"a segment has the file {name!r} in layer {layer!r}")
    return table.parent / name, layer


def _listed(table: Path) -> set[str]:
    """The files of the table that is there, none where it cannot be read."""
    try:
        return listed_files(table) - {table.name} if table.is_file() else set()
    except VolumeFileError:
        return set()
