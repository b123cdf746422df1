"""Labelmaps on disk: `.seg.nrrd`, an image of label values with a JSON table beside it, or an image a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import LabelMap, Volume
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import atomic_paths
from DeepSegmentLib.files.output_checks import Output
from DeepSegmentLib.files.volume_checks import check_file, refused_as_file
from DeepSegmentLib.files.volumes import WRITABLE_SUFFIXES, check_suffix, read_volume, volume_stem, write_volume

from .label_table import OtherLabelsError, check_labels, load_table, table_provenance, table_segments, table_text
from .label_values import as_labels, unnamed_segments, wide_enough
from .one_file_per_segment import SEGMENTS_FILE, read_segment_files, segment_files, segments_table, write_segment_files
from .seg_nrrd import read_seg_nrrd, read_seg_provenance, write_seg_nrrd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Segment

SEGMENTATION_SUFFIXES = (".seg.nrrd", *WRITABLE_SUFFIXES)
"""Lower-case endings of the files that `write_segmentation` can write."""


def segmentation_outputs(path: Path, names: Iterable[str] = ()) -> list[Output]:
    """The files that `write_segmentation` writes: the segmentation, and the table of labels where the format needs one.

    The name of the table has no ending to check: it is ours.

    Args:
        path: The segmentation.
        names: Of its segments, which count where each gets a file of its own.
    """
    if path.name == SEGMENTS_FILE:
        return [Output(path), *map(Output, segment_files(path, names).values())]
    table = [] if path.name.lower().endswith(".seg.nrrd") else [Output(label_table_path(path))]
    return [Output(path, SEGMENTATION_SUFFIXES), *table]


def write_segmentation(label_map: LabelMap, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write a `.seg.nrrd`, or an image of labels with its table, by the suffix; `segments.json`: a file a segment.

    Raises:
        VolumeFileError: The suffix is unknown, the layers do not fit the format, or the file cannot be written.
    """
    if path.name == SEGMENTS_FILE:
        write_segment_files(label_map, path, provenance)
        return
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
    with atomic_paths([label_table_path(path), path]) as (fresh_table, fresh_image):
        write_volume(Volume(label_map.layers, label_map.geometry), fresh_image)
        # Last, so that the table is no older than the labels.
        fresh_table.write_text(table_text(label_map, provenance or {}), encoding="ascii", newline="\n")


def read_labelmap(path: Path) -> LabelMap:
    """Read a `.seg.nrrd`, an image of label values with its table if there is one, or a folder of a file a segment.

    Without a table, each value found becomes a segment "label 3" and the like.

    Raises:
        VolumeFileError: A file is missing or damaged, the values are no labels, or the table is that of other labels.
        ResourceError: It does not fit into memory.
    """
    if path.name.lower().endswith(".seg.nrrd"):
        return read_seg_nrrd(path)
    try:
        return _read_with_table(path)
    except OtherLabelsError:
        return _read_with_table(path)  # somebody may have replaced both between the two readings


def _read_with_table(path: Path) -> LabelMap:
    table = segments_table(path)
    return _read_pair(path) if table is None else read_segment_files(table)


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
    of_folder = segments_table(path)
    table = of_folder or label_table_path(path)
    check_file(of_folder or path)
    return table_provenance(table) if table.exists() else {}


def _named(table: Path, path: Path, layers: NDArray[Any]) -> tuple[Segment, ...]:
    """The segments of a table, which must be that of these labels."""
    document = load_table(table)
    check_labels(path, table, document, layers)
    return table_segments(table, document)
