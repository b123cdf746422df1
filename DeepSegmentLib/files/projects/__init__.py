"""Project folders: cases with their labels, as plain files and JSON."""

from .folder import (
    NewCase,
    Project,
    add_case,
    add_revision,
    case_folder,
    create_project,
    find_volume,
    open_project,
    read_case,
    read_cases,
    read_labels,
    read_volume_of,
    write_project,
    write_record,
)
from .records import CaseRecord, DamagedCase, DrawnSegment, Making, ProjectRecord, Status, StatusChange, patient_hash

__all__ = [
    "CaseRecord",
    "DamagedCase",
    "DrawnSegment",
    "Making",
    "NewCase",
    "Project",
    "ProjectRecord",
    "Status",
    "StatusChange",
    "add_case",
    "add_revision",
    "case_folder",
    "create_project",
    "find_volume",
    "open_project",
    "patient_hash",
    "read_case",
    "read_cases",
    "read_labels",
    "read_volume_of",
    "write_project",
    "write_record",
]
