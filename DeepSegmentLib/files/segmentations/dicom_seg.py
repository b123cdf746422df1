"""DICOM Segmentation objects (SEG) of a segmented CT or MR series, through highdicom.

BINARY, which loses nothing and which every reader knows. The object says who made the segments (a network, a network
and a person, a person), what they are in standard codes, and which slices it was made from.

References:
    DICOM PS3.3 A.51 (Segmentation IOD), C.8.20.2 (module), PS3.16 CID 7150 (categories), CID 7162 (algorithm families).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from DeepSegmentLib import __version__
from DeepSegmentLib.data import Code, Terminology
from DeepSegmentLib.errors import InvalidInputError, MissingPackageError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.files.dicom import slice_grid

from .grids_and_layers import empty_segments, match_grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, LabelMap, Segment

AlgorithmType = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]

_TISSUE = Code("SCT", "85756007", "Tissue")  # what 3D Slicer gives segments of unknown kind
_STRUCTURE = Code("SCT", "91723000", "Anatomical structure")
# Codes of 3D Slicer's General Anatomy list that are no longer in CID 7150, and what stands there now.
_CATEGORIES = {("SCT", "123037004"): _STRUCTURE}
_LONGEST_LABEL = 64  # LO, DICOM PS3.5 section 6.2
_SERIES_NUMBER_STEP = 1000  # beyond the numbers that scanners give


@dataclass(frozen=True)
class Algorithm:
    """Who made the segments.

    Attributes:
        kind: By a program alone, by a program and a person, or by hand.
        name: Of the program or model; needed unless by hand.
        version: Likewise.
        parameters: What it was run with; kept in the object.
    """

    kind: AlgorithmType
    name: str = ""
    version: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind != "MANUAL" and not (self.name and self.version):
            raise InvalidInputError(
                f"DICOM wants the name and the version of a {self.kind} algorithm, got {self.name!r} and "
                f"{self.version!r}; give both, or say that the segments were made by hand"
            )


def write_dicom_seg(label_map: LabelMap, slices: Sequence[Path], path: Path, algorithm: Algorithm) -> tuple[str, ...]:
    """Write segments as a DICOM SEG that refers to the slices they were made from.

    Segments may overlap. Those without a voxel are left out: a segment that is described must have a frame.

    Args:
        label_map: On the grid of the slices; the order and sense of its axes may differ.
        slices: The files of the series, in any order.
        path: File to write (.dcm).
        algorithm: Who made the segments.

    Returns:
        What the user should know: segments left out, identifiers that the slices lack.

    Raises:
        MissingPackageError: highdicom is not installed.
        InvalidInputError: The grids differ, no segment has a voxel, or a name is too long.
        VolumeFileError: A slice cannot be read, lacks what DICOM wants, or the file cannot be written.
    """
    highdicom = _highdicom()
    geometry, files = slice_grid(slices)
    labels = match_grid(label_map, geometry)
    empty = empty_segments(labels)
    kept = tuple(segment for segment in labels.segments if segment not in empty)
    if not kept:
        raise InvalidInputError(f"{path} would hold no segment: none of {len(empty)} has a voxel")
    sources, notes = _read_sources(files)
    descriptions = [_describe(highdicom, n, segment, algorithm) for n, segment in enumerate(kept, start=1)]
    try:
        document = _build(highdicom, sources, _pixels(labels, kept), descriptions, geometry)
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise VolumeFileError(
            f"{path} cannot be made of the series in {files[0].parent}: {error}; does it lack what DICOM wants?"
        ) from error
    with atomic_path(path) as fresh:
        document.save_as(fresh)
    left_out = [f"empty, left out: {', '.join(segment.name for segment in empty)}"] if empty else []
    return (*left_out, *notes)


def _highdicom() -> Any:
    try:
        import highdicom
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "writing DICOM SEG needs highdicom; install it: pip install 'DeepSegmentLib[dicom]'"
        ) from error
    return highdicom


def _read_sources(files: Sequence[Path]) -> tuple[list[Any], list[str]]:
    """The headers of the slices, with identifiers where anonymisation took them away, and what to tell of that."""
    sources = [_read_source(file) for file in files]
    lacking = [
        name for name in ("StudyInstanceUID", "SeriesInstanceUID") if not all(each.get(name) for each in sources)
    ]
    for name in lacking:
        # The same for the same series, so that two objects of it come together.
        uid = f"2.25.{uuid5(NAMESPACE_OID, name + sources[0].SOPInstanceUID).int}"
        for each in sources:
            setattr(each, name, uid)
    return sources, [f"the series has no {name} (anonymised): a new one stands for it" for name in lacking]


def _read_source(path: Path) -> Any:
    """The header of a slice; its file's meta information tells again what it is."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        source = dcmread(path, stop_before_pixels=True)
        source.SOPClassUID = source.get("SOPClassUID") or source.file_meta.MediaStorageSOPClassUID
        source.SOPInstanceUID = source.get("SOPInstanceUID") or source.file_meta.MediaStorageSOPInstanceUID
    except (OSError, InvalidDicomError, ValueError, AttributeError) as error:
        raise VolumeFileError(f"{path} cannot be read, or does not say what it is: {error}; copy it again") from error
    return source


