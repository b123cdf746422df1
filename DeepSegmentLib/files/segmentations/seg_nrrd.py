"""`.seg.nrrd`, the segmentation file of 3D Slicer: an NRRD of labels whose key/value pairs describe the segments.

Written here and not by a library: SimpleITK cannot mark the layers' axis as Slicer does ("list"), pynrrd 1.1 writes no
letters beyond ASCII and does not escape line breaks.

References:
    3D Slicer user guide, "Segmentations", file format; vtkMRMLSegmentationStorageNode. Teem, "Definition of NRRD File
    Format" (escapes, vectors).
"""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import LabelMap, Segment
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.files.volume_checks import check_finite, refused_as_file, shortened
from DeepSegmentLib.files.volumes.header_text import real_number, whole_number
from DeepSegmentLib.files.volumes.nrrd import read_nrrd_header
from DeepSegmentLib.files.volumes.voxels import read_frames

from .label_values import as_labels, unnamed_segments, wide_enough
from .terminology import PROVENANCE_TAG, SEPARATORS, from_entry, to_entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_SEGMENTATION = {
    "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
    "Segmentation_ConversionParameters": "",
    "Segmentation_MasterRepresentation": "Binary labelmap",
    "Segmentation_ReferenceImageExtentOffset": "0 0 0",
}
_FIELD = "DeepSegment_"
_UNWRITABLE = re.compile(r"[\r\0\ud800-\udfff]")  # end a line, end a text, are no characters
_ID_KEY = re.compile(r"Segment([0-9]{1,9})_ID")
_MOST_LAYERS = 1 << 16
_PROVENANCE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def write_seg_nrrd(
    label_map: LabelMap, path: Path, provenance: Mapping[str, str] | None = None, *, level: int = 6
) -> None:
    """Write a labelmap as 3D Slicer does.

    Args:
        label_map: One layer becomes a 3D file, several a 4D one.
        path: Name ending in .seg.nrrd.
        provenance: Words that `read_seg_provenance` gives back: fields of the file, and tags of each segment, which
            Slicer keeps when it saves the segmentation again.
        level: Of the compression; 1 is four times as fast as 6 and twice as large.

    Raises:
        VolumeFileError: The file cannot be written, or a text holds what the format has no place for.
    """
    words = _checked_provenance(path, provenance or {})
    fields = _segment_fields(path, label_map, words) | _SEGMENTATION
    fields |= {f"{_FIELD}{key}": value for key, value in words.items()}
    pairs = [f"{key}:={_escaped(path, value)}" for key, value in fields.items()]
    header = "\n".join([*_header_lines(label_map), *pairs]) + "\n\n"
    with atomic_path(path) as fresh, fresh.open("wb") as file:
        file.write(header.encode("utf-8"))
        with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0) as packed:
            for plane in _planes(label_map):
                packed.write(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes())


def read_seg_nrrd(path: Path) -> LabelMap:
    """Read a segmentation written by 3D Slicer or by `write_seg_nrrd`.

    Of an NRRD file that describes no segments, each value found becomes a segment "label 3" and the like.

    Raises:
        VolumeFileError: The file is missing, damaged, or not a segmentation.
        ResourceError: It does not fit into memory.
    """
    header = read_nrrd_header(path)
    if header.frames > 1:
        raise VolumeFileError(f"{path} is a sequence of {header.frames} frames; save one of them as a segmentation")
    if header.channels > _MOST_LAYERS:
        raise VolumeFileError(f"{path} has {header.channels} layers, more than {_MOST_LAYERS}; save it as a volume")
    (voxels,) = read_frames(path, header)
    check_finite(path, voxels)
    layers = np.ascontiguousarray(as_labels(path, voxels))
    described = any(key.startswith("Segmentation_") or _ID_KEY.fullmatch(key) for key in header.metadata)
    with refused_as_file(path):
        segments = _segments(path, header.metadata, len(layers)) if described else unnamed_segments(layers)
        return LabelMap(wide_enough(layers, segments), header.geometry, segments)


def read_seg_provenance(path: Path) -> dict[str, str]:
    """The words that were written with a segmentation; none in files of other programs.

    Raises:
        VolumeFileError: The file is missing or damaged.
    """
    metadata = read_nrrd_header(path).metadata
    words = {key.removeprefix(_FIELD): value for key, value in metadata.items() if key.startswith(_FIELD)}
    tags = _tags(metadata.get("Segment0_Tags", ""))
    return words or {
        key.removeprefix(PROVENANCE_TAG): value for key, value in tags.items() if key.startswith(PROVENANCE_TAG)
    }


