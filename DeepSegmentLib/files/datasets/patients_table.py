"""A table that says which patient each case is of: CSV with the columns `case` and `patient`."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST = 64 << 20  # bytes


def read_patients(path: Path) -> dict[str, str]:
    """The patient of each case.

    Lines without a patient are left out. Further columns count for nothing; columns are parted by commas, semicolons or
    tabs.

    Raises:
        VolumeFileError: The table cannot be read, has no such columns, or says two things of one case.
    """
    try:
        text = read_bytes(path, largest=_LARGEST).decode("utf-8-sig")
        head = text.split("\n", 1)[0]
        rows = list(csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise VolumeFileError(f"{path} is no table: {error}; save it as CSV in UTF-8") from error
    patients: dict[str, str] = {}
    for row in rows:
        case, patient = (row.get(column) for column in ("case", "patient"))
        if case is None or patient is None:
            raise VolumeFileError(
                f"{path}: a table of patients has the columns case and patient; got {head.strip()!r:.80}"
            )
        if patient.strip() and patients.setdefault(case.strip(), patient.strip()) != patient.strip():
            raise VolumeFileError(f"{path}: case {case.strip()!r} is of two patients; leave one line")
    return patients
