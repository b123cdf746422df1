"""A folder of inputs, worked case by case in a process of its own: what ends that process ends one case only."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import (
    Cancelled,
    DeepSegmentError,
    InvalidInputError,
    MissingPackageError,
    ModelError,
    VolumeFileError,
)
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.leftovers import sweep
from DeepSegmentLib.files.lock import LOCK_FILE, exclusive
from DeepSegmentLib.files.output_checks import Inputs, Output, check_outputs
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.worker.batch_jobs import CaseJob, CaseResult, FindJob, FindResult
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.hosts.worker.jobs_and_events import Died, Failed, Finished, Progressed
from DeepSegmentLib.service.batch.existing_results import is_table_of_ours
from DeepSegmentLib.service.batch.find_inputs import LOOKING
from DeepSegmentLib.service.batch.parts import Part
from DeepSegmentLib.service.batch.plan_cases import check_batch, existing_results, plan_cases
from DeepSegmentLib.service.batch.summary_table import SUMMARY_FILE, summary_text
from DeepSegmentLib.service.maps_and_statistics import STATISTICS_SUFFIXES, write_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.hosts.worker.jobs_and_events import Event, Job
    from DeepSegmentLib.service.batch.find_inputs import Findings
    from DeepSegmentLib.service.batch.plan_cases import Case
    from DeepSegmentLib.service.segment import SegmentRequest

PATIENCE_S = 1800.0
"""How long a case may give no sign of life: reading four gigabytes over a slow network takes half of it."""

_LOOK_EVERY_S = 0.02
_SAVE_EVERY_S = 2.0  # the table grows with the batch, and so does the time to write it
_CRASHED = 1  # exit code of a case whose process ended
_HOPELESS = (ModelError, MissingPackageError)  # no other case would fare better


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is worked.

    Attributes:
        suffix: Of the results, one of `service.batch.plan_cases.FORMATS`.
        skip_existing: Leave out cases whose results are complete, do others again.
        patience_s: See `PATIENCE_S`.
        part: Which part of the cases is worked here.
    """

    suffix: str = "seg.nrrd"
    skip_existing: bool = False
    patience_s: float = PATIENCE_S
    part: Part = field(default_factory=Part)


