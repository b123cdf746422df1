"""Small DICOM series with everything that DICOM wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

if TYPE_CHECKING:
    from pathlib import Path


def write_slices(folder: Path, *, slices: int = 4, axes=(1, 0, 0, 0, 0.8, 0.6), **more) -> list[Path]:
    """A small CT series, oblique, its files named against their order; a change to None removes an element."""
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    normal = np.cross(axes[:3], axes[3:])
    for n in range(slices):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        each = Dataset()
        each.file_meta = meta
        each.SOPClassUID, each.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        each.StudyInstanceUID, each.SeriesInstanceUID, each.FrameOfReferenceUID = study, series, frame
        each.PatientName, each.PatientID, each.PatientBirthDate, each.PatientSex = "Doe^J", "1", "", "O"
        each.StudyDate, each.StudyTime, each.AccessionNumber, each.StudyID = "20260101", "101010", "", "1"
        each.ReferringPhysicianName, each.SeriesNumber, each.InstanceNumber = "", 3, n + 1
        each.PositionReferenceIndicator, each.Modality, each.Manufacturer = "", "CT", "Test"
        each.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        each.ImagePositionPatient = [float(f"{part:.6f}") for part in np.array([10, 20, 30]) + 2.5 * n * normal]
        each.ImageOrientationPatient, each.PixelSpacing, each.SliceThickness = list(axes), [0.5, 0.75], 5
        each.Rows, each.Columns, each.SamplesPerPixel = 6, 8, 1
        each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 1
        each.PhotometricInterpretation, each.RescaleSlope, each.RescaleIntercept = "MONOCHROME2", 1, 0
        each.PixelData = np.full((6, 8), n, np.int16).tobytes()
        for key, changed in more.items():
            if changed is None:
                delattr(each, key)
            else:
                setattr(each, key, changed)
        each.save_as(folder / f"{slices - n:03d}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())
