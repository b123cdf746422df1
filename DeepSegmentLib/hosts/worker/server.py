"""The worker process: one job at a time, the last model kept warm."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled, DeepSegmentError, ResourceError

from .arrays import START_FILE, remove_folder
from .messages import (
    ExportJob,
    ExportResult,
    Failed,
    FilesJob,
    FilesResult,
    Finished,
    MeasureJob,
    MeasureResult,
    Progressed,
    SegmentJob,
    SegmentResult,
    Stopped,
    decode_job,
    encode_event,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from DeepSegmentLib.data import Progress
    from DeepSegmentLib.service.warm import WarmModels

    from .messages import Event, Job


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
    with Listener(start["address"], authkey=bytes.fromhex(start["key"])) as listener:
        connection, lifeline = _accept(listener), _accept(listener)
    threading.Thread(target=_end_with_owner, args=(lifeline, folder), daemon=True).start()
    Worker(connection, folder).serve(start["idle_s"])
    return 0


def _end_with_owner(lifeline: Connection, folder: Path) -> None:
    """Wait until the owner's end of a connection is closed: it is gone, however it went."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    remove_folder(folder)
    os._exit(0)


def _accept(listener: Listener) -> Connection:
    """A connection of the owner; those that do not know the key are turned away."""
    while True:
        try:
            return listener.accept()
        except (AuthenticationError, EOFError, OSError) as error:
            sys.stderr.write(f"refused a connection: {error!r}\n")
            time.sleep(0.01)


@dataclass(frozen=True)
class _Channel:
    """Sends the events of one job and looks for the wish to stop it."""

    connection: Connection
    folder: Path
    number: int

    def send(self, event: Event) -> None:
        self.connection.send_bytes(encode_event(event, self.number, self.folder))

    def on_progress(self, progress: Progress) -> None:
        self.send(Progressed(progress))
        while self.connection.poll(0):
            message = json.loads(self.connection.recv_bytes())
            if message["kind"] == "cancel" and message["number"] == self.number:
                raise Cancelled("stopped")


class Worker:
    """Serves one owner.

    Args:
        connection: To the owner.
        folder: Where arrays go.
    """

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection, self._folder = connection, folder
        self._models: WarmModels | None = None

    def serve(self, idle_s: float) -> None:
        """Work until the owner is gone, or has had nothing to do for `idle_s` seconds."""
        try:
            while self._connection.poll(idle_s):
                message = json.loads(self._connection.recv_bytes())
                if message["kind"] != "cancel":  # of a job that ended meanwhile
                    self._work(message)
        except (EOFError, ConnectionError):
            return

    def _work(self, message: dict[str, Any]) -> None:
        channel = _Channel(self._connection, self._folder, message["number"])
        try:
            channel.send(self._run(decode_job(message, self._folder), channel))
        except (EOFError, ConnectionError):
            raise
        except Cancelled:
            channel.send(Stopped())
        except DeepSegmentError as error:
            channel.send(Failed(error))
        except MemoryError:
            channel.send(Failed(ResourceError("memory ran out; close other programs, or segment a smaller region")))
        except Exception as error:
            traceback.print_exc()
            channel.send(Failed(DeepSegmentError(f"this is a fault of DeepSegment, please report it: {error!r}")))

    def _run(self, job: Job, channel: _Channel) -> Event:
        # The library's heavy parts are imported by the first job, so that a worker answers as soon as it is there.
        from DeepSegmentLib.service.warm import WarmModels

        if isinstance(job, ExportJob | MeasureJob):
            return Finished(_export(job) if isinstance(job, ExportJob) else _measure(job))
        self._models = self._models or WarmModels()
        run = _segment if isinstance(job, SegmentJob) else _segment_files
        return Finished(run(job, self._models, channel))  # type: ignore[arg-type]


def _segment(job: SegmentJob, models: WarmModels, channel: _Channel) -> SegmentResult:
    from DeepSegmentLib.segmentation.review import most_uncertain_places
    from DeepSegmentLib.service.segmenting import provenance, run_report, segment_volume

    run = segment_volume(
        job.volume,
        job.model,
        device=job.device,
        settings=job.settings,
        on_progress=channel.on_progress,
        load=models.load,
    )
    prediction = run.prediction
    uncertain = prediction.uncertainty
    return SegmentResult(
        prediction.label_map,
        prediction.probabilities,
        uncertain,
        [] if uncertain is None else most_uncertain_places(uncertain).points_ras,
        provenance(run, job.settings),
        run_report(run),
    )


def _segment_files(job: FilesJob, models: WarmModels, channel: _Channel) -> FilesResult:
    from DeepSegmentLib.service.requests import plan_requests
    from DeepSegmentLib.service.segmenting import SegmentRequest, segment_folder

    request = SegmentRequest(
        Path(job.source), Path(job.target), job.model, job.device, job.settings, report=Path(job.target)
    )
    requests = plan_requests(request)
    return FilesResult(segment_folder(requests, channel.on_progress, skip_existing=job.skip_existing, load=models.load))


def _export(job: ExportJob) -> ExportResult:
    from DeepSegmentLib.service.export import export_case

    return ExportResult(export_case(job.case, Path(job.target), job.settings))


def _measure(job: MeasureJob) -> MeasureResult:
    from DeepSegmentLib.evaluation.measurements import measure, measurement_rows

    return MeasureResult(measurement_rows(measure(job.label_map, job.volume)))