class Batch:
    """The cases of a folder. Use as a context: at its end the process is gone, whatever happened.

    Args:
        request: Folders instead of files: `source`, `target`, and `report` and `preview` where they are wanted.
        settings: How.
        on_progress: Told how far the whole is; may raise `Cancelled`.
        client: Runs the jobs.
    """

    def __init__(
        self,
        request: SegmentRequest,
        settings: BatchSettings,
        on_progress: ProgressCallback,
        client: WorkerClient | None = None,
    ) -> None:
        self._request, self._settings, self._on_progress = request, settings, on_progress
        self._client = client or WorkerClient()
        self._stack = ExitStack()
        self.results: tuple[str, ...] = ()

    def __enter__(self) -> Batch:
        self._stack.callback(self._client.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def find(self) -> tuple[Case, ...]:
        """The cases; names of results that were left out are in `results` then.

        Raises:
            InvalidInputError: There is none, options do not fit a batch, or results exist and may neither be left out
                nor replaced.
            DeepSegmentError: The folder cannot be searched, or the model is not there.
        """
        check_batch(self._request)
        findings = self._find()
        self.results = tuple(plain(name) for name in findings.results)
        cases = self._settings.part.of(plan_cases(self._request, findings, self._settings.suffix))
        existing = existing_results(cases)
        if existing and not (self._settings.skip_existing or self._request.replace):
            others = f" and {len(existing) - 1} more exist" if len(existing) > 1 else " exists"
            raise InvalidInputError(
                f"{existing[0].request.target}{others}; --skip-existing goes on from there, --replace does all again"
            )
        self._check_statistics()
        return cases

    def _check_statistics(self) -> None:
        path = self._request.statistics
        if path is not None:
            ours = self._settings.skip_existing and is_table_of_ours(path)
            check_outputs([Output(path, STATISTICS_SUFFIXES)], Inputs(), replace=self._request.replace or ours)

    def _find(self) -> Findings:
        """Search the folder; what ends the process is passed by in the next attempt."""
        avoid: list[str] = []
        while True:
            job = FindJob(str(self._request.source), str(self._request.target), tuple(avoid))
            stage = ""

            def note(progress: Progress) -> None:
                nonlocal stage
                stage = progress.stage
                self._on_progress(replace(progress, stage=plain(stage)))

            event = self._run(job, note)
            if isinstance(event, Finished) and isinstance(event.result, FindResult):
                return event.result.findings
            if isinstance(event, Failed):
                raise event.error
            fatal = stage.removeprefix(LOOKING)
            if not stage or fatal in avoid:
                raise DeepSegmentError(f"{self._request.source} cannot be searched: {_why(event)}")
            avoid.append(fatal)

    def work(self, cases: tuple[Case, ...]) -> Iterator[dict[str, Any]]:
        """Work the cases one after the other; the report of each as it ends.

        A report is that of `work_case`, with the `case` and its `case_seconds`; one of a case that failed holds
        `error` and `exit_code`. The table of all is kept beside the results.

        Raises:
            VolumeFileError: The folder of results cannot be written, or another batch is writing there.
            DeepSegmentError: The model cannot be run at all.
        """
        _make_folder(self._request.target)
        own, folder = self._settings.part.own, self._request.target
        self._stack.enter_context(exclusive(folder, own(Path(LOCK_FILE)).name))
        table = _Table(own(folder / SUMMARY_FILE), self._request.statistics)
        # In reverse: the process ends, then what it was writing goes, and only then another batch may begin.
        self._stack.callback(_sweep, cases)
        self._stack.callback(table.save)
        self._stack.callback(self._client.close)
        clock = _BatchClock(len(cases), self._on_progress)
        for case in cases:
            begun = time.monotonic()
            report = {"case": case.name} | self._work_one(case, clock.of_case(case.name))
            seconds = time.monotonic() - begun
            clock.done(None if "skipped" in report or case.error else seconds)
            report |= {"case_seconds": round(seconds, 3)}
            table.add(report)
            yield report

    def _work_one(self, case: Case, on_progress: ProgressCallback) -> dict[str, Any]:
        if case.error:
            return _failed(case, case.error, VolumeFileError.exit_code)
        try:
            event = self._run(CaseJob(case.request, self._settings.skip_existing), on_progress)
        except DeepSegmentError as error:
            if error.exit_code == Cancelled.exit_code:
                raise
            event = Failed(error)
        if isinstance(event, Finished) and isinstance(event.result, CaseResult):
            report = event.result.report
            return report | {"input": report["input"] | {"path": case.name}}
        if isinstance(event, Failed):
            if isinstance(event.error, _HOPELESS):
                raise event.error
            return _failed(case, str(event.error), event.error.exit_code)
        _sweep((case,))  # its process is gone, and what it was writing is not
        return _failed(case, _why(event), _CRASHED)

    def _run(self, job: Job, on_progress: ProgressCallback) -> Event:
        """The last event of a job; one that gives no sign of life for too long is ended."""
        self._client.submit(job)
        heard = time.monotonic()
        while True:
            for event in self._client.poll():
                if not isinstance(event, Progressed):
                    return event
                heard = time.monotonic()
                on_progress(event.progress)
            if time.monotonic() - heard > self._settings.patience_s:
                self._client.close()
                return Died(f"it gave no sign of life for {self._settings.patience_s:.0f} s and was ended")
            time.sleep(_LOOK_EVERY_S)


def _failed(case: Case, error: str, exit_code: int) -> dict[str, Any]:
    """The report of a case that failed; what the error says of its path is said by its name."""
    source = case.request.source
    for path in (str(source.absolute()), str(source)):
        error = error.replace(path, case.name)
    text = "\n".join(plain(line) for line in error.splitlines())
    return {"input": {"path": case.name}, "error": text, "exit_code": exit_code}


def _why(event: Event) -> str:
    return event.message if isinstance(event, Died) else f"it ended with {event}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VolumeFileError(f"{folder} cannot be made: {error.strerror or error}; check its rights") from error


def _sweep(cases: tuple[Case, ...]) -> None:
    """Remove what writers that were killed left half-written, wherever a case writes."""
    paths = (path for case in cases for path in (case.request.target, case.request.report, case.request.preview))
    for folder in {path.parent for path in paths if path is not None}:
        sweep(folder)


class _Table:
    """The table of a batch on disk, renewed as it grows; that it cannot be written is no reason to end.

    So is that of the statistics, where there is one.
    """

    def __init__(self, path: Path, statistics: Path | None) -> None:
        self._path, self._statistics = path, statistics
        self._reports, self._saved = list[dict[str, Any]](), 0.0

    def add(self, report: dict[str, Any]) -> None:
        self._reports.append(report)
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        try:
            write_text(self._path, summary_text(self._reports))
            if self._statistics is not None:
                measured = [(report["case"], report.get("statistics", ())) for report in self._reports]
                write_statistics(self._statistics, measured)
        except DeepSegmentError:  # such as where a spreadsheet has it open on Windows; the next one may succeed
            return


class _BatchClock:
    """How far the whole is, from the cases that are done and the part of the one under way."""

    def __init__(self, total: int, on_progress: ProgressCallback) -> None:
        self._total, self._on_progress = total, on_progress
        self._ended = 0
        self._seconds: list[float] = []  # of cases that were really worked

    def of_case(self, name: str) -> Callable[[Progress], None]:
        """A callback for the next case."""
        begun = time.monotonic()

        def report(event: Progress) -> None:
            fraction = (self._ended + event.fraction) / self._total
            stage = f"{self._ended + 1} of {self._total} {name}: {event.stage}"
            self._on_progress(Progress(stage, fraction, self._eta(event, time.monotonic() - begun), event.memory_bytes))

        return report

    def done(self, seconds: float | None) -> None:
        """A case ended; how long it took, or None where there was nothing to do."""
        self._ended += 1
        if seconds is not None:
            self._seconds.append(seconds)

    def _eta(self, event: Progress, spent: float) -> float | None:
        """Seconds to go: of this case by its tiles, of the others by those before."""
        waiting = self._total - self._ended - 1
        if self._seconds:
            mean = sum(self._seconds) / len(self._seconds)
            rest = mean * (1 - event.fraction) if event.eta_s is None else event.eta_s
            return rest + waiting * mean
        return None if event.eta_s is None else event.eta_s + waiting * (spent + event.eta_s)