def _checked_provenance(path: Path, provenance: Mapping[str, str]) -> Mapping[str, str]:
    for key in provenance:
        if not _PROVENANCE_KEY.fullmatch(key):
            raise VolumeFileError(f"{path} cannot hold the provenance key {key!r}; use letters, digits, _ and -")
    return provenance


def _header_lines(label_map: LabelMap) -> list[str]:
    """The NRRD header proper, as teem writes it."""
    spacing, origin, direction = label_map.geometry.to_itk()
    axes = (np.reshape(direction, (3, 3)) * spacing).T
    layers = len(label_map.layers)
    sizes = ([layers] if layers > 1 else []) + list(reversed(label_map.geometry.shape))
    vectors = (["none"] if layers > 1 else []) + [_vector(axis) for axis in axes]
    kinds = (["list"] if layers > 1 else []) + ["domain"] * 3
    return [
        "NRRD0004",
        f"type: {'unsigned char' if label_map.layers.dtype == np.uint8 else 'unsigned short'}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(vectors)}",
        f"kinds: {' '.join(kinds)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(np.array(origin))}",
    ]


def _vector(numbers: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(number)) for number in numbers) + ")"


def _escaped(path: Path, text: str) -> str:
    """A value as NRRD wants it: backslashes and line feeds escaped."""
    wrong = _UNWRITABLE.search(text)
    if wrong:
        raise VolumeFileError(f"{path} cannot hold the character {wrong[0]!r} of the text {text!r}; rename it")
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _planes(label_map: LabelMap) -> Iterator[NDArray[Any]]:
    """The voxels plane by plane, in file order: the layers of a voxel are neighbours."""
    for k in range(label_map.geometry.shape[0]):
        yield np.moveaxis(label_map.layers[:, k], 0, -1)


def _segment_fields(path: Path, label_map: LabelMap, provenance: Mapping[str, str]) -> dict[str, str]:
    extents = [ndimage.find_objects(layer) for layer in label_map.layers]
    fields: dict[str, str] = {}
    for n, segment in enumerate(label_map.segments):
        found = extents[segment.layer]
        values = {
            "ID": f"Segment_{n + 1}",
            "Name": segment.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{part / 255:.6f}" for part in segment.color),
            "ColorAutoGenerated": "0",
            "Extent": _extent(found[segment.value - 1] if segment.value <= len(found) else None),
            "LabelValue": str(segment.value),
            "Layer": str(segment.layer),
            "Tags": _tags_text(path, segment, provenance),
        }
        fields |= {f"Segment{n}_{key}": value for key, value in values.items()}
    return fields


def _extent(box: tuple[slice, ...] | None) -> str:
    """First and last index along i, j, k; "0 -1" for each axis of an empty segment."""
    return " ".join(f"{span.start} {span.stop - 1}" for span in reversed(box)) if box else "0 -1 0 -1 0 -1"


def _tags_text(path: Path, segment: Segment, provenance: Mapping[str, str]) -> str:
    tags = {f"{PROVENANCE_TAG}{key}": value for key, value in provenance.items() if not SEPARATORS.search(value)}
    tags["Segmentation.Status"] = "inprogress"
    if segment.terminology:
        with refused_as_file(path):
            tags["TerminologyEntry"] = to_entry(segment.terminology)
    return "".join(f"{key}:{value}|" for key, value in tags.items())


def _segments(path: Path, metadata: Mapping[str, str], layers: int) -> tuple[Segment, ...]:
    numbers = sorted({int(found[1]) for key in metadata if (found := _ID_KEY.fullmatch(key))})
    return tuple(_segment(path, metadata, n, layers) for n in numbers)


def _segment(path: Path, metadata: Mapping[str, str], n: int, layers: int) -> Segment:
    """Segment n; files of Slicer before 4.11 have one segment of value 1 in each layer."""
    name, color = f"Segment{n}_Name", f"Segment{n}_Color"
    for field in (color, name):
        if field not in metadata:
            raise VolumeFileError(f"{path} is not a segmentation that can be read: it has no {field}")
    try:
        red, green, blue = (round(255 * real_number(part)) for part in metadata[color].split())
        value = whole_number(metadata.get(f"Segment{n}_LabelValue", "1"))
        layer = whole_number(metadata.get(f"Segment{n}_Layer", str(n if layers > 1 else 0)))
    except (ValueError, OverflowError) as error:
        raise VolumeFileError(
            f"{path} is not a segmentation that can be read: segment {n}: {shortened(str(error))}"
        ) from error
    return Segment(
        metadata[name],
        value,
        (red, green, blue),
        from_entry(_tags(metadata.get(f"Segment{n}_Tags", "")).get("TerminologyEntry", "")),
        layer,
    )


def _tags(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (tag.partition(":") for tag in text.split("|")) if key}