def _pixels(labels: LabelMap, kept: tuple[Segment, ...]) -> NDArray[Any]:
    """Segment numbers (k, j, i), or where there are several layers a mask of each segment (k, j, i, segment)."""
    if len(labels.layers) > 1:
        return np.stack([labels.mask(segment) for segment in kept], axis=-1)
    numbers = np.zeros(65536, np.uint8 if len(kept) < 256 else np.uint16)
    for n, segment in enumerate(kept, start=1):
        numbers[segment.value] = n
    return np.asarray(numbers[labels.layers[0]])


def _describe(highdicom: Any, number: int, segment: Segment, algorithm: Algorithm) -> Any:
    if not 0 < len(segment.name) <= _LONGEST_LABEL or "\\" in segment.name:
        raise InvalidInputError(
            f"DICOM has no place for the segment name {segment.name!r}; use 1 to {_LONGEST_LABEL} letters and no \\"
        )
    terminology = _standard(segment.terminology)
    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name,
        segmented_property_category=_code(highdicom, terminology.category),
        segmented_property_type=_code(highdicom, terminology.type),
        algorithm_type=algorithm.kind,
        algorithm_identification=_identify(highdicom, algorithm),
        display_color=highdicom.color.CIELabColor.from_rgb(*segment.color),
    )
    if terminology.modifier:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_code(highdicom, terminology.modifier)]
    return description


def _standard(terminology: Terminology | None) -> Terminology:
    """Codes as DICOM wants them."""
    if terminology is None:
        return Terminology(_TISSUE, _TISSUE)
    category = terminology.category
    return replace(terminology, category=_CATEGORIES.get((category.scheme, category.value), category))


def _code(highdicom: Any, code: Code) -> Any:
    return highdicom.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _identify(highdicom: Any, algorithm: Algorithm) -> Any:
    if algorithm.kind == "MANUAL":
        return None
    family = Code("DCM", "123110", "Artificial Intelligence")
    return highdicom.AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=_code(highdicom, family),
        version=algorithm.version,
        parameters=dict(algorithm.parameters) or None,
    )


def _build(
    highdicom: Any, sources: list[Any], pixels: NDArray[Any], descriptions: list[Any], geometry: Geometry
) -> Any:
    from pydicom.uid import generate_uid

    gap, between_rows, between_columns = geometry.spacing_mm
    # Distances from the positions: the tag Slice Thickness is often something else.
    measures = highdicom.PixelMeasuresSequence(
        pixel_spacing=(between_rows, between_columns), slice_thickness=gap, spacing_between_slices=gap
    )
    document = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(prefix=None),
        series_number=int(sources[0].get("SeriesNumber") or 0) + _SERIES_NUMBER_STEP,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer="DeepSegment",
        manufacturer_model_name="DeepSegment",
        software_versions=__version__,
        device_serial_number="0",
        content_description="Segmentation",
        content_label="SEGMENTATION",
        series_description="Segmentation",
        pixel_measures=measures,
    )
    document.SpecificCharacterSet = "ISO_IR 192"  # UTF-8, so that names in any language survive
    return document
