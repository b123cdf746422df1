"""What a batch tells in the terminal: one line a case as it ends, and at the end what failed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.service.batch.summary_table import case_reason, case_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from DeepSegmentLib.data import Progress

    from .terminal import ProgressBar


class BatchLines:
    """Writes the lines; a pipe that is closed at the other end, or a full disk, silences them and stops nothing.

    Args:
        stream: Gets the lines; None where it is closed.
        bar: Is shown between them, on a terminal only: elsewhere the lines tell the progress.
        errors_only: Whether lines of cases that are well, and the sum of all, are left out.
    """

    def __init__(self, stream: TextIO | None, bar: ProgressBar, *, errors_only: bool = False) -> None:
        self._stream, self._bar, self._errors_only = stream, bar, errors_only
        self._total, self._told = 0, 0

    def show(self, event: Progress) -> None:
        """Move the bar."""
        if sys.stderr is not None and sys.stderr.isatty():
            self._bar(event)

    def begin(self, total: int, results: int) -> None:
        """Say what was found."""
        self._total = total
        if results and not self._errors_only:
            self._write(f"passed over {results} results of earlier runs among the inputs")

    def tell(self, report: Mapping[str, Any]) -> None:
        """One line for a case, and one below it for each note."""
        self._told += 1
        if self._errors_only and case_state(report) != "failed":
            return
        self._write(f"{self._told} of {self._total}  {report['case']}  {outcome(report)}")
        for note in report.get("notes", ()):
            self._write(f"    {note}")

    def end(self, reports: Sequence[Mapping[str, Any]]) -> None:
        """How many there are of each kind, and each failed case once more with its reason."""
        if self._errors_only:
            return
        failed = [report for report in reports if case_state(report) == "failed"]
        left = sum(case_state(report) == "left out" for report in reports)
        done = len(reports) - len(failed) - left
        self._write(f"{done} of {len(reports)} done" + (f", {left} left out" if left else ""))
        if failed:
            self._write(f"{len(failed)} of {len(reports)} failed:")
        for report in failed:
            self._write(f"  {report['case']}: {_one_line(case_reason(report))}")

    def _write(self, line: str) -> None:
        self._bar.clear()
        if self._stream is None:
            return
        encoding = self._stream.encoding or "utf-8"
        try:
            self._stream.write(plain(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self._stream.flush()
        except OSError:
            # As Python's manual advises (signal, "Note on SIGPIPE"), so that nothing complains at the end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def outcome(report: Mapping[str, Any]) -> str:
    """What became of a case, in a few words."""
    state = case_state(report)
    if state != "ok":
        return f"{state}: {_one_line(case_reason(report))}"
    found = sum(ml > 0 for ml in report["volumes_ml"].values())
    return f"ok, {report['case_seconds']:.1f} s, {counted(found, 'segment')}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
