"""The writers of the formats: each writes a checked case and its record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.evaluation.measurements import measure, measurement_rows, rows_to_csv
from DeepSegmentLib.files.atomic import atomic_path, write_text
from DeepSegmentLib.files.datasets.monai_label import add_labelled
from DeepSegmentLib.files.datasets.nnunet import DatasetRules, TrainingCase, add_case
from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm, AlgorithmType, write_dicom_seg
from DeepSegmentLib.files.segmentations.grids_and_layers import flatten
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path, write_segmentation
from DeepSegmentLib.files.volume_checks import check_finite
from DeepSegmentLib.files.volumes import write_volume

from .outputs import record_path
from .surfaces import write_surfaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .case import ExportCase, ExportFormat, ExportSettings

Written = tuple[list["Path"], list[str]]
"""The files of an export, and notes for the user."""


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2) + "\n"


def _write_with_record(
    case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any], write: Callable[[], Written]
) -> Written:
    """Write the files and their record, which appears after them."""
    beside = record_path(target, case.name, settings)
    with atomic_path(beside) as fresh:
        fresh.write_text(_json(record), encoding="ascii", newline="\n")
        files, notes = write()
    return [*files, beside], notes


def _write_nifti(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> Written:
    image, labels = target / f"{case.name}.nii.gz", target / f"{case.name}_seg.nii.gz"
    flat = flatten(case.label_map)
    check_finite(image, case.volume.voxels)

    def write() -> Written:
        with atomic_path(image) as fresh:
            write_volume(case.volume, fresh)
            write_segmentation(flat, labels, case.provenance)
        return [image, labels, label_table_path(labels)], []

    return _write_with_record(case, target, settings, record, write)


def _write_seg_nrrd(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> Written:
    def write() -> Written:
        write_segmentation(case.label_map, target, case.provenance)
        return [target], []

    return _write_with_record(case, target, settings, record, write)


def _write_nnunet(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> Written:
    training = TrainingCase(case.name, case.volume, flatten(case.label_map), _json(record))
    added = add_case(target, training, DatasetRules(settings.channel_names, settings.replace, settings.new_labels))
    absent = f"not in this case, which nnU-Net takes as a fact: {', '.join(added.absent)}"
    new = f"new labels of the dataset: {', '.join(added.new)}; earlier cases do not have them"
    notes = [text for text, names in ((absent, added.absent), (new, added.new)) if names]
    return list(added.files), notes


def _write_monai_label(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> Written:
    training = TrainingCase(case.name, case.volume, flatten(case.label_map), _json(record))
    return list(add_labelled(target, training, replace=settings.replace)), []


def _write_dicom_seg(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> Written:
    if not case.slices:
        raise InvalidInputError("DICOM SEG refers to DICOM slices; give the folder of the series as the volume")

    def write() -> Written:
        return [target], list(write_dicom_seg(case.label_map, case.slices, target, maker_of(case, settings)))

    return _write_with_record(case, target, settings, record, write)


def _write_surfaces(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> Written:
    return _write_with_record(case, target, settings, record, lambda: (write_surfaces(case, target, settings), []))


def _write_csv(case: ExportCase, target: Path, settings: ExportSettings, record: Mapping[str, Any]) -> Written:
    text = rows_to_csv(measurement_rows(measure(case.label_map, case.volume)))

    def write() -> Written:
        write_text(target, text)
        return [target], []

    return _write_with_record(case, target, settings, record, write)


def maker_of(case: ExportCase, settings: ExportSettings) -> Algorithm:
    """Who made the segments, as DICOM SEG tells it."""
    return settings.algorithm or algorithm_of(case.provenance)


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


WRITERS: Mapping[ExportFormat, Callable[[ExportCase, Path, ExportSettings, Mapping[str, Any]], Written]] = {
    "nifti": _write_nifti,
    "seg-nrrd": _write_seg_nrrd,
    "nnunet": _write_nnunet,
    "monai-label": _write_monai_label,
    "dicom-seg": _write_dicom_seg,
    "stl": _write_surfaces,
    "obj": _write_surfaces,
    "glb": _write_surfaces,
    "csv": _write_csv,
}
"""What writes each format."""
