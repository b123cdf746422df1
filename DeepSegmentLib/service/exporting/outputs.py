"""Which files an export writes, and what the case is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.datasets.monai_label import labelled_outputs
from DeepSegmentLib.files.datasets.nnunet import case_name, case_outputs, check_dataset_name, free_case
from DeepSegmentLib.files.meshes import material_path
from DeepSegmentLib.files.output_checks import Output, check_outputs, inputs_of
from DeepSegmentLib.files.segmentations.labelmaps import segmentation_outputs
from DeepSegmentLib.files.volumes import volume_stem

from .surfaces import stl_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import Segment

    from .case import ExportFormat, ExportSettings

IN_FOLDERS = ("nifti", "nnunet", "monai-label", "stl")
"""Formats whose target is a folder."""

_ENDINGS: Mapping[ExportFormat, str] = {
    "seg-nrrd": ".seg.nrrd",
    "dicom-seg": ".dcm",
    "csv": ".csv",
    "obj": ".obj",
    "glb": ".glb",
}


def named(name: str, target: Path, settings: ExportSettings) -> str:
    """The name of the case, which the user chose: as such, or as that of the file. Or else a number."""
    if name:
        return case_name(name)
    if settings.format in IN_FOLDERS:
        return free_case(target)
    try:
        return case_name(volume_stem(target))
    except InvalidInputError:  # a file may be called as no case can be
        return "case_0001"


def record_path(target: Path, name: str, settings: ExportSettings) -> Path:
    """Where the record goes that stands beside the files of a case.

    That of a file is named after its whole name, so that exports of one case to several formats can lie in one folder.
    """
    if settings.format == "nifti":
        return target / f"{name}.provenance.json"
    if settings.format == "stl":
        return target / f"{name}.stl.provenance.json"
    return target.parent / f"{target.name}.provenance.json"


def check_all_outputs(
    target: Path,
    name: str,
    settings: ExportSettings,
    *,
    inputs: Sequence[Path],
    channels: int,
    segments: Sequence[Segment] = (),
) -> None:
    """Check every file that an export writes, before any work.

    Args:
        target: Folder or file, by the format.
        name: Of the case.
        settings: How.
        inputs: May not be written.
        channels: Of the volume.
        segments: As far as they are known yet.

    Raises:
        DeepSegmentError: See `check_outputs` and the datasets' own checks.
    """
    known = inputs_of(inputs)
    if settings.format == "nnunet":
        check_dataset_name(target)
        paths = case_outputs(target, name, channels, replace=settings.replace)
        check_outputs([Output(path) for path in paths], known, replace=True)
        return
    if settings.format == "monai-label":
        paths = labelled_outputs(target, name, replace=settings.replace)
        check_outputs([Output(path) for path in paths], known, replace=True)
        return
    outputs = _files_of(target, name, settings, segments)
    check_outputs([*outputs, Output(record_path(target, name, settings))], known, replace=settings.replace)


def _files_of(target: Path, name: str, settings: ExportSettings, segments: Sequence[Segment]) -> list[Output]:
    if settings.format == "nifti":
        return [Output(target / f"{name}.nii.gz"), *segmentation_outputs(target / f"{name}_seg.nii.gz")]
    if settings.format == "stl":
        return [Output(path) for path in stl_files(target, name, segments).values()]
    output = Output(target, (_ENDINGS[settings.format],))
    return [output, Output(material_path(target))] if settings.format == "obj" else [output]
