"""Hand a segmented case on: to a trainer (nnU-Net, NIfTI), to 3D Slicer, to a PACS (DICOM SEG), to a spreadsheet (CSV).

Everything is checked before anything is written, and each file appears complete or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.evaluation.measurements import measure, measurement_rows, rows_to_csv
from DeepSegmentLib.files.atomic import atomic_path, check_target, write_text
from DeepSegmentLib.files.checks import check_finite
from DeepSegmentLib.files.datasets.nnunet import DatasetRules, TrainingCase, add_case, case_name
from DeepSegmentLib.files.dicom import series_files
from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm, AlgorithmType, write_dicom_seg
from DeepSegmentLib.files.segmentations.labelmaps import (
    label_table_path,
    read_labelmap,
    read_provenance,
    write_segmentation,
)
from DeepSegmentLib.files.volumes import check_suffix, read_channels, volume_stem, write_volume
from DeepSegmentLib.imaging.label_grids import empty_segments, flatten, labels_without_segment, match_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, Volume

ExportFormat = Literal["nifti", "seg-nrrd", "nnunet", "dicom-seg", "csv"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
"""What a case can be exported to."""


@dataclass(frozen=True, eq=False)
class ExportCase:
    """A segmented volume.

    Attributes:
        name: What the case is called.
        volume: Intensities, one or more channels.
        label_map: Segments on the volume's grid; the order and sense of their axes may differ.
        provenance: What the segmentation carries with it: model, version and so on.
        slices: The DICOM files that the volume came from, in any order; needed for DICOM SEG.
        sources: Where volume and segmentation came from, for the record.
    """

    name: str
    volume: Volume
    label_map: LabelMap
    provenance: Mapping[str, str] = field(default_factory=dict)
    slices: tuple[Path, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportSettings:
    """How to export.

    Attributes:
        format: To what.
        replace: Files and cases of the same name may be replaced.
        channel_names: For nnU-Net, see `DatasetRules`.
        new_labels: For nnU-Net, see `DatasetRules`.
        algorithm: For DICOM SEG: who made the segments. None tells by the provenance: a model, or else by hand.
    """

    format: ExportFormat
    replace: bool = False
    channel_names: tuple[str, ...] = ()
    new_labels: bool = False
    algorithm: Algorithm | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InvalidInputError(f"unknown format {self.format!r}; known: {', '.join(FORMATS)}")


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
        name: Of the case; None for that of the volume's file or folder.
        channels: Further channels, on the grid of `volume`.
        series: Which DICOM series, where the folder holds several: its UID, number or description.

    Returns:
        See `export_case`.

    Raises:
        DeepSegmentError: See `export_case`; VolumeFileError where a file cannot be read.
    """
    slices = series_files(volume, series) if volume.is_dir() else ()
    case = ExportCase(
        name or volume_stem(volume.resolve()),
        read_channels(volume, channels, series),
        read_labelmap(segmentation),
        read_provenance(segmentation),
        slices,
        tuple(str(path) for path in (volume, *channels, segmentation)),
    )
    return export_case(case, target, settings)


def export_case(case: ExportCase, target: Path, settings: ExportSettings) -> dict[str, Any]:
    """Export a case, with a JSON beside it that tells where it came from.

    Args:
        case: What.
        target: For "nifti" a folder, which is made where it is missing; for "nnunet" the folder of the dataset, new or
            there already; for the others a file.
        settings: How.

    Returns:
        The report: format, case, outputs, volumes in ml, notes for the user, and what the provenance file holds.

    Raises:
        InvalidInputError: Volume and labels do not fit each other or the format, or the target exists and may not be
            replaced; nothing is written.
        VolumeFileError: A file cannot be read or written.
        MissingPackageError: The format needs a package that is not installed.
    """
    checked = replace(case, name=case_name(case.name), label_map=_checked_labels(case))
    empty = ", ".join(segment.name for segment in empty_segments(checked.label_map))
    notes = [f"segments without a voxel: {empty}"] if empty else []
    record = _record(checked, settings)
    outputs, more = _WRITERS[settings.format](checked, target, settings, record)
    return {**record, "outputs": [str(path) for path in outputs], "notes": [*case.volume.notes, *notes, *more]}


