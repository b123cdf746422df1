"""The worker process: one job at a time, the last model kept warm."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener, answer_challenge, deliver_challenge
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.files.leftovers import discard, is_running
from DeepSegmentLib.hosts.faults import as_error
from DeepSegmentLib.hosts.torch_environment import prepare_for_torch

from .batch_jobs import CaseJob, CaseResult, CasesJob, CasesResult, FindJob, FindResult
from .jobs_and_events import (
    ExportJob,
    ExportResult,
    Failed,
    Finished,
    MeasureJob,
    MeasureResult,
    OfCase,
    Progressed,
    SegmentJob,
    SegmentResult,
    Stopped,
    decode_job,
    encode_event,
)
from .learning_jobs import LearningJob, LearningResult
from .model_jobs import AddModelJob, GetModelJob, ModelResult
from .shared_arrays import START_FILE, remove_arrays, remove_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from DeepSegmentLib.errors import DeepSegmentError
    from DeepSegmentLib.hosts.recent_runs import RecentRuns
    from DeepSegmentLib.hosts.warm_model import WarmModels

    from .jobs_and_events import Event, Job, Result


# Progress that the owner has not read stays in the connection's buffer, which holds some two hundred messages.
_SAY_EVERY_S = 0.1
_LOOK_EVERY_S = 1.0


def main(arguments: Sequence[str]) -> int:
    """Serve the owner that made a folder, and end with it.

    Args:
        arguments: The folder.
    """
    folder = Path(arguments[0]) if len(arguments) == 1 else Path()
    if not (folder / START_FILE).is_file():
        sys.stderr.write("the worker is started by DeepSegment itself; the command for people is deepsegment\n")
        return 2
    start = json.loads((folder / START_FILE).read_text(encoding="utf-8"))
    (folder / START_FILE).unlink()
    return _serve(folder, **start)


def _serve(folder: Path, *, address: str, key: str, owner: int, idle_s: float) -> NoReturn:
    _stand_back()
    prepare_for_torch()
    listener = Listener(address)
    connection = _admit(listener, bytes.fromhex(key), owner, folder)
    listener.close()
    if connection is not None:
        with contextlib.suppress(OSError):
            Worker(connection, folder).serve(idle_s)
    _leave(folder)


def _leave(folder: Path) -> NoReturn:
    """End at once, whatever other threads do, and leave nothing behind."""
    discard()
    remove_folder(folder)
    os._exit(0)


def _stand_back() -> None:
    """Let the owner go first: on the processors, and in staying alive when Linux runs out of memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    if hasattr(os, "nice"):
        os.nice(5)


def _admit(listener: Listener, key: bytes, owner: int, folder: Path) -> Connection | None:
    """The first connection that knows the key; None when the owner, or its folder, is gone before.

    Each visitor is asked by a thread of its own, as a silent one must not keep the owner out.
    """
    admitted: SimpleQueue[Connection] = SimpleQueue()

    def ask(connection: Connection) -> None:
        try:
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
        except (AuthenticationError, EOFError, OSError) as error:
            sys.stderr.write(f"refused a connection: {error!r}\n")
            connection.close()
        else:
            admitted.put(connection)

    def listen() -> None:
        while True:
            try:
                threading.Thread(target=ask, args=(listener.accept(),), daemon=True).start()
            except OSError:  # the visitor left at once, or the listener was closed
                time.sleep(0.01)

    threading.Thread(target=listen, daemon=True).start()
    while is_running(owner) and folder.is_dir():
        with contextlib.suppress(Empty):
            return admitted.get(timeout=_LOOK_EVERY_S)
    return None


