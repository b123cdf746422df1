"""The worker process: one job at a time, the last model kept warm."""

from __future__ import annotations

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

from .arrays import remove_folder
from .messages import (
    Failed,
    FilesJob,
    FilesResult,
    Finished,
    Progressed,
    SegmentJob,
    SegmentResult,
    Stopped,
    decode_job,
    encode_event,
)

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from DeepSegmentLib.data import Progress
    from DeepSegmentLib.service.warm import WarmModels

    from .messages import Event, Job


def main() -> int:
    """Read what the owner says on standard input, serve it, and end with it."""
    line = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.readline()
    if not line:
        sys.stderr.write("the worker is started by DeepSegment itself; the command for people is deepsegment\n")
        return 2
    start = json.loads(line)
    folder = Path(start["folder"])
    threading.Thread(target=_end_with_owner, args=(folder,), daemon=True).start()
    with Listener(start["address"], authkey=bytes.fromhex(start["key"])) as listener:
        connection = _accept(listener)
    Worker(connection, folder).serve(start["idle_s"])
    return 0


def _end_with_owner(folder: Path) -> None:
    """Wait until the owner's end of standard input is closed: it is gone, however it went."""
    sys.stdin.read()
    remove_folder(folder)
    os._exit(0)


def _accept(listener: Listener) -> Connection:
    """The owner's connection; those that do not know the key are turned away."""
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
