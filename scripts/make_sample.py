"""Write what the commands of the README read: one head as a file, a DICOM series and a folder of volumes, and a click.

    python scripts/make_sample.py HEAD FOLDER

HEAD is any volume file of one channel. Files that are there already stay as they are.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.volumes import read_volume, write_volume

CLICK = {"type": "point", "segment": "Putamen", "positive": True, "points_ras": [[34.0, 5.5, 2.0]]}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("head", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    make_sample(read_volume(options.head), options.folder)


def make_sample(head: Volume, folder: Path) -> None:
    """Write head.nii.gz, dicom/, several/ and clicks.json."""
    (folder / "several").mkdir(parents=True, exist_ok=True)
    coarse = _every_other_voxel(head)
    for name, volume in (("head.nii.gz", head), ("several/first.nii.gz", coarse), ("several/second.nrrd", coarse)):
        if not (folder / name).exists():
            write_volume(volume, folder / name)
    if not (folder / "dicom").exists():
        _write_series(coarse, folder / "dicom")
    (folder / "clicks.json").write_text(json.dumps([CLICK], indent=1) + "\n", encoding="utf-8")


def _every_other_voxel(head: Volume) -> Volume:
    affine = head.geometry.affine.copy()
    affine[:3, :3] *= 2
    voxels = np.ascontiguousarray(head.voxels[:, ::2, ::2, ::2])
    return Volume(voxels, Geometry(voxels.shape[1:], affine))


def _write_series(volume: Volume, folder: Path) -> None:
    """A single-frame MR series, series number 3."""
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    lowest, highest = float(volume.voxels.min()), float(volume.voxels.max())
    scale = 4000 / ((highest - lowest) or 1)
    planes = np.rint((volume.voxels[0] - lowest) * scale).astype(np.uint16)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.affine
    between, down, along = (lps[:3, n] for n in range(3))
    spacing = [float(np.linalg.norm(step)) for step in (between, down, along)]
    for n, plane in enumerate(planes):
        each = _slice_of(n, plane)
        each.StudyInstanceUID, each.SeriesInstanceUID, each.FrameOfReferenceUID = study, series, frame
        each.ImagePositionPatient = [round(float(part), 6) for part in lps[:3, 3] + n * between]
        cosines = [*along / spacing[2], *down / spacing[1]]
        each.ImageOrientationPatient = [round(float(part), 8) for part in cosines]
        each.PixelSpacing, each.SliceThickness = [spacing[1], spacing[2]], spacing[0]
        each.save_as(folder / f"{n:03d}.dcm", enforce_file_format=True)


def _slice_of(n: int, plane: np.ndarray) -> Dataset:
    each, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    each.file_meta = meta
    each.SOPClassUID, each.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    each.PatientName, each.PatientID, each.PatientBirthDate, each.PatientSex = "Sample^", "1", "", "O"
    each.StudyDate, each.StudyTime, each.AccessionNumber, each.StudyID = "20260101", "101010", "", "1"
    each.ReferringPhysicianName, each.SeriesNumber, each.InstanceNumber = "", 3, n + 1
    each.PositionReferenceIndicator, each.Modality, each.Manufacturer = "", "MR", "DeepSegment sample"
    each.ScanningSequence, each.SequenceVariant, each.ScanOptions, each.MRAcquisitionType = "GR", "NONE", "", "3D"
    each.EchoTime, each.EchoTrainLength, each.RepetitionTime = "", "", ""
    each.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    each.Rows, each.Columns = plane.shape
    each.SamplesPerPixel, each.PhotometricInterpretation, each.PixelRepresentation = 1, "MONOCHROME2", 0
    each.BitsAllocated, each.BitsStored, each.HighBit = 16, 16, 15
    each.PixelData = plane.tobytes()
    return each


if __name__ == "__main__":
    main()
