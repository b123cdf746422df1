"""What is exported, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, Volume
    from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm

ExportFormat = Literal["nifti", "seg-nrrd", "nnunet", "monai-label", "dicom-seg", "stl", "obj", "glb", "csv"]

FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
"""What a case can be exported to."""

SMOOTHING = 10
"""How often surfaces are smoothed where nobody says: the steps of the voxels go, and little of what is larger."""


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
        smoothing: For surfaces: how often they are smoothed, see `imaging.surfaces.mesh.smoothed`.
    """

    format: ExportFormat
    replace: bool = False
    channel_names: tuple[str, ...] = ()
    new_labels: bool = False
    algorithm: Algorithm | None = None
    smoothing: int = SMOOTHING

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InvalidInputError(f"unknown format {self.format!r}; known: {', '.join(FORMATS)}")
        if not 0 <= self.smoothing <= 1000:
            raise InvalidInputError(f"surfaces are smoothed 0 to 1000 times, got {self.smoothing}")
