"""DICOM series as volumes."""

from .choose_series import SeriesInfo
from .headers import is_dicom
from .series import list_series, read_series, series_files, slice_grid

__all__ = ["SeriesInfo", "is_dicom", "list_series", "read_series", "series_files", "slice_grid"]
