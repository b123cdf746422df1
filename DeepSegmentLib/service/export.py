"""Hand a segmented case on: to a trainer (nnU-Net, NIfTI), to 3D Slicer, to a PACS (DICOM SEG), to a spreadsheet (CSV).

Everything is checked before anything is written, and each file appears complete or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.evaluation.measurements import measure, measurement_rows, rows_to_csv
from DeepSegmentLib.files.atomic import atomic_path, write_text
from DeepSegmentLib.files.datasets.nnunet import (
    DatasetRules,
    TrainingCase,
    add_case,
    case_name,
    case_outputs,
    check_dataset_name,
    free_case,
)
from DeepSegmentLib.files.dicom import series_files
from DeepSegmentLib.files.input_stamp import file_checksums
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.output_checks import Output, check_outputs, check_room, inputs_of
from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm, AlgorithmType, write_dicom_seg
from DeepSegmentLib.files.segmentations.grids_and_layers import (
    empty_segments,
    flatten,
    labels_without_segment,
    match_grid,
)
from DeepSegmentLib.files.segmentations.labelmaps import (
    label_table_path,
    read_labelmap,
    read_provenance,
    segmentation_outputs,
    write_segmentation,
)
from DeepSegmentLib.files.volume_checks import check_finite
from DeepSegmentLib.files.volumes import read_channels, volume_stem, write_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, Volume

ExportFormat = Literal["nifti", "seg-nrrd", "nnunet", "dicom-seg", "csv"]
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

FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
"""What a case can be exported to."""


@dataclass(frozen=True, eq=False)
class ExportCase:
    """A segmented volume.

    Attributes:
        name: What the case is called; empty for a number that says nothing of the patient, such as "case_0001".
        volume: Intensities, one or more channels.
        label_map: Segments on the volume's grid; the order and sense of their axes may differ.
        provenance: What the segmentation carries with it: model, version and so on.
        slices: The DICOM files that the volume came from, in any order; needed for DICOM SEG.
        sources: Checksums of the files of volume and segmentation, for the record: it tells no names and no paths.
        inputs: Files and folders that may not be written.
    """

    name: str
    volume: Volume
    label_map: LabelMap
    provenance: Mapping[str, str] = field(default_factory=dict)
    slices: tuple[Path, ...] = ()
    sources: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()


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
        name: Of the case; None for a number, see `ExportCase`.
        channels: Further channels, on the grid of `volume`.
        series: Which DICOM series, where the folder holds several: its UID, number or description.

    Returns:
        See `export_case`.

    Raises:
        DeepSegmentError: See `export_case`; VolumeFileError where a file cannot be read.
    """
    inputs = (volume, *channels, segmentation, label_table_path(segmentation))
    name = _named(name or "", target, settings)
    _check_outputs(target, name, settings, inputs=inputs, channels=len(channels) + 1)
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


def _named(name: str, target: Path, settings: ExportSettings) -> str:
    """The name of the case, which the user chose: as such, or as that of the file. Or else a number."""
    if name:
        return case_name(name)
    if settings.format in ("nifti", "nnunet"):
        return free_case(target)
    try:
        return case_name(volume_stem(target))
    except InvalidInputError:  # a file may be called as no case can be
        return "case_0001"


def _check_outputs(target: Path, name: str, settings: ExportSettings, *, inputs: Sequence[Path], channels: int) -> None:
    """Check every file that an export writes, before any work."""
    known = inputs_of(inputs)
    if settings.format == "nnunet":
        check_dataset_name(target)
        paths = case_outputs(target, name, channels, replace=settings.replace)
        check_outputs([Output(path) for path in paths], known, replace=True)
        return
    if settings.format == "nifti":
        image, labels = target / f"{name}.nii.gz", target / f"{name}_seg.nii.gz"
        outputs = [Output(image), *segmentation_outputs(labels)]
        record = target / f"{name}.provenance.json"
    else:
        outputs, record = [Output(target, (_ENDINGS[settings.format],))], _record_path(target)
    check_outputs([*outputs, Output(record)], known, replace=settings.replace)


_ENDINGS: Mapping[ExportFormat, str] = {"seg-nrrd": ".seg.nrrd", "dicom-seg": ".dcm", "csv": ".csv"}


def _record_path(path: Path) -> Path:
    """Named after the whole name, so that exports of one case to several formats can lie in one folder."""
    return path.parent / f"{path.name}.provenance.json"


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
    name = _named(case.name, target, settings)
    checked = replace(case, name=name, label_map=_checked_labels(case), provenance=_kept(case.provenance))
    inputs = (*case.inputs, *case.slices)
    _check_outputs(target, name, settings, inputs=inputs, channels=case.volume.channels)
    check_room({target: _size(checked, settings)})
    empty = ", ".join(segment.name for segment in empty_segments(checked.label_map))
    notes = [f"segments without a voxel: {empty}"] if empty else []
    record = _record(checked, settings)
    outputs, more = _WRITERS[settings.format](checked, target, settings, record)
    told = [*case.volume.notes, *notes, *more, _told(settings)]
    return {**record, "outputs": [str(path) for path in outputs], "notes": told}


def _kept(provenance: Mapping[str, str]) -> dict[str, str]:
    """Of what a segmentation carries with it, what we wrote: other words may name people, machines or folders."""
    return {key: value for key, value in provenance.items() if key in _KEPT}


def _size(case: ExportCase, settings: ExportSettings) -> int:
    """About how many bytes are written: labels compress well, images hardly."""
    image = case.volume.voxels.nbytes if settings.format in ("nifti", "nnunet") else 0
    return image + (0 if settings.format == "csv" else case.label_map.layers.nbytes // 8)


def _told(settings: ExportSettings) -> str:
    """What leaves with the files, in one sentence."""
    kept = "kept with it: the case's name, model, version, parameters, dates and volumes; no names or paths of inputs"
    patient = "; patient and study are those of the source series, as DICOM wants it"
    return kept + (patient if settings.format == "dicom-seg" else "")


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
    target: Path, settings: ExportSettings, record: Mapping[str, Any], write: Callable[[], list[str]]
) -> _Written:
    """Write a file and its record, which appears after it."""
    beside = target / f"{record['case']}.provenance.json" if settings.format == "nifti" else _record_path(target)
    with atomic_path(beside) as fresh:
        fresh.write_text(_json(record), encoding="ascii", newline="\n")
        notes = write()
    return [target, beside], notes


def _write_nifti(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
    image, labels = target / f"{case.name}.nii.gz", target / f"{case.name}_seg.nii.gz"
    flat = flatten(case.label_map)
    check_finite(image, case.volume.voxels)

    def write() -> list[str]:
        with atomic_path(image) as fresh:
            write_volume(case.volume, fresh)
            write_segmentation(flat, labels, case.provenance)
        return []

    (_, beside), notes = _write_with_record(target, settings, record, write)
    return [image, labels, label_table_path(labels), beside], notes


def _write_seg_nrrd(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
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
    if not case.slices:
        raise InvalidInputError("DICOM SEG refers to DICOM slices; give the folder of the series as the volume")

    def write() -> list[str]:
        return list(write_dicom_seg(case.label_map, case.slices, target, _maker(case, settings)))

    return _write_with_record(target, settings, record, write)


def _maker(case: ExportCase, settings: ExportSettings) -> Algorithm:
    return settings.algorithm or algorithm_of(case.provenance)


def _write_csv(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> _Written:
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
