"""Hand a segmented case on: to trainers, 3D Slicer, a PACS, viewers and printers, spreadsheets.

Everything is checked before anything is written, and each file appears complete or not at all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.dicom import series_files
from DeepSegmentLib.files.input_stamp import file_checksums
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.output_checks import check_room
from DeepSegmentLib.files.segmentations.grids_and_layers import empty_segments, labels_without_segment, match_grid
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path, read_labelmap, read_provenance
from DeepSegmentLib.files.volumes import read_channels

from .exporting.case import FORMATS, SMOOTHING, ExportCase, ExportFormat, ExportSettings
from .exporting.outputs import check_all_outputs, named
from .exporting.writers import WRITERS, algorithm_of, maker_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap

__all__ = [
    "FORMATS",
    "SMOOTHING",
    "ExportCase",
    "ExportFormat",
    "ExportSettings",
    "algorithm_of",
    "export_case",
    "export_files",
]

_KEPT = (
    "model",
    "model_version",
    "model_sha256",
    "parameters",
    "device",
    "library",
    "created",
    "corrected_by",
    "corrected",
    "corrections",
)


def export_files(
    volume: Path,
    segmentation: Path,
    target: Path,
    settings: ExportSettings,
    *,
    name: str | None = None,
    channels: tuple[Path, ...] = (),
    series: str | None = None,
) -> dict[str, Any]:
    """Export a case that lies in files.

    Args:
        volume: Volume file or DICOM folder.
        segmentation: Labelmap or .seg.nrrd.
        target: See `export_case`.
        settings: How.
        name: Of the case; None for a number, see `ExportCase`.
        channels: Further channels, on the grid of `volume`.
        series: Which DICOM series, where the folder holds several: its UID, number or description.

    Returns:
        See `export_case`.

    Raises:
        DeepSegmentError: See `export_case`; VolumeFileError where a file cannot be read.
    """
    inputs = (volume, *channels, segmentation, label_table_path(segmentation))
    name = named(name or "", target, settings)
    check_all_outputs(target, name, settings, inputs=inputs, channels=len(channels) + 1)
    slices = series_files(volume, series) if is_folder(volume) else ()
    case = ExportCase(
        name,
        read_channels(volume, channels, series),
        read_labelmap(segmentation),
        read_provenance(segmentation),
        slices,
        file_checksums((volume, *channels, segmentation)),
        inputs,
    )
    return export_case(case, target, settings)


def export_case(case: ExportCase, target: Path, settings: ExportSettings) -> dict[str, Any]:
    """Export a case, with a JSON beside it that tells where it came from.

    Args:
        case: What.
        target: For "nifti" and "stl" a folder, which is made where it is missing; for "nnunet" and "monai-label" the
            folder of the dataset, new or there already; for the others a file.
        settings: How.

    Returns:
        The report: format, case, outputs, volumes in ml, notes for the user, and what the provenance file holds.

    Raises:
        InvalidInputError: Volume and labels do not fit each other or the format, or the target exists and may not be
            replaced; nothing is written.
        VolumeFileError: A file cannot be read or written.
        MissingPackageError: The format needs a package that is not installed.
    """
    name = named(case.name, target, settings)
    checked = replace(case, name=name, label_map=_checked_labels(case), provenance=_kept(case.provenance))
    inputs = (*case.inputs, *case.slices)
    check_all_outputs(
        target,
        name,
        settings,
        inputs=inputs,
        channels=case.volume.channels,
        segments=case.label_map.segments,
    )
    check_room({target: _size(checked, settings)})
    empty = ", ".join(segment.name for segment in empty_segments(checked.label_map))
    notes = [f"segments without a voxel: {empty}"] if empty else []
    record = _record(checked, settings)
    outputs, more = WRITERS[settings.format](checked, target, settings, record)
    told = [*case.volume.notes, *notes, *more, _told(settings)]
    return {**record, "outputs": [str(path) for path in outputs], "notes": told}


def _kept(provenance: Mapping[str, str]) -> dict[str, str]:
    """Of what a segmentation carries with it, what we wrote: other words may name people, machines or folders."""
    return {key: value for key, value in provenance.items() if key in _KEPT}


def _size(case: ExportCase, settings: ExportSettings) -> int:
    """About how many bytes are written: labels compress well, images hardly."""
    image = case.volume.voxels.nbytes if settings.format in ("nifti", "nnunet", "monai-label") else 0
    return image + (0 if settings.format == "csv" else case.label_map.layers.nbytes // 8)


def _told(settings: ExportSettings) -> str:
    """What leaves with the files, in one sentence."""
    kept = "kept with it: the case's name, model, version, parameters, dates and volumes; no names or paths of inputs"
    patient = "; patient and study are those of the source series, as DICOM wants it"
    return kept + (patient if settings.format == "dicom-seg" else "")


def _checked_labels(case: ExportCase) -> LabelMap:
    """The labels on exactly the volume's grid, all of them with a segment."""
    if not case.label_map.segments:
        raise InvalidInputError(f"case {case.name!r} has no segments; there is nothing to export")
    strangers = labels_without_segment(case.label_map)
    if strangers:
        told = ", ".join(f"{value} (layer {layer})" for layer, value in strangers[:5])
        raise InvalidInputError(f"case {case.name!r} has labels that belong to no segment: {told}; name or erase them")
    return match_grid(case.label_map, case.volume.geometry)


def _record(case: ExportCase, settings: ExportSettings) -> dict[str, Any]:
    """What the provenance file holds."""
    return {
        "library": f"DeepSegment {__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": settings.format,
        "case": case.name,
        "sources": list(case.sources),
        "segmentation": dict(case.provenance),
        **({"made_by": maker_of(case, settings).kind} if settings.format == "dicom-seg" else {}),
        "volumes_ml": {name: round(ml, 3) for name, ml in case.label_map.volumes_ml().items()},
    }
