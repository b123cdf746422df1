"""Files: volumes, DICOM series, labelmaps, model folders. Every write is atomic."""