_Written = tuple[list["Path"], list[str]]


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
        **({"made_by": _maker(case, settings).kind} if settings.format == "dicom-seg" else {}),
        "volumes_ml": {name: round(ml, 3) for name, ml in case.label_map.volumes_ml().items()},
    }


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2) + "\n"


def _write_with_record(
    path: Path, settings: ExportSettings, record: Mapping[str, Any], write: Callable[[], list[str]]
) -> _Written:
    """Write a file and its record, which appears after it."""
    check_target(path)
    beside = path.with_name(f"{volume_stem(path)}.provenance.json")
    _check_free([path, beside], settings)
    with atomic_path(beside) as fresh:
        fresh.write_text(_json(record), encoding="ascii", newline="\n")
        notes = write()
    return [path, beside], notes


def _check_free(paths: list[Path], settings: ExportSettings) -> None:
    there = [path for path in paths if path.exists()]
    if there and not settings.replace:
        raise InvalidInputError(f"{there[0]} exists; ask to replace it, or choose another name")


def _write_nifti(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
    image, labels = target / f"{case.name}.nii.gz", target / f"{case.name}_seg.nii.gz"
    flat = flatten(case.label_map)
    check_finite(image, case.volume.voxels)
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise VolumeFileError(f"{target} must be a folder: {error.strerror or error}; choose another") from error
    _check_free([image, labels], settings)

    def write() -> list[str]:
        with atomic_path(image) as fresh:
            write_volume(case.volume, fresh)
            write_segmentation(flat, labels, case.provenance)
        return []

    (_, beside), notes = _write_with_record(image, settings, record, write)
    return [image, labels, label_table_path(labels), beside], notes


def _write_seg_nrrd(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
    check_suffix(target, (".seg.nrrd",))

    def write() -> list[str]:
        write_segmentation(case.label_map, target, case.provenance)
        return []

    return _write_with_record(target, settings, record, write)


def _write_nnunet(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
    training = TrainingCase(case.name, case.volume, flatten(case.label_map), _json(record))
    added = add_case(target, training, DatasetRules(settings.channel_names, settings.replace, settings.new_labels))
    absent = f"not in this case, which nnU-Net takes as a fact: {', '.join(added.absent)}"
    new = f"new labels of the dataset: {', '.join(added.new)}; earlier cases do not have them"
    notes = [text for text, names in ((absent, added.absent), (new, added.new)) if names]
    return list(added.files), notes


def _write_dicom_seg(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
    check_suffix(target, (".dcm",))
    if not case.slices:
        raise InvalidInputError("DICOM SEG refers to DICOM slices; give the folder of the series as the volume")

    def write() -> list[str]:
        return list(write_dicom_seg(case.label_map, case.slices, target, _maker(case, settings)))

    return _write_with_record(target, settings, record, write)


def _maker(case: ExportCase, settings: ExportSettings) -> Algorithm:
    return settings.algorithm or algorithm_of(case.provenance)


def _write_csv(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
    check_suffix(target, (".csv",))
    text = rows_to_csv(measurement_rows(measure(case.label_map, case.volume)))

    def write() -> list[str]:
        write_text(target, text)
        return []

    return _write_with_record(target, settings, record, write)


def algorithm_of(
    provenance: Mapping[str, str], kind: AlgorithmType | None = None, name: str = "", version: str = ""
) -> Algorithm:
    """Who made a segmentation, by its provenance, unless it is told.

    What a model made and a person corrected (`corrections` in the provenance) is semi-automatic.

    Raises:
        InvalidInputError: An algorithm has no name or no version.
    """
    known = name or provenance.get("model", "")
    parameters = {key: provenance[key] for key in ("model_sha256", "parameters") if key in provenance}
    ours: AlgorithmType = "MANUAL" if not known else "SEMIAUTOMATIC" if provenance.get("corrections") else "AUTOMATIC"
    return Algorithm(kind or ours, known, version or provenance.get("model_version", ""), parameters)


_WRITERS: Mapping[ExportFormat, Callable[[ExportCase, Path, ExportSettings, Mapping[str, Any]], _Written]] = {
    "nifti": _write_nifti,
    "seg-nrrd": _write_seg_nrrd,
    "nnunet": _write_nnunet,
    "dicom-seg": _write_dicom_seg,
    "csv": _write_csv,
}
