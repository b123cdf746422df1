"""Hand a segmented volume on."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.dicom import series_files
from DeepSegmentLib.files.input_stamp import file_checksums
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path
from DeepSegmentLib.service.export import SMOOTHING, ExportCase, ExportFormat, ExportSettings, export_case

from .python_words import in_python_words
from .segmentations import read_segmentation
from .volumes import file_path, read_volume, volume_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .segmentations import SegmentationLike
    from .volumes import VolumeLike


@in_python_words
def export(
    volume: VolumeLike,
    segmentation: SegmentationLike,
    target: str | PathLike[str],
    to: ExportFormat,
    *,
    case: str = "",
    series: str | None = None,
    replace: bool = False,
    channel_names: str | Sequence[str] = (),
    new_labels: bool = False,
    smoothing: int = SMOOTHING,
) -> dict[str, Any]:
    """Export a segmented volume, with a record beside it that tells where it came from.

    Args:
        volume: In any form, see `read_volume`; for "dicom-seg" the path of the DICOM folder.
        segmentation: In any form, see `read_segmentation`; on the volume's grid.
        target: For "nifti" and "stl" a folder; for "nnunet" and "monai-label" the folder of the dataset, new or there
            already, such as `nnUNet_raw/Dataset501_Brain`; for the others a file.
        to: "nifti" (a pair of files), "seg-nrrd" (3D Slicer), "nnunet" or "monai-label" (a case of a training dataset),
            "dicom-seg", "stl" (a surface for each segment), "obj" or "glb" (surfaces with colours) or "csv"
            (measurements).
        case: Name of the case; empty for a number that says nothing of the patient.
        series: Which DICOM series, where a folder holds several: its UID, number or description.
        replace: Files and cases of the same name may be replaced; inputs never.
        channel_names: For "nnunet": what the channels of a new dataset are called.
        new_labels: For "nnunet": segments that the dataset does not have yet become new labels of it.
        smoothing: For surfaces: how often they are smoothed; 0 leaves the steps of the voxels.

    Returns:
        The report: "format", "case", "outputs", "volumes_ml", "notes" and what the record holds.

    Raises:
        InvalidInputError: Volume and segmentation do not fit each other or the format, or the target exists.
        VolumeFileError: A file cannot be read or written.
        MissingPackageError: The format needs a package that is not installed.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> volume, labels = (np.ones((4, 3, 2)), np.eye(4)), (np.ones((4, 3, 2), np.uint8), np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [Path(path).name for path in export(volume, labels, f"{folder}/a.csv", "csv")["outputs"]]
        ['a.csv', 'a.csv.provenance.json']
    """
    channels = (channel_names,) if isinstance(channel_names, str) else tuple(channel_names)
    settings = ExportSettings(to, replace, channels, new_labels, smoothing=smoothing)
    paths = volume_files(volume)
    slices = series_files(paths[0], series) if len(paths) == 1 and is_folder(paths[0]) else ()
    known = read_segmentation(segmentation)
    of_labels = (file_path(segmentation),) if isinstance(segmentation, str | PathLike) else ()
    exported = ExportCase(
        case,
        read_volume(volume, series=series),
        known.label_map,
        known.provenance,
        slices,
        file_checksums((*paths, *of_labels)),
        (*paths, *known.volume_files, *of_labels, *map(label_table_path, of_labels)),
    )
    return export_case(exported, file_path(target), settings)
