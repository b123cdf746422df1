"""Volumes, DICOM, segmentations, journals, models, datasets on disk: writes are atomic, reads are bounded."""
