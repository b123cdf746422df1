"""Cases worked in a process of their own: what ends that process ends one case only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled, DeepSegmentError, MissingPackageError, ModelError, VolumeFileError
from DeepSegmentLib.files.leftovers import sweep
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.service.batch.work_cases import UNDER_WAY

from .batch_jobs import CaseJob, CaseResult, CasesJob
from .jobs_and_events import Died, Failed, Finished, OfCase, Progressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from DeepSegmentLib.data import Progress, ProgressCallback
    from DeepSegmentLib.service.batch.plan_cases import Case

    from .client import WorkerClient
    from .jobs_and_events import Event, Job

PATIENCE_S = 1800.0
"""How long a case may give no sign of life: reading four gigabytes over a slow network takes half of it."""

HOPELESS = (ModelError, MissingPackageError)
"""No other case would fare better."""

_LOOK_EVERY_S = 0.02
_CRASHED = 1  # exit code of a case whose process ended


class CaseRunner:
    """Works cases by a client of the worker.

    Args:
        client: Runs the jobs.
        patience_s: See `PATIENCE_S`.
    """

    def __init__(self, client: WorkerClient, patience_s: float = PATIENCE_S) -> None:
        self._client, self._patience_s = client, patience_s

    def work(
        self, cases: Sequence[Case], on_progress: Callable[[Case, Progress], None], *, skip_existing: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Work cases that overlap, see `service.batch.work_cases`; the report of each, in their order.

        Where the process ends, the cases that may have been under way are worked once more, each alone: the one that
        ends it again has failed. What one of them had written is complete, and is not done again.

        Args:
            cases: Which.
            on_progress: Told how far each of them is; may raise `Cancelled`.
            skip_existing: As of `work_case`.

        Raises:
            ModelError, MissingPackageError: The model cannot be run at all.
            Cancelled: Raised by `on_progress`.
        """
        done = 0
        while done < len(cases):
            for report in self._overlapped(cases[done:], on_progress, skip_existing=skip_existing):
                yield report
                done += 1
            sweep_folders(cases[done : done + UNDER_WAY])
            for case in cases[done : done + UNDER_WAY]:
                yield self.work_alone(case, on_progress, skip_existing=True)
                done += 1

    def _overlapped(
        self, cases: Sequence[Case], on_progress: Callable[[Case, Progress], None], *, skip_existing: bool
    ) -> Iterator[dict[str, Any]]:
        """The reports of cases as they end, until all have or the process ends."""
        job = CasesJob(tuple(case.request for case in cases), skip_existing)
        try:
            for event in self._events(job):
                if isinstance(event, OfCase) and isinstance(event.event, Progressed):
                    on_progress(cases[event.case], event.event.progress)
                elif isinstance(event, OfCase):
                    yield _report(cases[event.case], event.event)
        except (Cancelled, *HOPELESS):
            raise
        except DeepSegmentError:  # such as one that there is no memory to start a process; each case will tell it
            return

    def work_alone(
        self, case: Case, on_progress: Callable[[Case, Progress], None], *, skip_existing: bool = False
    ) -> dict[str, Any]:
        """Work one case; its report. Arguments and errors as of `work`."""
        try:
            event = self.run(CaseJob(case.request, skip_existing), lambda progress: on_progress(case, progress))
        except DeepSegmentError as error:
            if error.exit_code == Cancelled.exit_code:
                raise
            event = Failed(error)
        if isinstance(event, Died):
            sweep_folders((case,))  # its process is gone, and what it was writing is not
        return _report(case, event)

    def run(self, job: Job, on_progress: ProgressCallback) -> Event:
        """The last event of a job; one that gives no sign of life for too long is ended."""
        for event in self._events(job):
            if isinstance(event, Progressed):
                on_progress(event.progress)
        return event

    def _events(self, job: Job) -> Iterator[Event]:
        """All events of a job, the last of which is its end."""
        self._client.submit(job)
        heard = time.monotonic()
        while True:
            for event in self._client.poll():
                yield event
                if not isinstance(event, Progressed | OfCase):
                    return
                heard = time.monotonic()
            if time.monotonic() - heard > self._patience_s:
                self._client.close()
                yield Died(f"it gave no sign of life for {self._patience_s:.0f} s and was ended")
                return
            time.sleep(_LOOK_EVERY_S)


def failed_report(case: Case, error: str, exit_code: int = VolumeFileError.exit_code) -> dict[str, Any]:
    """The report of a case that failed; what the error says of its path is said by its name."""
    source = case.request.source
    for path in (str(source.absolute()), str(source)):
        error = error.replace(path, case.name)
    text = "\n".join(plain(line) for line in error.splitlines())
    return {"input": {"path": case.name}, "error": text, "exit_code": exit_code}


def why(event: Event) -> str:
    """Why a job ended without a result."""
    return event.message if isinstance(event, Died) else f"it ended with {event}"


def sweep_folders(cases: Sequence[Case]) -> None:
    """Remove what writers that were killed left half-written, wherever a case writes."""
    paths = (path for case in cases for path in (case.request.target, case.request.report, case.request.preview))
    for folder in {path.parent for path in paths if path is not None}:
        sweep(folder)


def _report(case: Case, event: Event) -> dict[str, Any]:
    """The report of a case by the event that ended it.

    Raises:
        ModelError, MissingPackageError: No other case would fare better.
    """
    if isinstance(event, Finished) and isinstance(event.result, CaseResult):
        report = event.result.report
        return report | {"input": report["input"] | {"path": case.name}}
    if isinstance(event, Failed):
        if isinstance(event.error, HOPELESS):
            raise event.error
        return failed_report(case, str(event.error), event.error.exit_code)
    return failed_report(case, why(event), _CRASHED)
