"""A folder of inputs, worked in a process of its own or by those of a cluster: its cases, their reports, its tables."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.lock import LOCK_FILE, exclusive
from DeepSegmentLib.files.output_checks import Inputs, Output, check_outputs
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.worker.batch_jobs import FindJob, FindResult
from DeepSegmentLib.hosts.worker.case_runner import PATIENCE_S, CaseRunner, failed_report, sweep_folders, why
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.hosts.worker.jobs_and_events import Failed, Finished
from DeepSegmentLib.service.batch.existing_results import is_table_of_ours
from DeepSegmentLib.service.batch.find_inputs import LOOKING
from DeepSegmentLib.service.batch.parts import Part
from DeepSegmentLib.service.batch.plan_cases import check_batch, existing_results, plan_cases
from DeepSegmentLib.service.batch.summary_table import SUMMARY_FILE, summary_text
from DeepSegmentLib.service.maps_and_statistics import STATISTICS_SUFFIXES, write_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.hosts.worker.jobs_and_events import Event, Job
    from DeepSegmentLib.service.batch.find_inputs import Findings
    from DeepSegmentLib.service.batch.plan_cases import Case
    from DeepSegmentLib.service.segment import SegmentRequest

_SAVE_EVERY_S = 2.0  # the table grows with the batch, and so does the time to write it


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is worked.

    Attributes:
        suffix: Of the results, one of `service.batch.plan_cases.FORMATS`.
        skip_existing: Leave out cases whose results are complete, do others again.
        patience_s: See `PATIENCE_S`.
        part: Which part of the cases is worked here.
        scheduler: Address of the Dask cluster that works them; None for this machine.
    """

    suffix: str = "seg.nrrd"
    skip_existing: bool = False
    patience_s: float = PATIENCE_S
    part: Part = field(default_factory=Part)
    scheduler: str | None = None


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
        self._runner = CaseRunner(self._client, settings.patience_s)
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
                raise DeepSegmentError(f"{self._request.source} cannot be searched: {why(event)}")
            avoid.append(fatal)

    def work(self, cases: tuple[Case, ...]) -> Iterator[dict[str, Any]]:
        """Work the cases; the report of each, in their order.

        A report is that of `work_case`, with the `case` and its `case_seconds`: how much longer the batch took for it,
        or, on a cluster, how long its worker was at it. One of a case that failed holds `error` and `exit_code`. The
        table of all is kept beside the results.

        Raises:
            VolumeFileError: The folder of results cannot be written, or another batch is writing there.
            DeepSegmentError: The model cannot be run at all.
        """
        _make_folder(self._request.target)
        own, folder = self._settings.part.own, self._request.target
        self._stack.enter_context(exclusive(folder, own(Path(LOCK_FILE)).name))
        table = _Table(own(folder / SUMMARY_FILE), self._request.statistics)
        # In reverse: the process ends, then what it was writing goes, and only then another batch may begin.
        self._stack.callback(sweep_folders, cases)
        self._stack.callback(table.save)
        self._stack.callback(self._client.close)
        clock = _BatchClock([case.name for case in cases], self._on_progress)
        reports = self._reports([case for case in cases if not case.error], clock)
        for case in cases:
            report = failed_report(case, case.error) if case.error else next(reports)
            seconds = clock.done(worked="skipped" not in report and not case.error)
            report = {"case": case.name} | report | {"case_seconds": round(report.get("case_seconds", seconds), 3)}
            table.add(report)
            yield report

    def _reports(self, cases: Sequence[Case], clock: _BatchClock) -> Iterator[dict[str, Any]]:
        skip, lock = self._settings.skip_existing, self._settings.part.own(self._request.target / LOCK_FILE)
        if self._settings.scheduler is None:
            return self._runner.work(cases, clock.case, skip_existing=skip)
        from DeepSegmentLib.hosts.cluster.batch_on_cluster import ClusterBatch

        self._client.close()  # the search is over, and its process has nothing more to do
        cluster = self._stack.enter_context(ClusterBatch(self._settings.scheduler, lock))
        return cluster.work(cases, clock.count, skip_existing=skip)

    def _run(self, job: Job, on_progress: ProgressCallback) -> Event:
        return self._runner.run(job, on_progress)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VolumeFileError(f"{folder} cannot be made: {error.strerror or error}; check its rights") from error


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
    """How far the whole is, from the cases that are done and the part of the one under way.

    Args:
        names: Of the cases, in their order.
        on_progress: Told of the whole.
    """

    def __init__(self, names: Sequence[str], on_progress: ProgressCallback) -> None:
        self._place = {name: place for place, name in enumerate(names)}
        self._total, self._on_progress = len(names), on_progress
        self._ended, self._last_end = 0, time.monotonic()
        self._begun: dict[str, float] = {}
        self._seconds: list[float] = []  # of cases that were really worked

    def case(self, case: Case, event: Progress) -> None:
        """A case on this machine got on; the one before it may still be written."""
        spent = time.monotonic() - self._begun.setdefault(case.name, time.monotonic())
        place = self._place[case.name]
        fraction = (place + event.fraction) / self._total
        stage = f"{place + 1} of {self._total} {case.name}: {event.stage}"
        eta = self._eta(event, spent, self._total - place - 1)
        self._on_progress(Progress(stage, fraction, eta, event.memory_bytes))

    def count(self, ended: int, seconds: float) -> None:
        """So many cases have ended on a cluster, in so many seconds."""
        rest = self._total - ended
        eta = seconds / ended * rest if ended else None
        self._on_progress(Progress(f"{ended} of {self._total} done", ended / self._total, eta))

    def done(self, *, worked: bool) -> float:
        """A case ended; the seconds since the one before did. They count where there was something to do."""
        now = time.monotonic()
        seconds, self._last_end = now - self._last_end, now
        self._ended += 1
        if worked:
            self._seconds.append(seconds)
        return seconds

    def _eta(self, event: Progress, spent: float, waiting: int) -> float | None:
        """Seconds to go: of this case by its tiles, of the others by those before."""
        if self._seconds:
            mean = sum(self._seconds) / len(self._seconds)
            rest = mean * (1 - event.fraction) if event.eta_s is None else event.eta_s
            return rest + waiting * mean
        return None if event.eta_s is None else event.eta_s + waiting * (spent + event.eta_s)
