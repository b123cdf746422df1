"""Segmentations on disk: `.seg.nrrd`, labelmaps with a table of labels, DICOM SEG."""
