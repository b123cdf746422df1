"""The table of a batch: a row a case, for people and spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.evaluation.spreadsheet_cells import text_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUMMARY_FILE = "deepsegment-batch.csv"
"""Its name, in the folder of the results."""

_COLUMNS = ("case", "state", "seconds", "reason")


def case_state(report: Mapping[str, Any]) -> str:
    """What became of a case: "ok", "left out" or "failed"."""
    return "failed" if "error" in report else "left out" if "skipped" in report else "ok"


def case_reason(report: Mapping[str, Any]) -> str:
    """Why a case failed or was left out; what was noted of one that is done."""
    return str(report.get("error") or report.get("reason") or "; ".join(report.get("notes", ())))


def summary_text(reports: Sequence[Mapping[str, Any]]) -> str:
    """The table as CSV: case, state, seconds, reason, and the volume of each segment in ml."""
    segments = list(dict.fromkeys(name for report in reports for name in report.get("volumes_ml", ())))
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([*_COLUMNS, *(text_cell(f"{name} [ml]") for name in segments)])
    for report in reports:
        volumes = report.get("volumes_ml", {})
        words = (report["case"], case_state(report), report.get("case_seconds", ""), case_reason(report))
        writer.writerow(
            [
                *(text_cell(word) if isinstance(word, str) else word for word in words),
                *(volumes.get(name, "") for name in segments),
            ]
        )
    return text.getvalue()
