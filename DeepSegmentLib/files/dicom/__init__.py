"""DICOM series as volumes."""

from .series import SeriesInfo, list_series, read_series, series_files, slice_grid

__all__ = ["SeriesInfo", "list_series", "read_series", "series_files", "slice_grid"]