class _Inbox:
    """What the owner says, read by a thread; when the owner is gone, however it went, the process ends with it.

    Args:
        connection: To the owner.
        folder: To remove at the end.
    """

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection, self._folder = connection, folder
        self._jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._cancelled = 0
        threading.Thread(target=self._read, daemon=True).start()

    def next_job(self, patience_s: float) -> dict[str, Any]:
        """The next job as a message.

        Raises:
            queue.Empty: None came in time.
        """
        return self._jobs.get(timeout=patience_s)

    def is_cancelled(self, number: int) -> bool:
        """Whether the owner wants this job to stop."""
        return self._cancelled == number

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._take(self._connection.recv_bytes())
        _leave(self._folder)

    def _take(self, content: bytes) -> None:
        """Sort a message; one that cannot be read ends the process, as its owner would wait for an answer for ever."""
        try:
            message = json.loads(content)
            kind, number = message["kind"], message["number"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            sys.stderr.write(f"the owner's message cannot be read: {error!r:.200}\n")
            sys.stderr.flush()
            raise EOFError from error
        if kind == "cancel":
            self._cancelled = number
        else:
            self._jobs.put(message)


class _Channel:
    """Sends the events of one job and looks for the wish to stop it.

    Args:
        connection: To the owner.
        inbox: From the owner.
        folder: Where arrays go.
        number: Of the job.
    """

    def __init__(self, connection: Connection, inbox: _Inbox, folder: Path, number: int) -> None:
        self._connection, self._inbox, self._folder, self._number = connection, inbox, folder, number
        self._stage, self._said = "", 0.0

    def send(self, event: Event) -> None:
        """Tell the owner; waits where it has not read what was said before."""
        self._connection.send_bytes(encode_event(event, self._number, self._folder))

    def on_progress(self, progress: Progress, case: int | None = None) -> None:
        """Tell the owner, though not more often than it looks.

        Args:
            progress: What to tell.
            case: The number of the case, where it is one of several.

        Raises:
            Cancelled: The owner wants the job to stop.
        """
        now = time.monotonic()
        if progress.stage != self._stage or now - self._said >= _SAY_EVERY_S:
            event = Progressed(progress)
            self.send(event if case is None else OfCase(case, event))
            self._stage, self._said = progress.stage, now
        if self._inbox.is_cancelled(self._number):
            raise Cancelled("stopped")


class Worker:
    """Serves one owner.

    Args:
        connection: To the owner.
        folder: Where arrays go.
    """

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection, self._folder = connection, folder
        self._inbox = _Inbox(connection, folder)
        self._models: WarmModels | None = None
        self._recent: RecentRuns | None = None

    def serve(self, idle_s: float) -> None:
        """Work until the owner has had nothing to do for `idle_s` seconds.

        Raises:
            OSError: The owner is gone.
        """
        with contextlib.suppress(Empty):
            while True:
                self._work(self._inbox.next_job(idle_s))

    def _work(self, message: dict[str, Any]) -> None:
        channel = _Channel(self._connection, self._inbox, self._folder, message["number"])
        try:
            channel.send(self._run(decode_job(message, self._folder), channel))
        except ConnectionError:
            raise
        except Cancelled:
            channel.send(Stopped())
        except Exception as error:
            self._fail(channel, as_error(error, f"the worker's job {message.get('kind')}"))

    def _fail(self, channel: _Channel, error: DeepSegmentError) -> None:
        remove_arrays(self._folder)  # those of a result that is told in part only
        channel.send(Failed(error))

    def _run(self, job: Job, channel: _Channel) -> Event:
        # The library's heavy parts are imported by the first job, so that a worker answers as soon as it is there.
        begun = time.monotonic()
        from DeepSegmentLib.hosts.recent_runs import RecentRuns
        from DeepSegmentLib.hosts.warm_model import WarmModels

        if isinstance(job, ExportJob | MeasureJob):
            return Finished(_export(job) if isinstance(job, ExportJob) else _measure(job))
        if isinstance(job, FindJob):
            return Finished(_find(job, channel))
        if isinstance(job, AddModelJob | GetModelJob):
            return Finished(_bring_model(job, channel))
        self._models = self._models or WarmModels()
        if not isinstance(job, SegmentJob):
            return Finished(_with_models(job, self._models, channel))
        self._recent = self._recent or RecentRuns()
        return Finished(_segment(job, self._models, self._recent, channel, begun=begun))


def _with_models(job: LearningJob | CasesJob | CaseJob, models: WarmModels, channel: _Channel) -> Result:
    """The result of a job other than to segment a volume, for which the models stay loaded."""
    if isinstance(job, CasesJob):
        return _work_cases(job, models, channel)
    return _work_case(job, models, channel) if isinstance(job, CaseJob) else _learn(job, models, channel)


def _segment(
    job: SegmentJob, models: WarmModels, recent: RecentRuns, channel: _Channel, *, begun: float
) -> SegmentResult:
    """The result of a job that came at `begun`, by `time.monotonic`."""
    from DeepSegmentLib.segmentation.uncertain_places import most_uncertain_places
    from DeepSegmentLib.service.catalogue import find_model
    from DeepSegmentLib.service.run_report import provenance, run_report
    from DeepSegmentLib.service.segment import segment_volume

    work = partial(
        segment_volume,
        job.volume,
        job.model,
        device=job.device,
        settings=job.settings,
        subset=job.settings.subset,
        on_progress=channel.on_progress,
        load=partial(models.load, precision=job.precision),
        ready_s=time.monotonic() - begun,
    )
    run, _ = recent.run(job.volume, find_model(job.model).path, f"{job.device} {job.precision}", job.settings, work)
    prediction = run.prediction
    uncertain = prediction.uncertainty
    channel.on_progress(Progress("hand over", 1.0, 0.0))
    return SegmentResult(
        prediction.label_map,
        prediction.probabilities,
        uncertain,
        [] if uncertain is None else most_uncertain_places(uncertain).points_ras,
        provenance(run, job.settings),
        run_report(run),
    )


def _find(job: FindJob, channel: _Channel) -> FindResult:
    from DeepSegmentLib.service.batch.find_inputs import find_inputs

    source, target = Path(job.source), Path(job.target)
    return FindResult(find_inputs(source, target, avoid=job.avoid, on_progress=channel.on_progress))


def _work_case(job: CaseJob, models: WarmModels, channel: _Channel) -> CaseResult:
    from DeepSegmentLib.service.batch.work_case import work_case

    load = partial(models.load, precision=job.request.precision)
    return CaseResult(work_case(job.request, channel.on_progress, skip_existing=job.skip_existing, load=load))


def _work_cases(job: CasesJob, models: WarmModels, channel: _Channel) -> CasesResult:
    from DeepSegmentLib.service.batch.work_cases import work_cases

    def on_end(number: int, outcome: dict[str, Any] | Exception) -> None:
        if isinstance(outcome, Exception):
            channel.send(OfCase(number, Failed(as_error(outcome, f"segmenting {job.requests[number].source.name}"))))
        else:
            channel.send(OfCase(number, Finished(CaseResult(outcome))))

    work_cases(
        job.requests,
        lambda number, progress: channel.on_progress(progress, number),
        on_end,
        skip_existing=job.skip_existing,
        load=partial(models.load, precision=job.requests[0].precision),
    )
    return CasesResult(len(job.requests))


def _bring_model(job: AddModelJob | GetModelJob, channel: _Channel) -> ModelResult:
    from DeepSegmentLib.service.catalogue import add_model, find_model
    from DeepSegmentLib.service.models.get_model import get_model
    from DeepSegmentLib.service.models.pack_models import is_pack, unpack_models

    def agrees(_: str) -> bool:
        return job.accept_licence

    if isinstance(job, GetModelJob):
        entry = get_model(job.name, channel.on_progress, agrees=agrees, accept_change=job.accept_change)
    else:
        sources = [Path(source) for source in job.sources]
        if len(sources) == 1 and is_pack(sources[0]):
            out = unpack_models(sources[0], channel.on_progress, agrees=agrees)
            return ModelResult(out.added[0] if out.added else find_model(out.known[0]))
        entry = add_model(sources, job.words, channel.on_progress, agrees=agrees)
    return ModelResult(entry)


def _learn(job: LearningJob, models: WarmModels, channel: _Channel) -> LearningResult:
    from .learning_work import learn

    return LearningResult(learn(job, models, channel.on_progress))


def _export(job: ExportJob) -> ExportResult:
    from DeepSegmentLib.service.export import export_case

    return ExportResult(export_case(job.case, Path(job.target), job.settings))


def _measure(job: MeasureJob) -> MeasureResult:
    from DeepSegmentLib.evaluation.measurements import measure, measurement_rows

    return MeasureResult(measurement_rows(measure(job.label_map, job.volume)))
