"""`.seg.nrrd`, the segmentation file of 3D Slicer.

References:
    3D Slicer user guide, "Segmentations", file format; vtkMRMLSegmentationStorageNode. Teem, "Definition of NRRD File
    Format" (escapes, vectors).
"""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Code, LabelMap, Segment, Terminology
from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError

from .atomic import atomic_path
from .volumes import execute, open_image, volume_from_image, volume_stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import SimpleITK as sitk
    from numpy.typing import NDArray

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"
_PROVENANCE = "DeepSegment_"
# Slicer's own separators in terminology entries and tag lists.
_SEPARATORS = re.compile(r"[~^|\n\r]")


def write_seg_nrrd(label_map: LabelMap, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write a labelmap as 3D Slicer does.

    Args:
        label_map: One layer becomes a 3D file, several a 4D one.
        path: Name ending in .seg.nrrd.
        provenance: Words that `read_provenance` gives back.

    Raises:
        VolumeFileError: The file cannot be written, or a code holds one of Slicer's separators.
    """
    fields = _segmentation_fields() | _segments_fields(label_map)
    fields |= {f"{_PROVENANCE}{_plain(key)}": value for key, value in (provenance or {}).items()}
    lines = [*_header_lines(label_map), *(f"{key}:={_escaped(value)}" for key, value in fields.items())]
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode())
        with gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=file, mtime=0) as packed:
            for row in _in_file_order(label_map):
                packed.write(np.ascontiguousarray(row).astype(row.dtype.newbyteorder("<")).tobytes())


def read_seg_nrrd(path: Path) -> LabelMap:
    """Read a segmentation written by 3D Slicer or by `write_seg_nrrd`.

    Raises:
        VolumeFileError: The file is missing, damaged, or not a segmentation.
    """
    reader = open_image(path)
    header = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    try:
        return _parse(execute(reader, path), header, volume_stem(path))
    except (InvalidInputError, KeyError, ValueError) as error:
        raise VolumeFileError(f"{path} is not a segmentation that can be read: {error}") from error


def read_provenance(path: Path) -> dict[str, str]:
    """The words that were written with a segmentation; none in files of other programs.

    Raises:
        VolumeFileError: The file is missing or damaged.
    """
    reader = open_image(path)
    keys = [key for key in reader.GetMetaDataKeys() if key.startswith(_PROVENANCE)]
    return {key[len(_PROVENANCE) :]: reader.GetMetaData(key) for key in keys}


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


def _escaped(text: str) -> str:
    """A value as NRRD wants it: backslashes and line feeds escaped."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _in_file_order(label_map: LabelMap) -> Iterator[NDArray[Any]]:
    """The voxels plane by plane; in a 4D file the layers of a voxel are neighbours."""
    layers = label_map.layers
    for k in range(label_map.geometry.shape[0]):
        yield layers[0, k] if len(layers) == 1 else np.moveaxis(layers[:, k], 0, -1)


def _segmentation_fields() -> dict[str, str]:
    return {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }


def _segments_fields(label_map: LabelMap) -> dict[str, str]:
    fields: dict[str, str] = {}
    for n, segment in enumerate(label_map.segments):
        values = {
            "ID": f"Segment_{n + 1}",
            "Name": segment.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{part / 255:.6f}" for part in segment.color),
            "ColorAutoGenerated": "0",
            "Extent": _extent(label_map.mask(segment)),
            "LabelValue": str(segment.value),
            "Layer": str(segment.layer),
            "Tags": _tags(segment),
        }
        fields |= {f"Segment{n}_{key}": value for key, value in values.items()}
    return fields


def _extent(mask: NDArray[np.bool_]) -> str:
    """First and last index along i, j, k; "0 -1" for each axis of an empty segment."""
    box = bounding_box(mask)
    spans = zip(reversed(box.start), reversed(box.stop), strict=True)
    return " ".join(f"{start} {stop - 1}" for start, stop in spans)


def _tags(segment: Segment) -> str:
    tags = "Segmentation.Status:inprogress|"
    return tags + (f"TerminologyEntry:{_entry(segment.terminology)}|" if segment.terminology else "")


def _entry(terminology: Terminology) -> str:
    """Terminology as Slicer writes it: context~category~type~modifier~anatomic context~region~modifier."""
    codes = (terminology.category, terminology.type, terminology.modifier)
    return "~".join((_CONTEXT, *map(_triplet, codes), _ANATOMIC_CONTEXT, "^^", "^^"))


def _triplet(code: Code | None) -> str:
    return "^".join(map(_plain, (code.scheme, code.value, code.meaning))) if code else "^^"


def _plain(text: str) -> str:
    if _SEPARATORS.search(text):
        raise VolumeFileError(f"{text!r} cannot be stored: the file format uses ~ ^ | and line breaks as separators")
    return text


def _parse(image: sitk.Image, header: dict[str, str], name: str) -> LabelMap:
    volume = volume_from_image(image, name=name)
    layers = volume.voxels
    if layers.dtype.kind not in "ui" or layers.min() < 0 or layers.max() > 65535:
        raise InvalidInputError(f"labels must be whole numbers from 0 to 65535, got {layers.dtype}")
    kind = np.uint8 if layers.max() < 256 and layers.dtype != np.uint16 else np.uint16
    return LabelMap(layers.astype(kind), volume.geometry, _segments(header))


def _segments(header: dict[str, str]) -> tuple[Segment, ...]:
    numbers = sorted({int(found[1]) for key in header if (found := re.fullmatch(r"Segment(\d+)_ID", key))})
    return tuple(_segment(header, n) for n in numbers)


def _segment(header: dict[str, str], n: int) -> Segment:
    red, green, blue = (round(255 * float(part)) for part in str(header[f"Segment{n}_Color"]).split())
    return Segment(
        name=str(header[f"Segment{n}_Name"]),
        value=int(header.get(f"Segment{n}_LabelValue", 1)),
        color=(red, green, blue),
        terminology=_terminology(str(header.get(f"Segment{n}_Tags", ""))),
        layer=int(header.get(f"Segment{n}_Layer", n)),
    )


def _terminology(tags: str) -> Terminology | None:
    entry = next((tag.split(":", 1)[1] for tag in tags.split("|") if tag.startswith("TerminologyEntry:")), "")
    parts = entry.split("~")
    if len(parts) < 4:
        return None
    category, kind, modifier = (_code(part) for part in parts[1:4])
    return Terminology(category, kind, modifier) if category and kind else None


def _code(triplet: str) -> Code | None:
    parts = triplet.split("^")
    return Code(*parts) if len(parts) == 3 and any(parts) else None
